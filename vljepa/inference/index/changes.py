"""Changes of files in folders, as the operating system tells them (watchdog), until they have settled.

A folder may appear late, vanish, and come back: it is looked for again at every turn.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from vljepa.errors import DataError
from vljepa.extras import require_extra

_TELLING = ("created", "modified", "moved", "deleted", "closed")
"""Kinds of events that may mean a change; our own reading makes others."""


class Changes:
    """Files that have changed and were not yet looked at.

    Args:
        folders: Where; with all below them.
        leave_out: A folder in them that does not count: the index.

    Raises:
        ConfigError: watchdog is not installed.
    """

    def __init__(self, folders: Sequence[Path], *, leave_out: Path) -> None:
        require_extra("watch", "watchdog", user="`vljepa watch`")
        from watchdog.observers import Observer

        self._folders, self._leave_out = list(folders), os.path.realpath(leave_out)
        self._observer = Observer()
        self._watched: dict[Path, tuple[tuple[int, int], Any]] = {}
        self._changed: dict[str, float] = {}
        self._moving: dict[str, float] = {}
        self._lost: set[str] = set()
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> Self:
        self._observer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._observer.stop()
        self._observer.join()

    def dispatch(self, event: Any) -> None:
        """Take note of an event; watchdog calls it."""
        if event.event_type not in _TELLING or (event.is_directory and event.event_type == "modified"):
            return
        now = time.monotonic()
        with self._one_at_a_time:
            for path in map(os.fsdecode, (event.src_path, event.dest_path)):
                if path and path != self._leave_out and not path.startswith(self._leave_out + os.sep):
                    self._changed[path] = now
                    if event.event_type in ("moved", "deleted"):
                        self._moving[path] = now
                        self._lost.add(path)

    def missing(self) -> list[Path]:
        """Look for the folders, follow those that are there from now on, and say which are not.

        Raises:
            DataError: The system follows no more folders.
        """
        with self._one_at_a_time:
            lost, self._lost = self._lost, set()
        for folder in self._folders:
            before, now = self._watched.get(folder), _identity(folder)
            if before is not None and (before[0] != now or os.path.realpath(folder) in lost):
                del self._watched[folder]
                with suppress(KeyError):  # it went with its folder
                    self._observer.unschedule(before[1])
            if now is not None and folder not in self._watched:
                self._watched[folder] = (now, self._follow(os.path.realpath(folder)))
                self._changed[str(folder)] = -float("inf")  # all of it is news, and nothing to wait for
        return [folder for folder in self._folders if folder not in self._watched]

    def settled(self, *, quiet: float) -> bool:
        """Whether something has changed and not again for `quiet` seconds."""
        with self._one_at_a_time:
            return any(time.monotonic() - when >= quiet for when in self._changed.values())

    def moving(self, *, quiet: float) -> bool:
        """Whether something was moved or removed less than `quiet` seconds ago."""
        with self._one_at_a_time:
            now = time.monotonic()
            self._moving = {path: when for path, when in self._moving.items() if now - when < quiet}
            return bool(self._moving)

    def take(self, *, quiet: float) -> set[str]:
        """Forget what has settled; give what has not, such as files that are still being written."""
        with self._one_at_a_time:
            now = time.monotonic()
            self._changed = {path: when for path, when in self._changed.items() if now - when < quiet}
            return set(self._changed)

    def _follow(self, folder: str) -> Any:
        try:
            return self._observer.schedule(self, folder, recursive=True)
        except OSError as error:
            fix = "check that it can be read."
            if error.errno in (errno.ENOSPC, errno.EMFILE):
                fix = "raise fs.inotify.max_user_watches and max_user_instances with sysctl, or watch fewer folders."
            raise DataError(f"the folder {folder!r} cannot be followed: {error.strerror or error}.", fix=fix) from error


def _identity(folder: Path) -> tuple[int, int] | None:
    """Which folder it is: another one of the same name is another one; None where there is none."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if folder.is_dir() else None
