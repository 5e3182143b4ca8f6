"""Clips of v_jepa_shapes: labels that need time, shares, and files that the method and the probes read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image, ImageDraw

from recipes.mini.clip_render import SIDE as FULL
from recipes.mini.clip_render import Sprite, background
from recipes.mini.clip_scenes import DIRECTIONS, FRAMES, MARGIN, Pose
from recipes.mini.records import SPLITS
from recipes.v_jepa import clips
from vljepa.configs import ClipView, SourceConfig
from vljepa.data.labelled import read_labelled
from vljepa.data.sources import load_source


def way(track: Any) -> tuple[float, float]:
    first, last = track[0], track[-1]
    return last.x - first.x, last.y - first.y


def test_a_move_goes_its_way_at_its_speed_and_stays_inside() -> None:
    seen = Counter()
    for number in range(400):
        drawn = clips.move(Random(number))
        [track] = drawn.tracks
        dx, dy = DIRECTIONS[drawn.facts["direction"]]
        along, across = (way(track)[0], way(track)[1]) if dx else (way(track)[1], way(track)[0])
        low, high = clips.SPEEDS[drawn.facts["speed"]]
        assert low <= along * (dx + dy) <= high
        assert across == 0
        for pose in track:
            assert isinstance(pose, Pose)
            assert MARGIN + pose.size / 2 - 1e-9 <= min(pose.x, pose.y)
            assert max(pose.x, pose.y) <= 1 - MARGIN - pose.size / 2 + 1e-9
        seen[drawn.facts["direction"], drawn.facts["speed"]] += 1
    assert len(seen) == 12
    assert min(seen.values()) > 15


def test_no_frame_by_itself_tells_the_way() -> None:
    """Run backwards a move is as likely a move the other way: places of every frame are spread alike."""
    places: dict[str, list[float]] = {name: [] for name in DIRECTIONS}
    for number in range(4000):
        drawn = clips.move(Random(number))
        pose = drawn.tracks[0][FRAMES // 2]
        assert pose is not None
        places[drawn.facts["direction"]].append(pose.x)
    means = {name: sum(some) / len(some) for name, some in places.items()}
    assert max(means.values()) - min(means.values()) < 0.04, means


@pytest.fixture
def sprites(tmp_path: Path) -> dict[Any, list[Sprite]]:
    found: dict[Any, list[Sprite]] = {}
    for split in SPLITS:
        found[split] = []
        for place in range(2 * clips.LEAST_SPRITES + 1):
            path = tmp_path / f"{split}{place}.png"
            image = Image.new("RGBA", (32, 32))
            ImageDraw.Draw(image).ellipse((2, 2, 30, 30), fill=(255, 10 * place, 0, 255))
            image.save(path)
            kind = ("animal", "food")[place % 2] if place < 2 * clips.LEAST_SPRITES else "clock"
            found[split].append(Sprite(path.name, path.stem, path.stem, kind, path, "MIT"))
    return found


def test_they_are_rendered_with_rows_that_are_read(tmp_path: Path, sprites: dict[Any, list[Sprite]]) -> None:
    kinds = clips.common_kinds(sprites)
    assert kinds == ["animal", "food"], "of clocks there are too few"
    photo = tmp_path / "photo.png"
    Image.new("RGB", (90, 80), "blue").save(photo)
    rows = clips.render(tmp_path / "out", "train", 40, seed=0, sprites=sprites["train"], photos=[photo], kinds=kinds)
    assert len(rows["clips"]) == 40
    assert all("text" not in row for row in rows["clips"])
    assert [row["video"] for row in rows["motion"]] == [row["video"] for row in rows["kind"]]
    assert not {row["video"] for row in rows["motion"]} & {row["video"] for row in rows["order"]}
    assert {row["text"] for row in rows["order"]} <= {f"{side} first" for side in ("left", "right", "top", "bottom")}
    for name in ("clips", "motion"):
        clips.write_jsonl(tmp_path / "out" / f"{name}.train.jsonl", rows[name])
    source = SourceConfig(name="clips", path="clips.train.jsonl", view=ClipView(frames=FRAMES))
    assert len(load_source(source, root=tmp_path / "out", texts="optional")) == 40
    labelled = read_labelled(tmp_path / "out" / "motion.train.jsonl", frames=FRAMES)
    assert [one.label for one in labelled] == [row["text"] for row in rows["motion"]]
    with Image.open(tmp_path / "out" / "train" / "00000.webp") as image:
        assert (image.size, getattr(image, "n_frames", 1)) == ((clips.SIDE, clips.SIDE), FRAMES)


def test_minis_own_clips_stay_as_large_as_they_were(tmp_path: Path) -> None:
    Image.new("RGB", (90, 80), "blue").save(tmp_path / "photo.png")
    assert background(tmp_path / "photo.png", Random(0)).size == (FULL, FULL)
