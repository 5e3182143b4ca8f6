"""What is said and asked about rendered clips: wordings of training, validation and test differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from random import Random
from typing import Any, NamedTuple

from recipes.mini.clip_render import Sprite
from recipes.mini.clip_scenes import OPPOSITE, Scene
from recipes.mini.photo_questions import NUMBERS
from recipes.mini.records import Split, normalise
from recipes.mini.word_lists import read_words

Wordings = dict[str, dict[Split, tuple[str, ...]]]


def _wordings(listed: Mapping[str, Mapping[Split, Sequence[str | Mapping[str, Any]]]]) -> Wordings:
    """Wordings by key and split, patterns written out with every choice of words."""
    return {
        key: {split: tuple(wording for one in some for wording in _every(one)) for split, some in splits.items()}
        for key, splits in listed.items()
    }


def _every(wording: str | Mapping[str, Any]) -> list[str]:
    if isinstance(wording, str):
        return [wording]
    return [wording["pattern"].format(*chosen) for chosen in product(*wording["words"])]


_WORDS = read_words("clip_texts")
QUESTIONS, CAPTIONS = _wordings(_WORDS["questions"]), _wordings(_WORDS["captions"])
WAYS: dict[str, str] = _WORDS["ways"]
AT: dict[str, str] = _WORDS["at"]
CHANGES: dict[str, str] = _WORDS["changes"]
BEGINNINGS: dict[str, str] = _WORDS["beginnings"]
WHAT_CHOICES = 10


class Asked(NamedTuple):
    """A question about a clip, or about its first half."""

    type: str
    answer: str
    candidates: tuple[str, ...]
    half: bool = False


def questions(scene: Scene, sprites: Sequence[Sprite], *, names: Sequence[str], kinds: Sequence[str]) -> list[Asked]:
    """Everything that is asked about a scene.

    Args:
        scene: What happens.
        sprites: What it happens to.
        names: Wrong answers to "what is it?".
        kinds: All kinds of things.
    """
    facts, asked = scene.facts, []
    first = sprites[0]
    if "direction" in facts and scene.kind in ("move", "trip"):
        asked.append(Asked("direction", facts["direction"], tuple(WAYS)))
        others = [name for name in names if normalise(name) != normalise(first.name)][: WHAT_CHOICES - 1]
        asked.append(Asked("what", first.name, tuple(sorted([first.name, *others]))))
        if first.kind:
            asked.append(Asked("kind", first.kind, tuple(kinds)))
    if scene.kind == "trip":
        asked.append(Asked("next", facts["end"], tuple(AT), half=True))
        asked.append(Asked("now", facts["start"], tuple(AT), half=True))
    if scene.kind == "size":
        asked.append(Asked("change", CHANGES[facts["change"]], tuple(CHANGES.values())))
    for kind in ("first", "vanished"):
        if kind in facts:
            side = facts[kind]
            sides = ("left", "right") if side in ("left", "right") else ("top", "bottom")
            asked.append(Asked(f"{kind} side", side, sides))
    if scene.kind in ("turns", "swap"):
        asked.append(
            Asked(
                "first name" if scene.kind == "turns" else "vanished name",
                first.name,
                _pair(first.name, sprites[1].name),
            )
        )
    if scene.kind == "turns" and first.kind and sprites[1].kind and first.kind != sprites[1].kind:
        asked.append(Asked("first kind", first.kind, _pair(first.kind, sprites[1].kind)))
    if scene.kind == "events":
        asked.append(Asked("begins", BEGINNINGS[facts["begins"]], tuple(BEGINNINGS.values())))
    if scene.kind == "several":
        asked += [Asked(when, NUMBERS[int(facts[when])], NUMBERS[1:5]) for when in ("at the start", "at the end")]
    return asked


def captions(scene: Scene, sprites: Sequence[Sprite], split: Split) -> list[str]:
    """What a clip shows, in every wording of the split."""
    facts = scene.facts
    words: dict[str, str] = {"a": sprites[0].name}
    kind: str = scene.kind
    if kind == "trip":
        if "direction" not in facts:
            return place_captions(sprites[0], facts["end"], split)
        kind = "move"
    if kind == "move":
        words["way"] = WAYS[facts["direction"]]
    elif kind == "size":
        words["change"] = facts["change"]
    elif kind in ("turns", "swap"):
        side = facts["first" if kind == "turns" else "vanished"]
        words |= {"b": sprites[1].name, "here": AT[side], "there": AT[OPPOSITE[side]]}
    elif kind == "events":
        done = ["moves " + WAYS[facts["direction"]], facts["change"]]
        words["one"], words["two"] = done if facts["begins"] == "move" else done[::-1]
    else:
        words |= {"n": NUMBERS[int(facts["at the start"])], "m": NUMBERS[int(facts["at the end"])]}
    return [wording.format(**words) for wording in CAPTIONS[kind][split]]


def place_captions(sprite: Sprite, place: str, split: Split) -> list[str]:
    """What a sprite that stands somewhere looks like, in every wording of the split."""
    return [wording.format(a=sprite.name, here=AT[place]) for wording in CAPTIONS["place"][split]]


def ask(type_: str, split: Split, random: Random) -> str:
    """One of the split's wordings of a question."""
    return random.choice(QUESTIONS[type_][split])


def _pair(*texts: str) -> tuple[str, ...]:
    return tuple(sorted(texts))
