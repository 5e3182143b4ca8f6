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
