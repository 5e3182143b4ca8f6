"""Trajectories: frames with what was done between them, as NumPy files that are mapped and not loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vljepa.errors import DataError


@dataclass(frozen=True)
class Trajectories:
    """N trajectories of T actions each.

    Args:
        frames: RGB, uint8 [N, T + 1, H, W, 3].
        actions: Float [N, T, A]; the action between one frame and the next.
        states: Float [N, T + 1, S], of what acts; None without.
    """

    frames: NDArray[np.uint8]
    actions: NDArray[np.float32]
    states: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def steps(self) -> int:
        """T."""
        return int(self.actions.shape[1])

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Trajectories of a folder with frames.npy, actions.npy and perhaps states.npy.

        Raises:
            DataError: A file is missing or damaged, or they do not fit each other.
        """
        folder = Path(folder)
        frames, actions = (_mapped(folder / f"{name}.npy") for name in ("frames", "actions"))
        states = _mapped(folder / "states.npy") if (folder / "states.npy").exists() else None
        if frames.ndim != 5 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
            raise _wrong(folder, "frames", frames, "uint8 of [trajectories, steps + 1, height, width, 3]")
        count, steps = frames.shape[0], frames.shape[1] - 1
        if actions.ndim != 3 or actions.shape[:2] != (count, steps) or actions.dtype.kind != "f":
            raise _wrong(folder, "actions", actions, f"numbers of [{count}, {steps}, width]: one between two frames")
        if states is not None and (states.ndim != 3 or states.shape[:2] != (count, steps + 1)):
            raise _wrong(folder, "states", states, f"numbers of [{count}, {steps + 1}, width]: one for each frame")
        if count == 0 or steps < 1:
            raise _wrong(folder, "frames", frames, "at least one trajectory of two frames")
        return cls(frames, actions, states)

    def save(self, folder: str | Path) -> None:
        """Write them as `open` reads them."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, values in (("frames", self.frames), ("actions", self.actions), ("states", self.states)):
            if values is not None:
                np.save(folder / f"{name}.npy", values)


def _mapped(path: Path) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{str(path)!r} cannot be read: {error}.",
            fix="a folder of trajectories has frames.npy and actions.npy, and perhaps states.npy; see docs/family.md.",
        ) from error
    return found


def _wrong(folder: Path, name: str, found: NDArray[Any], wanted: str) -> DataError:
    return DataError(f"{folder / name!s}.npy holds {found.dtype} of {list(found.shape)}.", fix=f"write it as {wanted}.")
