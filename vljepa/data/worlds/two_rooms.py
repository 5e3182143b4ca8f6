"""Two Rooms: a dot, a wall between two rooms, and a door in it; seen from above, 65 x 65 pixels.

The task is that of EB-JEPA (arXiv 2602.03604): reach a goal that is given as a picture, in the other room, with
displacements as actions. Drawn and simulated here, for many worlds at once.

Shapes: B worlds, positions [B, 2] are (x, y) in pixels from the upper left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

SIZE = 65
REACH = 2.45
"""The longest displacement of a step, in pixels."""
SUCCESS = 4.5
"""Pixels from the goal within which it is reached."""
MARGIN = 4.0
"""From the border to the nearest place of the dot's centre."""
WALL = 3.0
"""How near to the middle of the wall the dot's centre may come."""
DOOR = 5.0
"""How far from the middle of the door the dot's centre passes."""
DOT = 2.0
_THICK, _GAP = 1.5, 7.0
_PARTS = 4
_AROUND = 6
FLOOR, BRICK, INK = (235, 235, 230), (40, 44, 52), (214, 40, 40)
COLOURS = {"red": (238, 170, 160), "green": (170, 220, 165), "blue": (165, 190, 240), "yellow": (240, 225, 150)}

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Walls:
    """Where the walls of B worlds and the doors in them are.

    Args:
        x_B: Middle of the wall.
        door_B: Height of the middle of the door.
    """

    x_B: Floats
    door_B: Floats

    @classmethod
    def fixed(cls, count: int) -> Self:
        """The wall in the middle, the door a little above the middle, in all worlds."""
        return cls(np.full(count, 32, np.float32), np.full(count, 24, np.float32))

    @classmethod
    def random(cls, count: int, *, random: np.random.Generator) -> Self:
        """Another wall and door in every world."""
        return cls(random.uniform(20, 44, count).astype(np.float32), random.uniform(12, 52, count).astype(np.float32))

    def __getitem__(self, rows: NDArray[np.intp] | slice) -> Self:
        return type(self)(self.x_B[rows], self.door_B[rows])

    def solid(self, places_B2: Floats) -> NDArray[np.bool_]:
        """Whether the dot cannot be there for the wall, [B]."""
        in_wall_B: NDArray[np.bool_] = np.abs(places_B2[:, 0] - self.x_B) < WALL
        off_door_B: NDArray[np.bool_] = np.abs(places_B2[:, 1] - self.door_B) > DOOR
        return in_wall_B & off_door_B

    def right_of(self, places_B2: Floats) -> NDArray[np.bool_]:
        """Whether they are in the right room, [B]."""
        right_B: NDArray[np.bool_] = places_B2[:, 0] > self.x_B
        return right_B


def draw_places(walls: Walls, *, random: np.random.Generator, right_B: NDArray[np.bool_] | None = None) -> Floats:
    """Free places [B, 2], evenly; in the right or left room where that is asked."""
    places_B2 = np.empty((len(walls.x_B), 2), np.float32)
    open_B = np.ones(len(walls.x_B), dtype=bool)
    while open_B.any():
        drawn = random.uniform(MARGIN, SIZE - 1 - MARGIN, (int(open_B.sum()), 2)).astype(np.float32)
        places_B2[open_B] = drawn
        open_B = np.abs(places_B2[:, 0] - walls.x_B) < WALL
        if right_B is not None:
            open_B |= walls.right_of(places_B2) != right_B
    return places_B2


def clip_actions(actions: Floats) -> Floats:
    """Displacements [..., 2], shortened to `REACH`."""
    length = np.linalg.norm(actions, axis=-1, keepdims=True)
    return np.asarray(actions * np.minimum(1.0, REACH / np.maximum(length, 1e-6)), dtype=np.float32)


def move(places_B2: Floats, actions_B2: Floats, walls: Walls) -> Floats:
    """Where the dots are after a step; along a wall they slide."""
    places_B2 = places_B2.copy()
    part_B2 = clip_actions(actions_B2) / _PARTS
    for _ in range(_PARTS):
        for axis in (0, 1):
            tried = places_B2.copy()
            tried[:, axis] = np.clip(tried[:, axis] + part_B2[:, axis], MARGIN, SIZE - 1 - MARGIN)
            places_B2 = np.where(walls.solid(tried)[:, None], places_B2, tried)
    return places_B2


def draw(
    places_BT2: Floats, walls: Walls, *, floors: tuple[tuple[int, int, int], tuple[int, int, int]] = (FLOOR, FLOOR)
) -> NDArray[np.uint8]:
    """Pictures of each world with the dot at each of T places, [B, T, 65, 65, 3].

    Args:
        places_BT2: Of the dots.
        walls: Of the worlds.
        floors: Colours of the left and of the right room.
    """
    axis = np.arange(SIZE, dtype=np.float32)
    right = (axis[None] > walls.x_B[:, None])[:, None, :, None]
    empty = np.where(right, np.array(floors[1], np.uint8), np.array(floors[0], np.uint8)).repeat(SIZE, axis=1)
    near = np.abs(axis[None] - walls.x_B[:, None]) <= _THICK
    closed = np.abs(axis[None] - walls.door_B[:, None]) > _GAP
    empty[(closed[:, :, None] & near[:, None, :])] = BRICK
    empty[:, :2] = empty[:, -2:] = empty[:, :, :2] = empty[:, :, -2:] = BRICK
    count, times = places_BT2.shape[:2]
    pictures = empty.repeat(times, axis=0)
    places_N2 = places_BT2.reshape(-1, 2)
    window = np.arange(-_AROUND, _AROUND + 1)
    x_NW, y_NW = (np.clip(np.rint(places_N2[:, [one]]).astype(int) + window, 0, SIZE - 1) for one in (0, 1))
    across, down = (
        np.exp(-((one - places_N2[:, [number]]) ** 2) / (2 * DOT**2)) for number, one in enumerate((x_NW, y_NW))
    )
    ink = (down[:, :, None] * across[:, None, :])[..., None].astype(np.float32)
    at = (np.arange(len(pictures))[:, None, None], y_NW[:, :, None], x_NW[:, None, :])
    under = pictures[at].astype(np.float32)
    pictures[at] = (under + ink * (np.array(INK, np.float32) - under)).astype(np.uint8)
    return pictures.reshape(count, times, SIZE, SIZE, 3)


def draw_near_wall(walls: Walls, *, within: float, random: np.random.Generator) -> Floats:
    """Free places [B, 2], evenly among those at most so many pixels from where the wall lets the dot come."""
    side_B = np.where(random.random(len(walls.x_B)) < 0.5, -1.0, 1.0)
    x_B = walls.x_B + side_B * random.uniform(WALL, WALL + within, len(walls.x_B))
    y_B = random.uniform(MARGIN, SIZE - 1 - MARGIN, len(walls.x_B))
    return np.stack([x_B, y_B], axis=1).astype(np.float32)


def wander(
    walls: Walls, *, steps: int, random: np.random.Generator, starts_B2: Floats | None = None
) -> tuple[Floats, Floats]:
    """Trajectories of one data policy: places [B, steps + 1, 2] and actions [B, steps, 2].

    Each dot starts at a free place, or at the one given; its speed is even from 0 to `REACH`, and its heading turns by
    a normal step of half a radian each time, so that it crosses the rooms rather than trembling.
    """
    count = len(walls.x_B)
    places = [draw_places(walls, random=random) if starts_B2 is None else starts_B2]
    heading_B = random.uniform(0, 2 * np.pi, count)
    actions = []
    for _ in range(steps):
        heading_B = heading_B + random.normal(0, 0.5, count)
        speed_B = random.uniform(0, REACH, count)
        actions.append(np.stack([speed_B * np.cos(heading_B), speed_B * np.sin(heading_B)], axis=1).astype(np.float32))
        places.append(move(places[-1], actions[-1], walls))
    return np.stack(places, axis=1), np.stack(actions, axis=1)
