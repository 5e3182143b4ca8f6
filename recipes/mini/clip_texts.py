"""What is said and asked about rendered clips: wordings of training, validation and test differ."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from recipes.mini.clip_render import Sprite
from recipes.mini.clip_scenes import OPPOSITE, Scene
from recipes.mini.photo_questions import NUMBERS
from recipes.mini.records import Split, normalise

Wordings = dict[str, dict[Split, tuple[str, ...]]]

QUESTIONS: Wordings = {
    "direction": {
        "train": (
            "which way does it move?",
            "which way is it moving?",
            "in which direction does it go?",
            "where is it heading?",
            "what direction does the thing move in?",
            "where does the moving thing go?",
        ),
        "validation": ("in what direction is it moving?", "where does it move to?"),
        "test": ("which way is it going?", "what is the direction of the movement?"),
    },
    "change": {
        "train": (
            "what happens to its size?",
            "how does its size change?",
            "does it become bigger or smaller?",
            "how does it change?",
        ),
        "validation": ("what does its size do?",),
        "test": ("in what way does its size change?", "does it get bigger or smaller?"),
    },
    "first side": {
        "train": (
            "where does something appear first?",
            "on which side does the first thing appear?",
            "which side comes first?",
            "where was the first thing?",
            "at which side does it begin?",
        ),
        "validation": ("where is the first thing to be seen?",),
        "test": ("which side has something first?", "where does the first thing show up?"),
    },
    "last side": {
        "train": (
            "where does something appear last?",
            "on which side does the second thing appear?",
            "which side comes last?",
            "where was the last thing?",
            "at which side does it end?",
        ),
        "validation": ("where is the last thing to be seen?",),
        "test": ("which side has something last?", "where does the second thing show up?"),
    },
    "first kind": {
        "train": (
            "what kind of thing comes first?",
            "which kind of thing appears first?",
            "what sort of thing was first?",
        ),
        "validation": ("what kind of thing is seen first?",),
        "test": ("which sort of thing shows up first?", "what kind of thing does it begin with?"),
    },
    "first name": {
        "train": ("what comes first?", "what appears first?", "which thing was first?", "what was there first?"),
        "validation": ("what is seen first?",),
        "test": ("what shows up first?", "what does it begin with?"),
    },
    "vanished side": {
        "train": (
            "where does something vanish?",
            "on which side does a thing disappear?",
            "which side becomes empty?",
            "where does a thing go away?",
        ),
        "validation": ("where is something lost?",),
        "test": ("on which side does something vanish?", "where does a thing disappear?"),
    },
    "appeared side": {
        "train": (
            "where does something new appear?",
            "on which side does a new thing come up?",
            "which side gets something new?",
            "where does a thing arrive?",
        ),
        "validation": ("where is something new?",),
        "test": ("on which side does something new appear?", "where does a new thing arrive?"),
    },
    "vanished name": {
        "train": ("what vanishes?", "what disappears?", "which thing goes away?", "what is gone at the end?"),
        "validation": ("what gets lost?",),
        "test": ("which thing vanishes?", "what is no longer there at the end?"),
    },
    "begins": {
        "train": ("what does it do first?", "what happens first?", "what does the thing begin with?"),
        "validation": ("what is the first thing that it does?",),
        "test": ("which does it do first?", "what happens to it first?"),
    },
    "at the start": {
        "train": ("how many things are there at the start?", "how many things are there at first?"),
        "validation": ("how many things does it start with?",),
        "test": ("how many things are there in the beginning?",),
    },
    "at the end": {
        "train": ("how many things are there at the end?", "how many things are left?"),
        "validation": ("how many things does it end with?",),
        "test": ("how many things are there finally?",),
    },
    "what": {
        "train": ("what is moving?", "what is it that moves?", "which thing moves?"),
        "validation": ("what moves here?",),
        "test": ("what is the moving thing?",),
    },
    "kind": {
        "train": ("what kind of thing is moving?", "which kind of thing moves?", "what sort of thing is moving?"),
        "validation": ("what kind of thing moves?",),
        "test": ("which sort of thing moves?",),
    },
    "next": {
        "train": ("what comes next?", "what happens next?", "what will be seen next?"),
        "validation": ("what is next?",),
        "test": ("what will happen next?",),
    },
    "now": {
        "train": ("where is it now?", "what is to be seen now?"),
        "validation": ("what can be seen now?",),
        "test": ("what is there now?",),
    },
}
"""By what is asked."""

CAPTIONS: Wordings = {
    "move": {
        "train": ("{a} moves {way}", "{a} goes {way}", "{a} is moving {way}", "{a} slides {way}"),
        "validation": ("{a} travels {way}",),
        "test": ("{a} wanders {way}",),
    },
    "size": {
        "train": ("{a} {change}", "{a} {change} slowly", "watch how {a} {change}"),
        "validation": ("{a} {change} more and more",),
        "test": ("{a} {change} steadily",),
    },
    "turns": {
        "train": (
            "first {a} {here}, then {b} {there}",
            "{a} {here}, and then {b} {there}",
            "{a} appears {here}, later {b} {there}",
        ),
        "validation": ("{b} {there} follows {a} {here}",),
        "test": ("{a} {here} is followed by {b} {there}",),
    },
    "swap": {
        "train": (
            "{a} {here} vanishes and {b} appears {there}",
            "{a} disappears {here}, {b} comes {there}",
            "{a} {here} goes away, and {b} arrives {there}",
        ),
        "validation": ("{a} {here} makes way for {b} {there}",),
        "test": ("{a} {here} is gone, and {b} has come {there}",),
    },
    "events": {
        "train": ("{a} {one}, then it {two}", "first {a} {one}, and then it {two}"),
        "validation": ("{a} {one} before it {two}",),
        "test": ("{a} {one}, after that it {two}",),
    },
    "several": {
        "train": ("first {n} things, then {m}", "{n} things at first and {m} at the end"),
        "validation": ("{n} things become {m}",),
        "test": ("from {n} things to {m}",),
    },
    "place": {
        "train": ("{a} {here}", "{a} is {here}", "{a} can be seen {here}"),
        "validation": ("{a} stands {here}",),
        "test": ("{a} shows {here}",),
    },
}
"""By kind of scene; `place` is what comes next in a trip."""

WAYS = {"left": "to the left", "right": "to the right", "up": "up", "down": "down"}
AT = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "middle": "in the middle",
}
CHANGES = {"grows": "it grows", "shrinks": "it shrinks"}
BEGINNINGS = {"move": "it moves", "size": "it changes size"}
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
    for kind in ("first", "last", "vanished", "appeared"):
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
