"""What a recipe may not ask of a method that is not VL-JEPA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vljepa.configs import RunConfig
from vljepa.errors import ConfigError


def refuse_foreign(run: RunConfig, method: str, *, more: Mapping[str, Any] | None = None) -> None:
    """Refuse sections and settings of VL-JEPA that have no effect for a method that counts its run in steps.

    Args:
        run: The recipe.
        method: Its name.
        more: Further settings by name; None where they are not set.

    Raises:
        ConfigError: One is set.
    """
    given = {name: getattr(run, name) for name in ("clips", "lora", "start")}
    given |= {"data.replay": run.data.replay, **(more or {})}
    given |= {f"train.{name}": getattr(run.train, name) or None for name in ("gradient_checkpointing", "compile")}
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"{name!r} is not there for {method}.", fix=f"remove {name!r}.")
    if run.train.epochs is not None:
        raise ConfigError(f"train.epochs is not there for {method}.", fix="set train.steps.")
