"""Parameters that lie in shards, one per process (FSDP2's DTensors), as whole tensors, and back.

Shards travel, so all processes of a run must call these together. Tensors that are in no shards stay what they are.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, in every process."""
    sharded: Any = tensor
    full: Tensor = sharded.full_tensor() if _is_sharded(tensor) else tensor
    return full


def shard_like(tensor: Tensor, other: Tensor) -> Tensor:
    """This process's shard of a whole tensor, cut as `other`, of the same shape, is cut."""
    if not _is_sharded(other):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(other, DTensor)
    return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements, src_data_rank=None)


def whole_state(value: Any, *, keep: bool = True) -> Any:
    """A state of nested dicts and lists with every sharded tensor whole, on the CPU.

    Args:
        value: Of `state_dict()`, of a module or an optimizer.
        keep: Whether this process needs it; one that does not gets empty tensors, and takes part all the same.
    """
    if isinstance(value, dict):
        return {key: whole_state(one, keep=keep) for key, one in value.items()}
    if isinstance(value, list):
        return [whole_state(one, keep=keep) for one in value]
    if not _is_sharded(value):
        return value
    full = whole(value)
    return full.cpu() if keep else full.new_empty(0)


def load_tensors(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Fill some of a module's tensors with whole ones."""
    own = module.state_dict()
    cut = {name: shard_like(tensor, own[name]) for name, tensor in tensors.items()}
    module.load_state_dict(cut, strict=False)


def _is_sharded(value: Any) -> bool:
    """Whether it is a DTensor; the module that defines them is slow to import."""
    return hasattr(value, "full_tensor")
