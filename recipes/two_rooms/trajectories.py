"""Draw the trajectories of `two_rooms`: ``python recipes/two_rooms/trajectories.py OUT``.

Data policy: every trajectory has a wall and a door of its own, drawn evenly, and a dot that wanders: its speed is even
from 0 to 2.45 pixels a step, and its heading turns by a normal step of half a radian. Half of the dots start anywhere,
half within 10 pixels of the wall, of which a model has most to learn. They know no goals.

OUT gets the folders `train`, `validation` and `test`, each as `vljepa.data.trajectories` reads it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# Run as a script, this folder would be first on the path.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
from rich.console import Console
from rich.progress import track

from vljepa.data.trajectories import Trajectories
from vljepa.data.worlds.two_rooms import Walls, draw, draw_near_wall, draw_places, wander

COUNTS = {"train": 8000, "validation": 256, "test": 512}
STEPS = 16
_AT_ONCE = 500


def main(arguments: list[str] | None = None) -> int:
    """Draw them; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--share", type=float, default=1.0, help="of all trajectories")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if not 0 < given.share <= 1:
        Console(stderr=True).print(f"error: --share {given.share} is not above 0 and at most 1.", style="red")
        return 2
    for number, (split, count) in enumerate(COUNTS.items()):
        count = max(1, round(count * given.share))
        random = np.random.default_rng([given.seed, number])
        parts = [
            _some(min(_AT_ONCE, count - start), random)
            for start in track(range(0, count, _AT_ONCE), description=split, console=Console(stderr=True))
        ]
        frames, actions, places = (np.concatenate(one) for one in zip(*parts, strict=True))
        Trajectories(frames, actions, places).save(given.out / split)
    return 0


def _some(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    walls = Walls.random(count, random=random)
    anywhere, near = draw_places(walls, random=random), draw_near_wall(walls, within=10, random=random)
    starts = np.where(random.random((count, 1)) < 0.5, near, anywhere)
    places, actions = wander(walls, steps=STEPS, random=random, starts_B2=starts)
    return draw(places, walls), actions, places


if __name__ == "__main__":
    raise SystemExit(main())
