"""libtiff, which Pillow brings along, prints what it thinks of a stranger's file on stderr; not here."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache


@cache
def hush_libtiff() -> None:
    """Take from libtiff, for this process, the handlers that print; what Pillow raises is all that counts.

    Where libtiff cannot be reached, as in builds that hide it, nothing is done.
    """
    from PIL import _imaging

    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(_imaging.__file__)
        library.TIFFSetWarningHandler(None)
        library.TIFFSetErrorHandler(None)
