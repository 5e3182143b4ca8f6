"""A toy model, and a few real images with their names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from vljepa import VLJEPA
from vljepa.configs import load_preset

SAMPLE = Path(__file__).parents[2] / "assets" / "mini_sample"
COUNT = 12


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a saved toy model: random towers, real code."""
    folder = tmp_path_factory.mktemp("toy")
    VLJEPA(load_preset("toy")).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def emoji() -> list[tuple[Path, str]]:
    """Images and the names of what they show, all different."""
    rows = [json.loads(line) for line in (SAMPLE / "emoji.jsonl").read_text(encoding="utf-8").splitlines()]
    named = {row["text"]: SAMPLE / row["image"] for row in rows}
    return [(image, text) for text, image in list(named.items())[:COUNT]]


@pytest.fixture(scope="session")
def images(emoji: list[tuple[Path, str]]) -> list[Image.Image]:
    return [Image.open(path).convert("RGBA") for path, _ in emoji]


@pytest.fixture(scope="session")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a toy model with a decoder that was never trained."""
    import torch

    from tests.decoders import tiny_decoder
    from vljepa import VLJEPA
    from vljepa.checkpoint.decoder import save_decoder
    from vljepa.configs import load_preset

    folder = tmp_path_factory.mktemp("speaking")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = VLJEPA(load_preset("toy"))
    model.save_pretrained(folder / "model")
    decoder = tiny_decoder(text_space=model.text_space_hash(), selective={"threshold": 0.2, "window": 2})
    save_decoder(decoder, folder / "decoder")
    return ["--model", str(folder / "model"), "--decoder", str(folder / "decoder")]
