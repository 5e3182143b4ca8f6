"""Checkpoints `last` and `best`: folders that are replaced whole, so that there is always one that loads.

`best` is a saved model and nothing else; `last` also has what the run needs to go on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vljepa.errors import CheckpointError

STATE_FILE = "training.pt"


def replace_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a new version of a folder beside the old one, then swap them.

    Whatever the moment of a crash, either `folder` or its complete predecessor `.NAME.old` is there; `intact_folder`
    finds it.

    Raises:
        CheckpointError: The disk is full or may not be written; the old version is untouched.
    """
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        write(new)
        _flush(new)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise CheckpointError(
            f"cannot write the checkpoint {str(folder)!r}: {error}.", fix="free some space; the older one is intact."
        ) from error


def intact_folder(folder: Path) -> Path | None:
    """The folder, or its complete predecessor if a crash fell between the two renames of `replace_folder`."""
    for candidate in (folder, folder.with_name(f".{folder.name}.old")):
        if candidate.is_dir():
            return candidate
    return None


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the training state (tensors, numbers, texts, and lists and dicts of them) into a checkpoint folder."""
    torch.save(state, folder / STATE_FILE)


def load_state(folder: Path, *, device: torch.device) -> dict[str, Any]:
    """Read the training state; only plain data is unpickled, never code.

    Raises:
        CheckpointError: The file is missing, damaged, or holds anything but plain data.
    """
    path = folder / STATE_FILE
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"{str(path)!r} does not load: {type(error).__name__}.",
            fix=f"delete {str(folder)!r}, or start anew with another train.output.",
        ) from error
    return state


def _flush(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
