"""What happens in a rendered clip: sprites with a place and a size in every frame, drawn from a seed.

All scenes are made so that frames without their order do not tell an answer about order: the frames of a clip run
backwards are as likely as those of the clip itself, and there the answer is the other one. Lengths are in shares of the
image's side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal

FRAMES = 8
MARGIN = 0.06
"""Outer share on every side that the model's crop cuts off, and a little more."""
DIRECTIONS: dict[str, tuple[int, int]] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SIDES: dict[str, tuple[float, float]] = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
OPPOSITE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top", "up": "down", "down": "up"}
Kind = Literal["move", "trip", "size", "turns", "swap", "events", "several"]
Shares = dict[Kind, float]
SHARES: Shares = {
    "move": 0.25,
    "trip": 0.12,
    "size": 0.1,
    "turns": 0.2,
    "swap": 0.12,
    "events": 0.1,
    "several": 0.11,
}
LESSONS: tuple[tuple[int, Shares], ...] = (
    (4000, SHARES),
    (4000, {"events": 0.45, "turns": 0.35, "several": 0.1, "swap": 0.1}),
)
"""Training clips: of all kinds, and then of those that a model knows by heart before it has seen the rule."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a sprite is: its centre and its longer side."""

    x: float
    y: float
    size: float


Track = tuple[Pose | None, ...]
"""A sprite's pose in every frame, None where it is not to be seen."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A clip before it is drawn.

    Args:
        kind: What kind of thing happens.
        tracks: Of every sprite, the first in front.
        facts: What questions and captions are made of: which way, which side first and so on.
    """

    kind: Kind
    tracks: tuple[Track, ...]
    facts: Mapping[str, str] = field(default_factory=dict)


def scene(kind: Kind, random: Random) -> Scene:
    """Draw a scene of a kind."""
    makers = {
        "move": _move,
        "trip": _trip,
        "size": _size,
        "turns": _turns,
        "swap": _swap,
        "events": _events,
        "several": _several,
    }
    return makers[kind](random)


def backwards(drawn: Scene) -> Scene:
    """The scene with its last frame first, and the facts that are then true."""
    facts = dict(drawn.facts)
    for one, other in (("first", "last"), ("vanished", "appeared"), ("start", "end"), ("at the start", "at the end")):
        if one in facts:
            facts[one], facts[other] = facts[other], facts[one]
    if "direction" in facts:
        facts["direction"] = OPPOSITE[facts["direction"]]
    for fact, (one, other) in (("change", ("grows", "shrinks")), ("begins", ("move", "size"))):
        if fact in facts:
            facts[fact] = other if facts[fact] == one else one
    tracks = tuple(track[::-1] for track in drawn.tracks)
    return Scene(kind=drawn.kind, tracks=tracks[::-1] if drawn.kind in ("turns", "swap") else tracks, facts=facts)


def _place(random: Random, size: float) -> Pose:
    low, high = MARGIN + size / 2, 1 - MARGIN - size / 2
    return Pose(random.uniform(low, high), random.uniform(low, high), size)


def _path(random: Random, size: float, direction: str, steps: int) -> list[Pose]:
    """Poses of a straight move; backwards it is a move in the opposite direction, exactly as likely."""
    dx, dy = DIRECTIONS[direction]
    low, high = MARGIN + size / 2, 1 - MARGIN - size / 2
    length = random.uniform(0.6, 1) * (high - low)
    near = random.uniform(low, high - length)
    across = random.uniform(low, high)
    along = [near + length * step / (steps - 1) for step in range(steps)]
    if dx + dy < 0:
        along.reverse()
    return [Pose(place, across, size) if dx else Pose(across, place, size) for place in along]


def _still(random: Random, others: list[Track], size: float) -> Track | None:
    """A sprite that stays, where it covers no other; None when no place was found."""
    for _ in range(30):
        pose = _place(random, size)
        poses = [other for track in others for other in track if other is not None]
        if all(max(abs(pose.x - one.x), abs(pose.y - one.y)) > (size + one.size) / 2 for one in poses):
            return (pose,) * FRAMES
    return None


def _with_still(random: Random, track: Track, share: float) -> tuple[Track, ...]:
    still = _still(random, [track], random.uniform(0.22, 0.32)) if random.random() < share else None
    return (track,) if still is None else (track, still)


def _move(random: Random) -> Scene:
    direction = random.choice(list(DIRECTIONS))
    track = tuple(_path(random, random.uniform(0.3, 0.45), direction, FRAMES))
    return Scene(kind="move", tracks=_with_still(random, track, 0.4), facts={"direction": direction})


def _trip(random: Random) -> Scene:
    """A sprite goes from one place to another in a straight line, or stays; half of the way tells the rest."""
    side = random.choice(list(SIDES))
    stops = {"middle": 0.0, side: 1.0, OPPOSITE[side]: -1.0}
    start = random.choice(list(stops))
    end = random.choice(list(stops))
    size = random.uniform(0.3, 0.38)
    dx, dy = SIDES[side]
    reach, across = 0.5 - MARGIN - size / 2 - random.uniform(0, 0.05), random.uniform(-0.1, 0.1)
    poses = []
    for frame in range(FRAMES):
        along = reach * (stops[start] + (stops[end] - stops[start]) * frame / (FRAMES - 1))
        poses.append(Pose(0.5 + (dx * along if dx else across), 0.5 + (dy * along if dy else across), size))
    facts = {"start": start, "end": end}
    if start != end:
        forward = stops[end] > stops[start]
        towards = side if forward else OPPOSITE[side]
        facts["direction"] = {"top": "up", "bottom": "down"}.get(towards, towards)
    return Scene(kind="trip", tracks=(tuple(poses),), facts=facts)


def _size(random: Random) -> Scene:
    small, large = random.uniform(0.15, 0.25), random.uniform(0.5, 0.65)
    centre = _place(random, large)
    sizes = [small + (large - small) * step / (FRAMES - 1) for step in range(FRAMES)]
    change = random.choice(["grows", "shrinks"])
    if change == "shrinks":
        sizes.reverse()
    track = tuple(Pose(centre.x, centre.y, size) for size in sizes)
    return Scene(kind="size", tracks=_with_still(random, track, 0.3), facts={"change": change})


def _opposite_poses(random: Random) -> tuple[str, Pose, Pose]:
    """A side, a pose there, and one on the opposite side."""
    side = random.choice(list(SIDES))
    poses = []
    for name in (side, OPPOSITE[side]):
        size = random.uniform(0.3, 0.42)
        dx, dy = SIDES[name]
        reach, across = random.uniform(0.2, 0.5 - MARGIN - size / 2), random.uniform(-0.22, 0.22)
        poses.append(Pose(0.5 + (dx * reach if dx else across), 0.5 + (dy * reach if dy else across), size))
    return side, poses[0], poses[1]


def _one_then_other(random: Random, *, margin: int) -> tuple[str, Track, Track]:
    """One sprite, then another on the opposite side, between `margin` empty frames at either end."""
    side, first, second = _opposite_poses(random)
    inner = FRAMES - 2 * margin
    most = inner // 2 + 1  # they may be there together for a while
    lengths = [random.randint(inner // 2 - 1, most) for _ in range(2)]
    tracks = [
        tuple(first if margin <= frame < margin + lengths[0] else None for frame in range(FRAMES)),
        tuple(second if FRAMES - margin - lengths[1] <= frame < FRAMES - margin else None for frame in range(FRAMES)),
    ]
    return side, tracks[0], tracks[1]


def _turns(random: Random) -> Scene:
    side, first, second = _one_then_other(random, margin=1)
    return Scene(kind="turns", tracks=(first, second), facts={"first": side, "last": OPPOSITE[side]})


def _swap(random: Random) -> Scene:
    side, first, second = _one_then_other(random, margin=0)
    return Scene(kind="swap", tracks=(first, second), facts={"vanished": side, "appeared": OPPOSITE[side]})


def _events(random: Random) -> Scene:
    """A sprite moves, and then grows or shrinks; or the other way round."""
    small, large = random.uniform(0.2, 0.28), random.uniform(0.5, 0.6)
    half = FRAMES // 2
    direction, grows = random.choice(list(DIRECTIONS)), random.random() < 0.5
    moving = [Pose(one.x, one.y, 0) for one in _path(random, large, direction, half + 1)]
    sizes = [small + (large - small) * step / half for step in range(half + 1)]
    if not grows:
        sizes.reverse()
    moves_first = random.random() < 0.5
    if moves_first:
        poses = [Pose(one.x, one.y, sizes[0]) for one in moving[:-1]]
        poses += [Pose(moving[-1].x, moving[-1].y, size) for size in sizes[1:]]
    else:
        poses = [Pose(moving[0].x, moving[0].y, size) for size in sizes[:-1]]
        poses += [Pose(one.x, one.y, sizes[-1]) for one in moving[1:]]
    facts = {
        "begins": "move" if moves_first else "size",
        "direction": direction,
        "change": "grows" if grows else "shrinks",
    }
    return Scene(kind="events", tracks=(tuple(poses),), facts=facts)


def _several(random: Random) -> Scene:
    """One to four sprites, of which some come or go in mid-clip."""
    tracks: list[Track] = []
    for _ in range(random.randint(1, 4)):
        still = _still(random, tracks, random.uniform(0.22, 0.3))
        if still is None:
            break
        tracks.append(still)
    start, end = random.randint(1, len(tracks)), len(tracks)
    turn = [random.randint(2, FRAMES - 2) for _ in tracks]
    backwards = random.random() < 0.5
    shown = [
        tuple(pose if number < start or frame >= turn[number] else None for frame, pose in enumerate(track))
        for number, track in enumerate(tracks)
    ]
    if backwards:
        shown, start, end = [track[::-1] for track in shown], end, start
    return Scene(kind="several", tracks=tuple(shown), facts={"at the start": str(start), "at the end": str(end)})
