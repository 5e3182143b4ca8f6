"""The synthetic clips: nothing of the test in training, and no answer about order without the order."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import cast, get_args

import numpy as np
import pytest
from PIL import Image, ImageDraw

from recipes.mini import animations, clip_texts, clips, fetch
from recipes.mini.clip_render import SIDE, Sprite, background
from recipes.mini.clip_render import frames as draw_frames
from recipes.mini.clip_scenes import (
    DIRECTIONS,
    FRAMES,
    LESSONS,
    MARGIN,
    OPPOSITE,
    SHARES,
    SIDES,
    Kind,
    Pose,
    Scene,
    backwards,
    scene,
)
from recipes.mini.records import SPLITS, Split, check_questions
from vljepa.configs import ClipView, SourceConfig
from vljepa.data.sources import load_source

KINDS = cast("tuple[Kind, ...]", get_args(Kind))
DRAWN = 600


def scenes(kind: Kind, count: int = DRAWN) -> list[Scene]:
    return [scene(kind, Random(f"{kind}:{number}")) for number in range(count)]


def poses(drawn: Scene) -> list[Pose]:
    return [pose for track in drawn.tracks for pose in track if pose is not None]


@pytest.fixture
def sprites(tmp_path: Path) -> dict[Split, list[Sprite]]:
    """Four sprites per split, each a coloured disc."""
    found: dict[Split, list[Sprite]] = {}
    for number, split in enumerate(SPLITS):
        found[split] = []
        for place in range(25):
            path = tmp_path / f"{split}{place}.png"
            image = Image.new("RGBA", (32, 32))
            ImageDraw.Draw(image).ellipse((6, 6, 26, 26), fill=(255, 10 * place, 80 * number, 255))
            image.save(path)
            name = f"{split} thing {place}"
            found[split].append(Sprite(path.name, name, name, ("animal", "food")[place % 2], path, "MIT"))
    return found


@pytest.fixture
def photos(tmp_path: Path) -> dict[Split, list[Path]]:
    found: dict[Split, list[Path]] = {}
    for number, split in enumerate(SPLITS):
        found[split] = [tmp_path / f"{split}.jpg"]
        Image.new("RGB", (60, 40), (0, 60 * number, 90)).save(found[split][0])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_sprites_stay_in_what_the_model_sees(kind: Kind) -> None:
    for drawn in scenes(kind, 100):
        assert poses(drawn)
        for pose in poses(drawn):
            for centre in (pose.x, pose.y):
                assert centre - pose.size / 2 >= MARGIN - 1e-9
                assert centre + pose.size / 2 <= 1 - MARGIN + 1e-9


def features(drawn: Scene) -> list[float]:
    """What frames tell without their order: means over all frames of place, place squared and size."""
    rows = [(x, y, x * x, y * y, size, size * size) for x, y, size in ((p.x, p.y, p.size) for p in poses(drawn))]
    return [float(value) for value in np.mean(rows, axis=0)]


@pytest.mark.parametrize(
    ("kind", "fact"),
    [("move", "direction"), ("trip", "direction"), ("size", "change"), ("turns", "first"), ("swap", "vanished"),
     ("events", "begins")],
)  # fmt: skip
def test_a_set_of_frames_tells_no_order(kind: Kind, fact: str) -> None:
    """Against the opposite answer, every mean of what is seen is the same; the last frame alone is not."""
    groups: dict[str, list[Scene]] = {}
    for drawn in scenes(kind, 4 * DRAWN):
        if fact in drawn.facts:
            groups.setdefault(drawn.facts[fact], []).append(drawn)
    pairs = {"begins": ("move", "size"), "change": ("grows", "shrinks")}.get(fact, ("left", "right"))
    one, other = ([features(drawn) for drawn in groups[answer]] for answer in pairs)
    spread = np.sqrt(np.var(one, axis=0) / len(one) + np.var(other, axis=0) / len(other)) + 1e-9
    assert np.all(np.abs(np.mean(one, axis=0) - np.mean(other, axis=0)) / spread < 4.5)
    assert abs(len(one) - len(other)) < 4.5 * np.sqrt(len(one) + len(other))


def test_the_control_of_that_test() -> None:
    """First frames do differ: the test above would see a set that tells."""
    drawn = scenes("move", 400)
    starts = {way: [one.tracks[0][0] for one in drawn if one.facts["direction"] == way] for way in DIRECTIONS}
    mean = {way: float(np.mean([pose.x for pose in some if pose])) for way, some in starts.items()}
    assert mean["left"] - mean["right"] > 0.1


def test_a_move_runs_backwards_as_the_opposite_move() -> None:
    for drawn in scenes("move", 50):
        first, last = drawn.tracks[0][0], drawn.tracks[0][-1]
        assert first is not None
        assert last is not None
        dx, dy = DIRECTIONS[drawn.facts["direction"]]
        assert (last.x - first.x) * dx + (last.y - first.y) * dy > 0.2
        assert abs(dx * (last.y - first.y) + dy * (last.x - first.x)) < 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_runs_backwards_with_the_facts_that_are_then_true(kind: Kind) -> None:
    for drawn in scenes(kind, 30):
        turned = backwards(drawn)
        assert [set(frame) for frame in zip(*turned.tracks, strict=True)] == [
            set(frame) for frame in zip(*drawn.tracks, strict=True)
        ][::-1]
        assert backwards(turned) == drawn
    drawn = scenes("turns", 1)[0]
    assert backwards(drawn).facts["first"] == OPPOSITE[drawn.facts["first"]]
    assert backwards(drawn).tracks[0] == drawn.tracks[1][::-1]
    event = scenes("events", 1)[0]
    changed = {fact for fact in event.facts if backwards(event).facts[fact] != event.facts[fact]}
    assert changed == {"begins", "direction", "change"}


def test_what_comes_first_is_gone_at_the_end() -> None:
    for drawn in scenes("turns", 50):
        assert all(track[0] is None and track[-1] is None for track in drawn.tracks)
        firsts = [next(frame for frame, pose in enumerate(track) if pose) for track in drawn.tracks]
        assert firsts[0] < firsts[1]
        dx, dy = SIDES[drawn.facts["first"]]
        seen = [next(pose for pose in track if pose) for track in drawn.tracks]
        assert (seen[0].x - 0.5) * dx + (seen[0].y - 0.5) * dy > 0 > (seen[1].x - 0.5) * dx + (seen[1].y - 0.5) * dy
        assert drawn.facts["last"] == OPPOSITE[drawn.facts["first"]]


def test_counts_are_those_of_the_frames() -> None:
    seen = Counter()
    for drawn in scenes("several", 200):
        for fact, frame in (("at the start", 0), ("at the end", FRAMES - 1)):
            count = sum(track[frame] is not None for track in drawn.tracks)
            assert str(count) == drawn.facts[fact]
            seen[fact, count] += 1
    assert all(seen[fact, count] for fact in ("at the start", "at the end") for count in (1, 2, 3, 4))


def test_clips_are_drawn_where_the_scene_says(
    sprites: dict[Split, list[Sprite]], photos: dict[Split, list[Path]]
) -> None:
    pose = Pose(0.25, 0.75, 0.3)
    drawn = Scene(kind="size", tracks=((None, *[pose] * (FRAMES - 1)),))
    behind = background(photos["train"][0], Random(0))
    empty, shown, *_ = draw_frames(drawn, sprites["train"][:1], behind)
    assert np.array_equal(np.asarray(empty), np.asarray(behind))
    changed = np.argwhere((np.asarray(shown) != np.asarray(empty)).any(-1))
    np.testing.assert_allclose(changed.mean(0) / SIDE, (0.75, 0.25), atol=0.01)
    np.testing.assert_allclose(np.ptp(changed, axis=0) / SIDE, 0.3, atol=0.02)


def test_splits_share_nothing(sprites: dict[Split, list[Sprite]], photos: dict[Split, list[Path]]) -> None:
    clips.check_apart(sprites, photos)
    with pytest.raises(AssertionError, match="in test and train"):
        clips.check_apart({**sprites, "test": [*sprites["test"], sprites["train"][0]]}, photos)
    with pytest.raises(AssertionError, match="background is in validation and train"):
        clips.check_apart(sprites, {**photos, "validation": photos["train"]})


def test_a_wording_of_the_test_in_training_is_refused(
    sprites: dict[Split, list[Sprite]], photos: dict[Split, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    leaking = dict(clip_texts.QUESTIONS["direction"])
    leaking["test"] = ("Which way does it move",)
    monkeypatch.setitem(clip_texts.QUESTIONS, "direction", leaking)
    with pytest.raises(AssertionError, match="wording of 'direction' is in test and train"):
        clips.check_apart(sprites, photos)


def test_rendered_rows_are_read_as_clips_and_say_that_they_are_synthetic(
    sprites: dict[Split, list[Sprite]], photos: dict[Split, list[Path]], tmp_path: Path
) -> None:
    written = {}
    for run in ("one", "two"):
        rows = clips.render(
            tmp_path / run, "test", [SHARES] * 30, seed=3, sprites=sprites["test"], photos=photos["test"]
        )
        written[run] = json.dumps(rows), sorted(path.read_bytes() for path in (tmp_path / run / "test").iterdir())
    assert written["one"] == written["two"], "a pure function of the seed"
    assert all(row["synthetic"] is True for name in ("captions", "questions", "next") for row in rows[name])
    check_questions([row | {"image": row["video"]} for row in rows["questions"]])
    used = {row["type"] for row in rows["questions"]}
    assert used == clip_texts.QUESTIONS.keys() - {"next", "now"}
    file = tmp_path / "one" / "rows.jsonl"
    for name, frames in (("questions", 8), ("next", 4)):
        file.write_text("".join(json.dumps(row) + "\n" for row in rows[name]), encoding="utf-8")
        records = load_source(SourceConfig(name=name, path=str(file), view=ClipView(frames=frames), task="vqa"))
        assert len(records) == len(rows[name])


def test_training_clips_are_drawn_by_the_shares_of_their_lesson(
    sprites: dict[Split, list[Sprite]], photos: dict[Split, list[Path]], tmp_path: Path
) -> None:
    given = {"seed": 3, "sprites": sprites["train"], "photos": photos["train"]}
    lessons = [shares for _, shares in LESSONS for _ in range(6)]
    rows = clips.render(tmp_path / "some", "train", lessons[:6], **given)
    more = clips.render(tmp_path / "more", "train", lessons, **given)
    assert more["captions"][: len(rows["captions"])] == rows["captions"], "the first ones are what they were"
    asked = [
        {row["type"] for row in more["questions"] if int(row["video"][6:11]) // 6 == lesson} for lesson in range(2)
    ]
    assert {"direction", "what"} <= asked[0]
    assert asked[1] <= {*clips.ORDER, "first name", "vanished side", "vanished name", "at the start", "at the end"}


def test_no_prepared_data(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "read_sprites", lambda data: clips.read_rows(data / "emoji" / "captions.train.jsonl"))
    assert clips.main([str(tmp_path / "out"), "--data", str(tmp_path)]) == 2
    assert "--data takes the folder that prepare.py has written" in " ".join(capsys.readouterr().err.split())


def test_animations_of_held_out_concepts_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, package = tmp_path / "data", tmp_path / "package" / "package" / "assets"
    (data / "emoji").mkdir(parents=True)
    package.mkdir(parents=True)
    row = {"image": "images/fluent/1f98a.png", "text": ["fox"]}
    (data / "emoji" / "captions.test.jsonl").write_text(json.dumps(row) + "\n")
    for name in ("1f98a-fe0f.webp", "1f431.webp"):
        (package / name).write_bytes(name.encode())
    monkeypatch.setattr(fetch, "get", lambda key, **_: tmp_path / "package")
    assert animations.main([str(tmp_path / "out"), "--data", str(data)]) == 0
    assert [path.name for path in (tmp_path / "out").glob("*.webp")] == ["1f98a.webp"]
    rows = (tmp_path / "out" / "animations.jsonl").read_text().splitlines()
    assert [json.loads(one) for one in rows] == [{"video": "1f98a.webp", "text": "fox"}]
    assert animations.main([str(tmp_path / "out"), "--data", str(tmp_path)]) == 2
