"""The loop of about a hundred lines trains, and what it saves is a model like any other."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

from recipes.scripts import minimal_loop
from tests.conftest import COLOURS, SHAPES
from vljepa import VLJEPA


def captions(shapes: Path) -> Path:
    rows = [(f"{colour}_{shape}_{shift}.png", f"a {colour} {shape}") for colour in COLOURS for shape in SHAPES
            for shift in (-4, 3)]  # fmt: skip
    with (shapes / "captions.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("image", "text"), *rows])
    return shapes


def test_the_loss_falls(shapes: Path) -> None:
    _, losses = minimal_loop.train(captions(shapes), preset="toy", steps=60, batch_size=16, lr=3e-3)
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_what_the_command_saves_loads(shapes: Path, tmp_path: Path) -> None:
    command = [sys.executable, minimal_loop.__file__, str(captions(shapes)), "--preset", "toy", "--steps", "3"]
    done = subprocess.run([*command, "--output", str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert VLJEPA.from_pretrained(tmp_path / "out").config.residual is None
