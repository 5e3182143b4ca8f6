"""Checkpoints `last` and `best`: folders that are replaced whole, so that there is always one that loads.

`best` is a saved model and nothing else; `last` also has what the run needs to go on. A folder is complete when it has
a manifest with the size and hash of every file, which is written last. A new version is made in `.NAME.new` and changes
places with the old one in one step where the file system can, and through `.NAME.old` where it cannot.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from vljepa.errors import CheckpointError
from vljepa.training.tracking import announce, writing

STATE_FILE = "training.pt"
MANIFEST = "manifest.json"

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux's renameat2


def replace_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Write a new version of a folder beside the old one, then swap them; the old one is deleted last.

    Whatever the moment of a crash, `find_intact` finds the old or the new version, whole.

    Args:
        folder: To be replaced; made when absent.
        write: Fills the empty folder that it is given.

    Raises:
        CheckpointError: The disk is full or may not be written; the old version is untouched.
    """
    new, old = _beside(folder)
    try:
        _settle(folder)
        version = 1 + _version(folder)
        new.mkdir(parents=True)
        write(new)
        _seal(new, version=version)
        if folder.exists() and not _exchange(new, folder):
            folder.rename(old)
        if not folder.exists():
            new.rename(folder)
        _flush(folder.parent)
    # A full disk is an OSError to Python, a SafetensorError to safetensors and a RuntimeError to PyTorch.
    except (OSError, SafetensorError, RuntimeError) as error:
        if folder.exists():
            shutil.rmtree(new, ignore_errors=True)
        raise CheckpointError(
            f"cannot write the checkpoint {str(folder)!r}: {error}.",
            fix="free some space, or make the folder writable; the older one is intact.",
        ) from error
    for one in (new, old):
        shutil.rmtree(one, ignore_errors=True)


def find_intact(folder: Path) -> Path | None:
    """Where the newest complete version of a folder is: at its place, or beside it when a crash fell into a swap.

    Every file is compared with the manifest. A version that is damaged is skipped, with a line that says so, if there
    is another one.

    Returns:
        None when nothing was ever written whole.

    Raises:
        CheckpointError: All that is there is damaged.
    """
    intact = _intact(folder)
    place = max(intact, key=_version, default=None)
    wrong = _defect(folder) if folder.exists() and folder not in intact else None
    if wrong is None:
        return place
    if place is None:
        raise CheckpointError(
            f"{str(folder)!r} is damaged: {wrong}.", fix="put a copy back, or delete it to start anew."
        )
    announce(f"WARNING: {str(folder)!r} is damaged: {wrong}; {str(place)!r} is taken instead")
    return place


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the training state (tensors, numbers, texts, and lists and dicts of them) into a checkpoint folder."""
    torch.save(state, folder / STATE_FILE)


def load_state(folder: Path, *, device: torch.device, mapped: bool = False) -> dict[str, Any]:
    """Read the training state; only plain data is unpickled, never code.

    Args:
        folder: The checkpoint.
        device: For its tensors.
        mapped: Leave tensors on the disk until they are looked at.

    Raises:
        CheckpointError: The file is missing, damaged, or holds anything but plain data.
    """
    path = folder / STATE_FILE
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True, mmap=mapped)
    except Exception as error:
        raise CheckpointError(
            f"{str(path)!r} does not load: {type(error).__name__}.",
            fix=f"delete {str(folder)!r}, or start anew with another train.output.",
        ) from error
    return state


def identity_of(folder: Path) -> tuple[int, str]:
    """Steps behind a checkpoint, and the hash of its training state: equal for copies of one checkpoint alone.

    Raises:
        CheckpointError: As for `load_state`.
    """
    step = int(load_state(folder, device=torch.device("cpu"), mapped=True)["step"])
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))  # `find_intact` has looked at it
    return step, str(manifest["files"][STATE_FILE]["sha256"])


def write_whole(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        CheckpointError: The disk is full or may not be written; an older file is untouched.
    """
    half = path.with_name(f".{path.name}.part")
    with writing(path):
        half.write_text(text, encoding="utf-8")
        _flush(half)
        half.replace(path)
        _flush(path.parent)


def _beside(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")


def _settle(folder: Path) -> None:
    """Finish what a crash interrupted: the newest complete version comes to its place, all else beside it goes."""
    beside = _beside(folder)
    if not any(one.exists() for one in beside):
        return
    newest = max(_intact(folder), key=_version, default=None)
    if newest is not None and newest != folder:
        if folder.exists():
            shutil.rmtree(folder)
        newest.rename(folder)
        _flush(folder.parent)
    for one in beside:
        if one.exists():
            shutil.rmtree(one)


def _intact(folder: Path) -> list[Path]:
    return [one for one in (folder, *_beside(folder)) if one.is_dir() and _defect(one) is None]


def _seal(folder: Path, *, version: int) -> None:
    """Bring all files to the disk, then write the manifest: its presence says that they are there."""
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*")):
        _flush(path)
        if path.is_file():
            files[path.relative_to(folder).as_posix()] = {"size": path.stat().st_size, "sha256": _sha256(path)}
    _flush(folder)
    manifest = {"format": 1, "version": version, "files": files}
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1))


def _defect(folder: Path) -> str | None:
    """What is wrong with a folder; None for a complete one."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name, expected in files.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != expected["size"]:
                return f"{name} has {path.stat().st_size} bytes of {expected['size']}"
            if _sha256(path) != expected["sha256"]:
                return f"the content of {name} has changed"
    except FileNotFoundError:
        return f"it has no {MANIFEST}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"{MANIFEST} is not readable: {error}"
    return None


def _version(folder: Path) -> int:
    """Number of a complete version, counted from 1; 0 when there is none."""
    try:
        return int(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where the system or its file system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    code = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return bool(code == 0)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Bring a file, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
