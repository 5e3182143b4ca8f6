"""How much validation encodes at a time."""

from types import SimpleNamespace

import pytest
import torch

from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import load_preset
from vljepa.data.images import ImageBatch
from vljepa.data.records import Clip, Still
from vljepa.validation.encoder import BATCH, Encoder


class Reader:
    """Pixels that are all alike, and how many images or clips were asked for at a time."""

    def __init__(self, frames):
        self.frames, self.asked = frames, []

    def read(self, images):
        self.asked.append(len(images))
        pixels = torch.zeros(len(images), self.frames, 3, 64, 64)
        return ImageBatch(kept=list(range(len(images))), skipped={}, pixels_BTCHW=pixels)


@pytest.mark.parametrize(
    ("visual", "asked"),
    [
        ("a.png", [128, 12]),
        (Clip("a.mp4", start=0.0, end=None, frames=16), [8] * 17 + [4]),
        (Still("a.png", frames=300), [1] * 140),
    ],
    ids=["images", "clips", "clips that are longer than a batch"],
)
def test_so_many_frames_are_encoded_at_a_time(visual, asked, monkeypatch):
    model = VLJEPA(load_preset("toy")).eval()
    monkeypatch.setattr(model, "encode_vision", lambda pixels: SimpleNamespace(rows=len(pixels)))
    monkeypatch.setattr(model, "predict", lambda vision, *_: torch.zeros(vision.rows, 4))
    frames = getattr(visual, "frames", 1)
    reader = Reader(frames)
    encoder = Encoder(model, VLJEPAProcessor(model.config), images=reader)
    assert encoder.predictions([(visual, "")] * 140).shape == (140, 4)
    assert reader.asked == asked
    assert all(count * frames <= max(BATCH, frames) for count in reader.asked)
