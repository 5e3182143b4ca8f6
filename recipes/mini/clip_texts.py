"""What is said and asked about rendered clips: wordings of training, validation and test differ."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from random import Random
from typing import NamedTuple

from recipes.mini.clip_render import Sprite
from recipes.mini.clip_scenes import OPPOSITE, Scene
from recipes.mini.photo_questions import NUMBERS
from recipes.mini.records import Split, normalise

Wordings = dict[str, dict[Split, tuple[str, ...]]]


def _every(pattern: str, *words: Sequence[str]) -> tuple[str, ...]:
    """A wording for every choice of words."""
    return tuple(pattern.format(*some) for some in product(*words))


THINGS, COMES = ("something", "a thing", "an object"), ("appear", "come", "show up", "turn up")
QUESTIONS: Wordings = {
    "direction": {
        "train": (
            *_every(
                "which way {}?",
                ("does it move", "is it moving", "does it go", "does the thing go", "is the thing moving"),
            ),
            *_every("in which direction {}?", ("does it go", "does it move", "is the thing going", "is it travelling")),
            *_every(
                "what direction {} in?", ("does the thing move", "does it move", "is it going", "is the object moving")
            ),
            *_every(
                "where {}?", ("is it heading", "is it going", "does the moving thing go", "does the thing move to")
            ),
            *_every("what is the direction of {}?", ("its movement", "the motion", "the thing", "the moving object")),
        ),
        "validation": ("in what direction is it moving?", "where does it move to?"),
        "test": ("which way is it going?", "what is the direction of the movement?"),
    },
    "change": {
        "train": (
            *_every("what happens to {}?", ("its size", "the size", "the size of the thing")),
            *_every("how does {} change?", ("it", "its size", "the size", "the thing")),
            *_every("does {} bigger or smaller?", ("it become", "the thing get", "it grow", "the object get")),
            *_every("in what way does {} change?", ("it", "the size", "the thing")),
        ),
        "validation": ("what does its size do?",),
        "test": ("in what way does its size change?", "does it get bigger or smaller?"),
    },
    "first side": {
        "train": (
            *_every("where does {} {} first?", THINGS, COMES),
            *_every("on which side does {} {} first?", THINGS, COMES),
            *_every("where does the first {}?", ("thing appear", "thing come", "object show up", "object appear")),
            *_every("on which side {} the first {}?", ("is", "was"), ("thing", "object")),
            *_every("which side {} first?", ("comes", "has a thing", "has an object", "is used")),
            "at which side does it begin?",
        ),
        "validation": ("where is the first thing to be seen?",),
        "test": ("which side has something first?", "where does the first thing show up?"),
    },
    "first kind": {
        "train": (
            *_every("{} kind of thing {} first?", ("what", "which"), ("comes", "appears", "shows up")),
            *_every("{} sort of thing {} first?", ("what", "which"), ("comes", "appears", "was")),
            *_every("{} of thing does it {} with?", ("what sort", "which kind"), ("begin", "start")),
        ),
        "validation": ("what kind of thing is seen first?",),
        "test": ("which sort of thing shows up first?", "what kind of thing does it begin with?"),
    },
    "first name": {
        "train": (
            *_every("what {} first?", ("comes", "appears", "arrives", "was there", "is there")),
            *_every("which {} {} first?", ("thing", "object"), ("comes", "appears", "shows up", "was there")),
            *_every("{} does it {} with?", ("which thing", "which object"), ("begin", "start")),
            "what is the first thing?",
        ),
        "validation": ("what is seen first?",),
        "test": ("what shows up first?", "what does it begin with?"),
    },
    "vanished side": {
        "train": (
            *_every("where does {} {}?", ("something", "an object"), ("vanish", "disappear", "go away")),
            *_every("on which side does {} {}?", ("a thing", "an object"), ("vanish", "disappear", "go away")),
            *_every("which side {} empty?", ("becomes", "gets")),
        ),
        "validation": ("where is something lost?",),
        "test": ("on which side does something vanish?", "where does a thing disappear?"),
    },
    "vanished name": {
        "train": (
            *_every(
                "what {}?",
                ("vanishes", "disappears", "goes away", "is gone", "is gone at the end", "is no longer there"),
            ),
            *_every("which {} {}?", ("thing", "object"), ("disappears", "goes away", "is gone", "is no longer there")),
            "which object vanishes?",
        ),
        "validation": ("what gets lost?",),
        "test": ("which thing vanishes?", "what is no longer there at the end?"),
    },
    "begins": {
        "train": (
            *_every("what does {} do first?", ("it", "the thing", "the object")),
            *_every("what happens {}first?", ("", "to the thing ", "to the object ")),
            *_every("which {} first?", ("happens", "does the thing do", "is done")),
            *_every("what does {} begin by doing?", ("it", "the thing")),
        ),
        "validation": ("what is the first thing that it does?",),
        "test": ("which does it do first?", "what happens to it first?"),
    },
    "at the start": {
        "train": (
            *_every("how many {} are there {}?", ("things", "objects"), ("at the start", "at first")),
            *_every("how many objects {}?", ("are there in the beginning", "does it begin with")),
        ),
        "validation": ("how many things does it start with?",),
        "test": ("how many things are there in the beginning?",),
    },
    "at the end": {
        "train": (
            *_every("how many {} are {}?", ("things", "objects"), ("there at the end", "left")),
            *_every("how many objects {}?", ("are there finally", "are there at last")),
        ),
        "validation": ("how many things does it end with?",),
        "test": ("how many things are there finally?",),
    },
    "what": {
        "train": (
            *_every("what is {}?", ("moving", "it that moves", "the thing that moves", "the moving object")),
            *_every("which {}?", ("thing moves", "object moves", "thing is moving")),
        ),
        "validation": ("what moves here?",),
        "test": ("what is the moving thing?",),
    },
    "kind": {
        "train": (
            *_every("{} of thing is moving?", ("what kind", "which kind", "what sort", "which sort")),
            *_every("{} of {}?", ("what sort", "which kind"), ("thing moves", "object moves", "object is moving")),
        ),
        "validation": ("what kind of thing moves?",),
        "test": ("which sort of thing moves?",),
    },
    "next": {
        "train": (
            *_every("what {} next?", ("comes", "happens", "will come", "will be seen", "is to come")),
            *_every("what will {}?", ("happen then", "be there next", "it be like next")),
        ),
        "validation": ("what is next?",),
        "test": ("what will happen next?",),
    },
    "now": {
        "train": (
            *_every("what is {} now?", ("to be seen", "it like", "here", "to see")),
            *_every("where is {} now?", ("it", "the thing")),
        ),
        "validation": ("what can be seen now?",),
        "test": ("what is there now?",),
    },
}
"""By what is asked. The test's sentences are new, its words mostly are not: the Predictor learns words here alone."""

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
