"""Render the synthetic clips of the video stage: ``python recipes/mini/clips.py OUT --data data/mini``.

DATA is what ``prepare.py`` has written: its drawings, with the transparency of their packages, move over its openly
licensed photos. Sprites keep the split of their concept, photos are dealt into three lots, and each split has wordings
of its own, so nothing of the test is ever in training. Every row says ``synthetic``. Exit code 2: DATA is not there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

# Run as a script, this folder would be first on the path, and emoji.py would hide a package of that name.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from rich.console import Console
from rich.progress import track

from recipes.mini import clip_render, clip_texts, emoji, fetch
from recipes.mini.clip_render import Sprite
from recipes.mini.clip_scenes import FRAMES, LESSONS, SHARES, Scene, Shares, backwards, scene
from recipes.mini.kinds import kind_of
from recipes.mini.records import SPLITS, PrepareError, Split, normalise, stable_key, write_json, write_jsonl

CLIPS: dict[Split, tuple[tuple[int, Shares], ...]] = {
    "train": LESSONS,
    "validation": ((600, SHARES),),
    "test": ((300, SHARES),),
}
"""Numbers of clips, and shares of the kinds of scenes."""
PHOTOS: dict[Split, int] = {"test": 15, "validation": 10, "train": 58}
ORDER = ("first side", "first kind", "begins")
"""Questions that are slow to learn, in a file of their own besides, so that a recipe can ask them more often."""
LEFT_OUT = frozenset({"symbols", "flags"})
"""Groups of drawings that say a direction, or say nothing."""

Row = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("out", type=Path, help="folder to write to")
    result.add_argument("--data", type=Path, required=True, help="folder that prepare.py has written")
    result.add_argument("--train", type=int, help="number of training clips, the first ones of all")
    result.add_argument("--seed", type=int, default=0)
    return result


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a JSONL file of the prepared data."""
    if not path.is_file():
        raise PrepareError(f"there is no {path}; --data takes the folder that prepare.py has written")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_sprites(data: Path) -> dict[Split, list[Sprite]]:
    """Return the drawings of every split, as transparent originals."""
    from recipes.mini.build import load_emoji

    downloads = data / "downloads"
    keys = ("google", "twitter", "fluent", "emojibase")
    folders = {key: fetch.get(key, downloads=downloads, cache=downloads / "unpacked") for key in keys}
    owner = {
        f"emoji:{style}/{item.code}": (item, image)
        for item in load_emoji(folders)
        for style, image in item.images.items()
    }
    sprites: dict[Split, list[Sprite]] = {}
    for split in SPLITS:
        sprites[split] = []
        for row in read_rows(data / "emoji" / f"captions.{split}.jsonl"):
            item, image = owner[row["source_id"]]
            if item.group not in LEFT_OUT:
                name = row["text"][0]
                sprites[split].append(
                    Sprite(row["source_id"], row["concept"], name, kind_of(item), image, emoji.STYLES[row["style"]])
                )
    return sprites


def deal_photos(data: Path) -> dict[Split, list[Path]]:
    """Return the backgrounds of every split: openly licensed photos, dealt by a hash of their id."""
    rows = read_rows(data / "photos" / "captions.train.jsonl")
    rows.sort(key=lambda row: stable_key("background", row["source_id"]))
    dealt, start = {}, 0
    for split, count in PHOTOS.items():
        dealt[split] = [data / "photos" / row["image"] for row in rows[start : start + count]]
        start += count
    return dealt


def check_apart(sprites: dict[Split, list[Sprite]], photos: dict[Split, list[Path]]) -> None:
    """Assert that no concept, name, background or wording of one split is in another."""
    for held, other in (("validation", "train"), ("test", "train"), ("test", "validation")):
        for what in ("concept", "source_id"):
            both = {getattr(one, what) for one in sprites[held]} & {getattr(one, what) for one in sprites[other]}
            assert not both, f"{what}s in {held} and {other}: {sorted(both)[:3]}"
        names = [{normalise(one.name) for one in sprites[split]} for split in (held, other)]
        assert not names[0] & names[1], f"names in {held} and {other}: {sorted(names[0] & names[1])[:3]}"
        assert not set(photos[held]) & set(photos[other]), f"a background is in {held} and {other}"
        for table in (clip_texts.QUESTIONS, clip_texts.CAPTIONS):
            for key, wordings in table.items():
                said = {split: {normalise(text) for text in wordings[split]} for split in (held, other)}
                assert not said[held] & said[other], f"a wording of {key!r} is in {held} and {other}"


def pick(sprites: Sequence[Sprite], count: int, random: Random) -> list[Sprite]:
    """Draw sprites of different names, each concept as likely as any other."""
    concepts = sorted({sprite.concept for sprite in sprites})
    chosen: list[Sprite] = []
    for concept in random.sample(concepts, count):
        chosen.append(random.choice([sprite for sprite in sprites if sprite.concept == concept]))
    return chosen


def clip_rows(split: Split, number: int, drawn: Scene, sprites: Sequence[Sprite], random: Random, **pools: Any) -> Row:
    """Return a clip's captions and questions, by the file that they belong to; in training also of the clip backwards.

    The two are the same images with opposite answers: nothing but the order is to be learned.
    """
    rows = one_way(split, number, drawn, sprites, random, **pools)
    if split == "train":
        turned = list(reversed(sprites)) if drawn.kind in ("turns", "swap") else sprites
        more = one_way(split, number, backwards(drawn), turned, random, **pools)
        for name in ("captions", "questions"):
            rows[name] += [row | {"backwards": True, "source_id": f"{row['source_id']}r"} for row in more[name]]
    return rows


def one_way(split: Split, number: int, drawn: Scene, sprites: Sequence[Sprite], random: Random, **pools: Any) -> Row:
    """Return the captions and questions of a clip that is seen as it was drawn."""
    video = {"video": f"{split}/{number:05d}.webp", "source_id": f"clip:{split}/{number}", "synthetic": True}
    half = {"end": FRAMES / 2 * clip_render.MILLISECONDS / 1000}
    rows: Row = {
        "captions": [{**video, "text": clip_texts.captions(drawn, sprites, split)}],
        "questions": [],
        "next": [],
    }
    names = random.sample(pools["names"], 2 * clip_texts.WHAT_CHOICES)
    for asked in clip_texts.questions(drawn, sprites, names=names, kinds=pools["kinds"]):
        row = {**video, "query": clip_texts.ask(asked.type, split, random), "type": asked.type}
        if asked.half:
            texts = {place: clip_texts.place_captions(sprites[0], place, split) for place in asked.candidates}
            first = [place_texts[0] for place_texts in texts.values()]
            rows["next"].append({**row, **half, "text": texts[asked.answer], "candidates": first})
        else:
            rows["questions"].append({**row, "text": [asked.answer], "candidates": list(asked.candidates)})
    return rows


def render(
    out: Path, split: Split, kinds: Sequence[Shares], *, seed: int, sprites: Sequence[Sprite], photos: Sequence[Path]
) -> Row:
    """Write the clips of a split, each of a kind drawn by its shares, and return their rows."""
    rows: Row = {"captions": [], "questions": [], "next": [], "sprites": []}
    pools = {
        "names": sorted({sprite.name for sprite in sprites}),
        "kinds": sorted({sprite.kind for sprite in sprites if sprite.kind}),
    }
    for number, shares in enumerate(track(kinds, description=f"{split} clips", transient=True)):
        random = Random(f"{seed}:{split}:{number}")
        drawn = scene(random.choices(list(shares), list(shares.values()))[0], random)
        chosen = pick(sprites, len(drawn.tracks), random)
        target = out / split / f"{number:05d}.webp"
        behind = clip_render.background(random.choice(photos), random)
        if not target.is_file():
            clip_render.save_clip(clip_render.frames(drawn, chosen, behind), target)
        for name, more in clip_rows(split, number, drawn, chosen, random, **pools).items():
            rows[name] += more
        rows["sprites"] += [sprite.source_id for sprite in chosen]
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
    summary = {}
    for split in SPLITS:
        kinds = [shares for count, shares in CLIPS[split] for _ in range(count)]
        if split == "train":
            kinds = kinds[: given.train]
        rows = render(given.out, split, kinds, seed=given.seed, sprites=sprites[split], photos=photos[split])
        for name in ("captions", "questions", "next"):
            write_jsonl(given.out / f"{name}.{split}.jsonl", rows[name])
        if split == "train":
            write_jsonl(given.out / "order.train.jsonl", [row for row in rows["questions"] if row["type"] in ORDER])
        summary[split] = {
            "clips": len(kinds),
            "questions": len(rows["questions"]),
            "sprites": len(set(rows["sprites"])),
            "backgrounds": len(photos[split]),
        }
    write_json(given.out / "summary.json", {"synthetic": True, "seed": given.seed, "splits": summary})
    Console().print_json(data=summary)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
