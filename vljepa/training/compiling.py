"""Speed for a wait at the start: which parts torch compiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def compile_layers(backbones: Mapping[str, Any], *, backend: str = "inductor") -> None:
    """Compile the transformers that are trained, in place, for any batch and length; names in checkpoints stay.

    The numbers are the same up to rounding. The first steps wait for the compiler, which has to be installed on a CPU.

    Args:
        backbones: What is trained, by name.
        backend: Of torch.compile.
    """
    for backbone in backbones.values():
        backbone.model.compile(dynamic=True, backend=backend)
