"""One build at a time in a folder: a lock of the operating system, which goes with the process that holds it.

Searching needs none: a listing is replaced at once.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vljepa.errors import DataError

LOCK, HOLDER = ".lock", ".building"
"""Names in the folder: what is locked, and who holds it, for messages."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Inside, no other process builds in this folder, or takes something out of it.

    Args:
        folder: Of an index; it is there.

    Raises:
        DataError: Another one does, or the place cannot be written.
    """
    from filelock import FileLock, Timeout

    lock, holder = FileLock(folder / LOCK), folder / HOLDER
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise _busy(folder) from None
    except NotImplementedError:  # a file system without locks
        yield
        return
    except OSError as error:
        raise DataError(
            f"the index {str(folder)!r} cannot be written to: {error.strerror or error}.",
            fix="name a folder in a place with room and write permission.",
        ) from error
    try:
        with suppress(OSError):  # a full disk will be said of by whoever writes something that counts
            holder.write_text(json.dumps({"process": os.getpid(), "host": socket.gethostname()}))
        yield
    finally:
        with suppress(OSError):
            holder.unlink()
        lock.release()


def check_free(folder: Path) -> None:
    """Find out that another process is at work in a folder before an hour of looking, not after.

    Raises:
        DataError: One is.
    """
    from filelock import FileLock, Timeout

    if not (folder / LOCK).is_file():
        return
    try:
        with FileLock(folder / LOCK).acquire(timeout=0):
            pass
    except Timeout:
        raise _busy(folder) from None
    except (OSError, NotImplementedError):  # whoever writes there says what is wrong
        pass


def _busy(folder: Path) -> DataError:
    who = "another process"
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((folder / HOLDER).read_text())
        where = "" if found["host"] == socket.gethostname() else f" on {found['host']}"
        who = f"process {int(found['process'])}{where}"
    return DataError(
        f"{who} is at work in the index {str(folder)!r}.",
        fix="wait until it is done, or end it: what it has done is kept. Searching goes on meanwhile.",
    )
