"""Render the clips of `v_jepa_shapes`: ``python recipes/v_jepa/clips.py OUT --data data/mini``.

DATA is what ``recipes/mini/prepare.py`` has written. Drawings move over photos, 64 x 64 pixels, eight frames: scenes
of ``recipes/mini/clips.py``, half of them a move in one of four directions at one of three speeds. Sprites keep the
split of their concept and photos are dealt into three lots, so nothing of the test is ever in training.

OUT gets `clips.SPLIT.jsonl`, clips without a text, and for probes `motion`, `kind` and `order`, each with labels.
Exit code 2: DATA is not there.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

# Run as a script, this folder would be first on the path.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from rich.console import Console
from rich.progress import track

from recipes.mini import clip_render
from recipes.mini.clip_render import Sprite
from recipes.mini.clip_scenes import DIRECTIONS, FRAMES, MARGIN, SHARES, Kind, Pose, Scene, scene
from recipes.mini.clips import check_apart, deal_photos, pick, read_sprites
from recipes.mini.records import SPLITS, PrepareError, Split, write_json, write_jsonl

SIDE = 64
CLIPS: dict[Split, int] = {"train": 6000, "validation": 800, "test": 1200}
SPEEDS: dict[str, tuple[float, float]] = {"slow": (0.08, 0.14), "medium": (0.22, 0.3), "fast": (0.4, 0.48)}
"""Way of a sprite during a clip, least and most, in shares of the image's side."""
MOVES, TURNS = 0.5, 0.25
"""Shares of clips whose labels are motion and kind, and order; the rest are scenes of every other kind."""
OTHERS: list[Kind] = [kind for kind in SHARES if kind not in ("move", "turns")]
LEAST_SPRITES = 8
"""Of a kind in every split, for its name to be a label."""

Row = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("out", type=Path, help="folder to write to")
    result.add_argument("--data", type=Path, required=True, help="folder that recipes/mini/prepare.py has written")
    result.add_argument("--share", type=float, default=1.0, help="of all clips, the first ones of every split")
    result.add_argument("--seed", type=int, default=0)
    return result


def move(random: Random) -> Scene:
    """A sprite moves in a straight line: no frame by itself says which way, or how fast."""
    direction, speed = random.choice(list(DIRECTIONS)), random.choice(list(SPEEDS))
    size, length = random.uniform(0.25, 0.4), random.uniform(*SPEEDS[speed])
    low, high = MARGIN + size / 2, 1 - MARGIN - size / 2
    near, across = random.uniform(low, high - length), random.uniform(low, high)
    dx, dy = DIRECTIONS[direction]
    along = [near + length * step / (FRAMES - 1) for step in range(FRAMES)]
    if dx + dy < 0:
        along.reverse()
    poses = tuple(Pose(place, across, size) if dx else Pose(across, place, size) for place in along)
    return Scene(kind="move", tracks=(poses,), facts={"direction": direction, "speed": speed})


def common_kinds(sprites: Mapping[Split, Sequence[Sprite]]) -> list[str]:
    """Kinds of which every split has enough sprites."""
    counts = [Counter(one.kind for one in sprites[split]) for split in SPLITS]
    return sorted(kind for kind in counts[0] if kind and all(count[kind] >= LEAST_SPRITES for count in counts))


def draw(random: Random, sprites: Sequence[Sprite], kinds: Sequence[str]) -> tuple[Scene, list[Sprite]]:
    """A scene and its sprites; of a move, each kind is as likely as any other."""
    share = random.random()
    if share < MOVES:
        kind = random.choice(kinds)
        return move(random), [random.choice([one for one in sprites if one.kind == kind])]
    drawn = scene("turns" if share < MOVES + TURNS else random.choice(OTHERS), random)
    return drawn, pick(sprites, len(drawn.tracks), random)


def labels(drawn: Scene, sprites: Sequence[Sprite]) -> dict[str, str]:
    """What a probe is asked of a clip, by the name of the probe."""
    if "speed" in drawn.facts:
        return {"motion": f"{drawn.facts['direction']} {drawn.facts['speed']}", "kind": sprites[0].kind}
    return {"order": f"{drawn.facts['first']} first"} if drawn.kind == "turns" else {}


def render(
    out: Path, split: Split, count: int, *, seed: int, sprites: Sequence[Sprite], photos: Sequence[Path], kinds: Any
) -> dict[str, list[Row]]:
    """Write the clips of a split and return their rows by the file that they belong to."""
    rows: dict[str, list[Row]] = {"clips": [], "motion": [], "kind": [], "order": []}
    for number in track(range(count), description=f"{split} clips", transient=True):
        random = Random(f"{seed}:{split}:{number}")
        drawn, chosen = draw(random, sprites, kinds)
        behind = clip_render.background(random.choice(photos), random, to=SIDE)
        target = out / split / f"{number:05d}.webp"
        if not target.is_file():
            clip_render.save_clip(clip_render.frames(drawn, chosen, behind), target)
        row = {"video": f"{split}/{number:05d}.webp", "source_id": f"clip:{split}/{number}", "synthetic": True}
        rows["clips"].append(row)
        for name, label in labels(drawn, chosen).items():
            rows[name].append({**row, "text": label})
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Render everything; return the exit code."""
    given = parser().parse_args(arguments)
    try:
        sprites, photos = read_sprites(given.data), deal_photos(given.data)
    except PrepareError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        return 2
    check_apart(sprites, photos)
    kinds, summary = common_kinds(sprites), {}
    for split in SPLITS:
        rows = render(
            given.out,
            split,
            round(CLIPS[split] * given.share),
            seed=given.seed,
            sprites=sprites[split],
            photos=photos[split],
            kinds=kinds,
        )
        for name, some in rows.items():
            write_jsonl(given.out / f"{name}.{split}.jsonl", some)
        summary[split] = {name: len(some) for name, some in rows.items()}
    write_json(given.out / "summary.json", {"synthetic": True, "seed": given.seed, "splits": summary, "kinds": kinds})
    Console().print_json(data=summary)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
