"""Speed for a wait at the start: which parts torch compiles."""

from __future__ import annotations

from vljepa.errors import ConfigError
from vljepa.models.modeling import VLJEPA
from vljepa.training.memory import is_checkpointed


def compile_layers(model: VLJEPA, *, backend: str = "inductor") -> None:
    """Compile the transformers that are trained, in place, for any batch and length; names in checkpoints stay.

    The numbers are the same up to rounding. The first steps wait for the compiler, which has to be installed on a CPU.

    Args:
        model: What is trained.
        backend: Of torch.compile.

    Raises:
        ConfigError: Layers that are updated for clips are to be computed again, which the compiler cannot be told.
    """
    if model.clip_updates is not None and is_checkpointed(model.predictor.backbone.model):
        raise ConfigError(
            "train.compile and train.gradient_checkpointing do not go together with predictor.clips.rank.",
            fix="set one of them to false.",
        )
    backbones = [model.predictor.backbone]
    if model.config.y_encoder.trainable:
        backbones.append(model.y_encoder.backbone)
    for backbone in backbones:
        backbone.model.compile(dynamic=True, backend=backend)
