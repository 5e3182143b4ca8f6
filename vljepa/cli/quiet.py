"""What other libraries say on stderr does not reach the user: either a thing works, or our error says what is wrong."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import TextIO

_LEVELS = {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""Read by libraries when they load; whoever sets one keeps it."""


def hush_libraries() -> None:
    """Silence other libraries in this process; our own `FileWarning` becomes a note.

    Python's own switches win: with -W or PYTHONWARNINGS, warnings are shown as asked for.
    """
    for name, value in _LEVELS.items():
        os.environ.setdefault(name, value)
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())  # without one, Python prints warnings of any logger
    if not sys.warnoptions:
        from vljepa.errors import FileWarning

        warnings.filterwarnings("ignore")
        warnings.filterwarnings("default", category=FileWarning)
    warnings.showwarning = _show


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    from vljepa.cli.output import note
    from vljepa.errors import FileWarning

    if issubclass(category, FileWarning):
        note(f"note: {message}")
    else:
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=file or sys.stderr)
