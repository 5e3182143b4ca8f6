"""A film of episodes: what is seen, the goal, and how far a model takes every place to be from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vljepa.data.worlds.two_rooms import MARGIN, SIZE, draw
from vljepa.errors import DataError
from vljepa.planning.policies import Energies
from vljepa.planning.vector_world import VectorWorldEnergy

SHOWN = 4
"""Worlds, one below the other."""
_SCALE, _GAP, _GRID, _MOST = 3, 6, 24, 120
_WHITE = 255


class EpisodeFilm:
    """Collects the pictures of the first worlds of the first seed.

    Args:
        worlds: Two Rooms, many at once.
        energies: Of a model; its map of energies is drawn where it has single-vector latents.
    """

    def __init__(self, worlds: Any, energies: Energies | None) -> None:
        self._worlds, self._energies = worlds, energies
        self._seed: int | None = None
        self.pictures: list[NDArray[np.uint8]] = []
        self.maps: list[NDArray[np.uint8]] = []

    def __call__(self, seed: int, observation: dict[str, NDArray[Any]], over_B: NDArray[np.bool_]) -> None:
        """See `evaluate`'s `watch`."""
        if self._seed is None:
            self._seed = seed
            count = min(SHOWN, len(over_B))
            if isinstance(self._energies, VectorWorldEnergy):
                self.maps = [self._map(self._energies, number) for number in range(count)]
        done = len(self.pictures) > 0 and over_B[:SHOWN].all()
        if seed != self._seed or len(self.pictures) >= _MOST or done:
            return
        self.pictures.append(self._page(observation))

    def save(self, file: Path) -> None:
        """Write the GIF.

        Raises:
            DataError: It cannot be written.
        """
        first, *others = [
            Image.fromarray(one).resize((one.shape[1] * _SCALE, one.shape[0] * _SCALE), Image.Resampling.NEAREST)
            for one in self.pictures
        ]
        times = [100] * len(others) + [1500]
        try:
            first.save(file, format="GIF", save_all=True, append_images=others, duration=times, loop=0)
        except OSError as error:
            raise DataError(f"{str(file)!r} cannot be written: {error}.", fix="check the path.") from error

    def _page(self, observation: dict[str, NDArray[Any]]) -> NDArray[np.uint8]:
        rows = []
        for number in range(min(SHOWN, len(observation["image"]))):
            across = [observation["image"][number], observation["goal"][number]]
            rows.append(np.concatenate(_spaced(across + self.maps[number : number + 1], axis=1), axis=1))
        return np.concatenate(_spaced(rows, axis=0), axis=0)

    @torch.no_grad()
    def _map(self, energies: VectorWorldEnergy, number: int) -> NDArray[np.uint8]:
        """Energy of every place of the dot, from blue (near the goal) to yellow."""
        walls = self._worlds.unwrapped.walls[np.array([number])]
        axis = np.linspace(MARGIN, SIZE - 1 - MARGIN, _GRID, dtype=np.float32)
        places = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(1, -1, 2)
        goal = energies.encode(self._worlds.unwrapped.goals[number : number + 1])
        found = (energies.encode(draw(places, walls)[0]) - goal).square().mean(-1).cpu().numpy().reshape(_GRID, _GRID)
        found = np.where(walls_solid(walls, places).reshape(_GRID, _GRID), np.nan, found)
        level = (found - np.nanmin(found)) / max(float(np.nanmax(found) - np.nanmin(found)), 1e-9)
        low, high = np.array([30, 60, 160]), np.array([250, 230, 90])
        colour = np.where(np.isnan(level)[..., None], 60, low + np.nan_to_num(level)[..., None] * (high - low))
        return np.asarray(Image.fromarray(colour.astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.NEAREST))


def walls_solid(walls: Any, places_1N2: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether the dot cannot be at each of N places of one world."""
    count = places_1N2.shape[1]
    found: NDArray[np.bool_] = walls[np.zeros(count, dtype=np.intp)].solid(places_1N2[0])
    return found


def _spaced(parts: list[NDArray[np.uint8]], *, axis: int) -> list[NDArray[np.uint8]]:
    shape = list(parts[0].shape)
    shape[axis] = _GAP
    gap = np.full(shape, _WHITE, np.uint8)
    return [one for part in parts for one in (gap, part)][1:]
