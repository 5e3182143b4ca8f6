"""FSDP2: weights, gradients and optimizer state in shards, one per process, as `accelerate launch` asks for it.

What is saved is whole, the same as one process writes, so that a run may go on under any layout.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch import nn

from vljepa.errors import ConfigError
from vljepa.models.layers.sharded import shard_like

CONFIG = "use the config that `vljepa recipe cp accelerate/{} .` writes"
"""What is given to `accelerate launch --config_file`."""


def refuse_layouts(*, sharded: str | None = None) -> None:
    """Refuse what `accelerate launch` may ask for and training does not do.

    DeepSpeed's engine steps the optimizer inside the backward: at the learning rate of the step before, after each
    chunk of GradCache, and before the gradient has been looked at. FSDP2 without resharding is the same as ZeRO-2.

    Args:
        sharded: What is wrong with FSDP2 for this run; None where nothing is.

    Raises:
        ConfigError: Naming what to use instead.
    """
    if _asked("ACCELERATE_USE_DEEPSPEED"):
        raise ConfigError(
            "DeepSpeed is asked for, whose engine would step before the gradient is checked.",
            fix=f"{CONFIG.format('zero2')}, which shards the same without it.",
        )
    if not _asked("ACCELERATE_USE_FSDP"):
        return
    version = os.environ.get("FSDP_VERSION", "1")
    if version != "2":
        raise ConfigError(f"fsdp_version = {version} is asked for; training knows 2.", fix=f"{CONFIG.format('fsdp2')}.")
    if sharded is not None:
        raise ConfigError(f"FSDP2 is asked for, and {sharded}.", fix=f"{CONFIG.format('ddp')}.")


def forget_last_run() -> None:
    """Let a run have another precision than the one before it in this process, which Accelerate would refuse."""
    AcceleratorState._reset_state(reset_partial_state=True)


def take_up_sharding(accelerator: Accelerator, module: nn.Module) -> None:
    """Let FSDP2 compute what one process would, and on CPUs too.

    Accelerate shards on accelerators only; its code and torch's run over gloo as they are. It would also compute
    everything in bf16, the temperature and the sums of gradients included, where autocast knows better.

    Args:
        accelerator: Before it prepares `module`.
        module: What is trained. Frozen convolutions whose channels come last stay whole: torch cannot cut them.
    """
    if not _asked("ACCELERATE_USE_FSDP"):
        return
    state = accelerator.state
    if not accelerator.is_fsdp2:
        if accelerator.num_processes == 1:
            return
        state.distributed_type = DistributedType.FSDP
        state.fsdp_plugin = FullyShardedDataParallelPlugin()
    state.fsdp_plugin.mixed_precision_policy = None
    state.fsdp_plugin.ignored_modules = [
        one
        for one in module.modules()
        if any(not own.is_contiguous() and not own.requires_grad for own in one.parameters(recurse=False))
    ]


def find_root(module: nn.Module) -> None:
    """Let FSDP2 learn which module is the outermost, before a layer inside is called by itself."""
    with gathered(module), torch.no_grad():
        if _is_fsdp(module):
            module([])


@contextmanager
def gathered(module: nn.Module) -> Iterator[None]:
    """A sharded module whose parts can be called by themselves: layers gather their own weights, here are the others.

    Args:
        module: As Accelerate prepared it; nothing happens to one that is not sharded.
    """
    if not _is_fsdp(module):
        yield
        return
    sharded: Any = module
    sharded.unshard()
    try:
        yield
    finally:
        sharded.reshard()


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a state with whole tensors, cut like the parameters that they belong to."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    slots = {
        number: {
            # What has another shape is the count of steps, and belongs to all processes.
            name: shard_like(value, parameters[number]) if value.shape == parameters[number].shape else value
            for name, value in slot.items()
        }
        for number, slot in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": slots})


def _is_fsdp(module: nn.Module) -> bool:
    from torch.distributed.fsdp import FSDPModule

    return isinstance(module, FSDPModule)


def _asked(variable: str) -> bool:
    return os.environ.get(variable, "false").lower() == "true"
