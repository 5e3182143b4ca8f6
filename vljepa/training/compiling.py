"""Speed for a wait at the start: which parts torch compiles."""

from __future__ import annotations

from vljepa.models.modeling import VLJEPA


def compile_layers(model: VLJEPA, *, backend: str = "inductor") -> None:
    """Compile the transformers that are trained, in place, for any batch and length; names in checkpoints stay.

    The numbers are the same up to rounding. The first steps wait for the compiler, which has to be installed on a CPU.

    Args:
        model: What is trained.
        backend: Of torch.compile.
    """
    for backbone in model.trained_backbones().values():
        backbone.model.compile(dynamic=True, backend=backend)
