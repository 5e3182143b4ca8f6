"""Packages that only some uses need, and that come with extras of this package."""

from __future__ import annotations

import importlib

from vljepa.errors import ConfigError


def require_extra(extra: str, *modules: str, user: str) -> None:
    """Check that an extra's packages are there, before anything is done.

    Args:
        extra: Of this package.
        modules: What is going to be imported.
        user: What needs them.

    Raises:
        ConfigError: One is not installed.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(
                f"{user} needs {error.name!r}, which is not installed.", fix=f'pip install "vljepa-torch[{extra}]".'
            ) from error
