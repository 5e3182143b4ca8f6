"""Small clips for tests of V-JEPA: a bright square moves over noise, one way or the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import write_rows

WAYS = ("left", "right")


def write_clips(folder: Path, count: int, *, frames: int = 4, side: int = 32) -> Path:
    """Animated WebPs, and a table of them with the way as text; the table's path."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        random = np.random.default_rng(number)
        behind = random.integers(0, 120, (side, side, 3), dtype=np.uint8)
        top = int(random.integers(0, side - 8))
        places = np.linspace(1, side - 9, frames).astype(int)
        images = []
        for place in places if number % 2 else places[::-1]:
            frame = behind.copy()
            frame[top : top + 8, place : place + 8] = 255
            images.append(Image.fromarray(frame))
        name = f"{number}.webp"
        images[0].save(folder / name, save_all=True, append_images=images[1:], duration=250, lossless=True)
        rows.append({"video": name, "text": WAYS[number % 2]})
    write_rows(folder / "clips.jsonl", rows)
    return folder / "clips.jsonl"
