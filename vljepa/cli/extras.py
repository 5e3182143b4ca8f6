"""Commands that need more packages than the core's."""

from __future__ import annotations

import importlib

from vljepa.errors import ConfigError


def require_extra(extra: str, *modules: str) -> None:
    """Check that a command's packages are there, before it does anything.

    Args:
        extra: Of this package; the command is called the same.
        modules: What it imports.

    Raises:
        ConfigError: One is not installed.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(
                f"vljepa {extra} needs {error.name!r}, which is not installed.",
                fix=f'pip install "vljepa-torch[{extra}]".',
            ) from error
