"""Trackers beside the local log: what Accelerate has to know of them."""

from __future__ import annotations

import importlib
from typing import Any

from vljepa.configs import TrainConfig
from vljepa.errors import ConfigError


def tracker_settings(config: TrainConfig) -> dict[str, Any]:
    """Arguments of `Accelerator` for the trackers of a run.

    Raises:
        ConfigError: A tracker is not installed; Accelerate would leave it out in silence.
    """
    for name in config.trackers:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                f"train.trackers has {name!r}, which does not import: {error}.",
                fix=f'run pip install {name}, or pip install "vljepa-torch[trackers]".',
            ) from error
    return {"log_with": list(config.trackers) or None, "project_dir": config.output}
