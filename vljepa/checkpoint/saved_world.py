"""What config.json says of a saved world model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vljepa.errors import CheckpointError
from vljepa.parts.saved import CONFIG_FILE


def read_config(folder: Path, kind: str) -> dict[str, Any]:
    """The config of a saved model of a method, without the method's name.

    Raises:
        CheckpointError: It cannot be read, or is of a model of another method.
    """
    raw = _raw(folder)
    if raw.get("model_type") != kind:
        raise CheckpointError(
            f"{str(folder)!r} is no model of {kind} (its model_type is {raw.get('model_type')!r}).",
            fix=f"name a folder of `vljepa train` with method {kind}.",
        )
    return {name: value for name, value in raw.items() if name != "model_type"}


def kind_of(folder: Path) -> str | None:
    """The method of a saved model.

    Raises:
        CheckpointError: It cannot be read.
    """
    kind = _raw(folder).get("model_type")
    return kind if isinstance(kind, str) else None


def _raw(folder: Path) -> dict[str, Any]:
    try:
        raw = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{str(folder / CONFIG_FILE)!r} is not readable: {error}.", fix="name a folder of `vljepa train`."
        ) from error
    return raw if isinstance(raw, dict) else {}
