"""The folder that immich's machine learning loads, loaded and run with what its own source does."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from tokenizers import Tokenizer

from tests.contract.hub_dual_encoders import DUAL_ENCODERS
from vljepa.cli.main import main
from vljepa.inference.embed import Embedder

CAT = Path(__file__).parents[3] / "examples" / "images" / "cat.jpg"


class Immich:
    """`OpenClipTextualEncoder` and `OpenClipVisualEncoder` of immich_ml/models/clip, line by line where it counts."""

    def __init__(self, cache_dir: Path) -> None:
        text_cfg = json.load((cache_dir / "config.json").open())["text_cfg"]
        textual, visual = cache_dir / "textual", cache_dir / "visual"
        pad_token = json.load((textual / "tokenizer_config.json").open())["pad_token"]
        self.tokenizer = Tokenizer.from_file((textual / "tokenizer.json").as_posix())
        length = text_cfg.get("context_length", 77)
        pad_id = self.tokenizer.token_to_id(pad_token)
        self.tokenizer.enable_padding(length=length, pad_token=pad_token, pad_id=pad_id)
        self.tokenizer.enable_truncation(max_length=length)
        kwargs = text_cfg.get("tokenizer_kwargs")
        self.canonicalize = kwargs is not None and kwargs.get("clean") == "canonicalize"
        self.preprocess_cfg = json.load((visual / "preprocess_cfg.json").open())
        size = self.preprocess_cfg["size"]
        self.size = size[0] if isinstance(size, list) else size
        self.resampling = {one.name.lower(): one for one in Image.Resampling}[self.preprocess_cfg["interpolation"]]
        self.mean = np.array(self.preprocess_cfg["mean"], dtype=np.float32)
        self.std = np.array(self.preprocess_cfg["std"], dtype=np.float32)
        self.textual = onnxruntime.InferenceSession(textual / "model.onnx", providers=["CPUExecutionProvider"])
        self.visual = onnxruntime.InferenceSession(visual / "model.onnx", providers=["CPUExecutionProvider"])

    def text(self, text: str) -> Any:
        text = " ".join(text.split())
        if self.canonicalize:
            text = text.translate(str.maketrans("", "", string.punctuation)).lower()
        ids = np.array([self.tokenizer.encode(text).ids], dtype=np.int32)
        return self.textual.run(None, {"text": ids})[0][0]

    def image(self, image: Image.Image) -> Any:
        if self.preprocess_cfg.get("resize_mode", "shortest") == "squash":
            image = image.resize((self.size, self.size), resample=self.resampling)
        else:
            width, height = image.size
            scaled = (
                (self.size, int((height / width) * self.size))
                if width < height
                else (int((width / height) * self.size), self.size)
            )
            image = image.resize(scaled, resample=self.resampling)
            left, upper = int(image.size[0] / 2 - self.size / 2), int(image.size[1] / 2 - self.size / 2)
            image = image.crop((left, upper, left + self.size, upper + self.size))
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255.0
        pixels = np.divide(pixels - self.mean, self.std, dtype=np.float32)
        return self.visual.run(None, {"image": pixels.transpose(2, 0, 1)[None]})[0][0]


def compare(embedder: Embedder, folder: Path, *, least: float) -> None:
    immich = Immich(folder)
    for text in ("a cat", "Two dogs run along a beach, at sunset! " * 3, "Katze"):
        [own] = embedder.texts([text])
        cut = embedder.processor.targets([text]).ids_BL.shape[1] > 77
        np.testing.assert_allclose(immich.text(text), own, atol=1.0 if cut else 1e-4)
    [own] = embedder.images([CAT])
    assert float(immich.image(Image.open(CAT).convert("RGB")) @ own) > least


@pytest.mark.parametrize("name", ["clip", "siglip2", "open_clip_siglip"])
def test_a_dual_encoder_is_what_it_was(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DUAL_ENCODERS[name](tmp_path / "part")
    model = f"aligned:{tmp_path / 'part'}"
    assert main(["export", model, str(tmp_path / "out"), "--format", "immich"]) == 0
    assert "have a cosine of 1.0000 or more" in capsys.readouterr().err
    compare(Embedder.from_pretrained(model, device="cpu"), tmp_path / "out", least=0.9999)


@pytest.mark.assets
def test_mini_sees_the_middle_of_what_immich_prepares(tmp_path: Path) -> None:
    """Without the cut inside of the file, images would be seen from farther away than the model has learned."""
    assert main(["export", "mini", str(tmp_path / "out"), "--format", "immich"]) == 0
    compare(Embedder.from_pretrained("mini", device="cpu"), tmp_path / "out", least=0.995)


def test_a_tokenizer_that_immich_cannot_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DUAL_ENCODERS["open_clip_clip"](tmp_path / "part")
    capsys.readouterr()
    assert main(["export", f"aligned:{tmp_path / 'part'}", str(tmp_path / "out"), "--format", "immich"]) == 2
    assert "immich reads a tokenizer.json" in capsys.readouterr().err
