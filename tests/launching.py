"""For tests of many processes: the environment that `accelerate launch` gives them."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env

CONFIGS = Path(__file__).parents[1] / "recipes" / "accelerate"


def launch_environment(config: str) -> dict[str, str]:
    """What `accelerate launch --config_file recipes/accelerate/CONFIG` adds to the environment of two processes."""
    given = ["--config_file", str(CONFIGS / config), "--num_processes", "2", "train.py"]
    with mock.patch.dict(os.environ):
        arguments, _, _ = _validate_launch_command(launch_command_parser().parse_args(given))
        made = prepare_multi_gpu_env(arguments)
    return {name: value for name, value in made.items() if name.startswith(("ACCELERATE_USE_FSDP", "FSDP_"))}
