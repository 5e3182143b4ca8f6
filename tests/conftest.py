"""For tests of training: a folder of coloured shapes that the toy model can learn, and the recipe for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from vljepa.configs import RunConfig, load_preset, validate

# One thread per pytest-xdist worker, and per process that a test starts: two threads on each of two cores spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")

COLOURS = {"red": (220, 30, 30), "green": (30, 160, 30), "blue": (30, 30, 220), "black": (0, 0, 0)}
SHAPES = ("circle", "square", "bar")


def draw_shape(path: Path, *, colour: str, shape: str, shift: int) -> None:
    image = Image.new("RGB", (64, 64), "white")
    draw = ImageDraw.Draw(image)
    box = {"circle": (12, 12, 52, 52), "square": (14, 14, 50, 50), "bar": (8, 26, 56, 38)}[shape]
    left, top, right, bottom = (value + shift for value in box)
    (draw.ellipse if shape == "circle" else draw.rectangle)((left, top, right, bottom), fill=COLOURS[colour])
    image.save(path)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with images, captions.jsonl and questions.jsonl."""
    folder = tmp_path_factory.mktemp("shapes")
    captions, questions = [], []
    for colour in COLOURS:
        for shape in SHAPES:
            for shift in (-4, 3):
                name = f"{colour}_{shape}_{shift}.png"
                draw_shape(folder / name, colour=colour, shape=shape, shift=shift)
                captions.append({"image": name, "text": [f"a {colour} {shape}", f"{shape} in {colour}"]})
                questions.append(
                    {
                        "image": name,
                        "query": "which colour?",
                        "text": colour,
                        "candidates": list(COLOURS),
                        "type": "colour",
                    }
                )
                questions.append(
                    {"image": name, "query": "which shape?", "text": shape, "candidates": list(SHAPES), "type": "shape"}
                )
    write_rows(folder / "captions.jsonl", captions)
    write_rows(folder / "questions.jsonl", questions)
    return folder


def shapes_run(shapes: Path, folder: Path, output: str = "run", **sections: dict[str, Any]) -> RunConfig:
    """Recipe over the shapes that writes under `folder`; keyword arguments are sections that change it."""
    sources = [
        {"name": "captions", "path": "captions.jsonl"},
        {"name": "questions", "path": "questions.jsonl", "task": "vqa"},
    ]
    cache = {"folder": str(folder / "cache"), "views": 2}
    train = {"output": str(folder / output), "steps": 12, "batch_size": 12, "eval_every": 6, "log_every": 1}
    raw: dict[str, Any] = {
        "model": load_preset("toy").model_dump(mode="json"),
        "data": {"root": str(shapes), "train": sources, "validation": sources, "cache": cache},
        "optim": {"lr": 3e-3, "warmup_steps": 2},
        "train": train,
    }
    for name, changes in sections.items():
        raw[name] = {**raw.get(name, {}), **changes}
    return validate(RunConfig, raw, where="test")


@pytest.fixture
def make_run(shapes: Path, tmp_path: Path) -> Callable[..., RunConfig]:
    """`shapes_run` under `tmp_path`."""
    return partial(shapes_run, shapes, tmp_path)
