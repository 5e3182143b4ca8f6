"""Low-rank adapters: what is trained of a model that already works."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vljepa.configs.part import Strict

AdaptedPart = Literal["predictor", "y_encoder"]


class LoraConfig(Strict):
    """Low-rank adapters of a frozen language model (arXiv 2106.09685).

    Args:
        rank: Of the update of each matrix.
        alpha: The update is scaled by alpha / rank.
        targets: Last names of the linear layers that are adapted, such as `query` or `q_proj`; None for all of them.
        dropout: On the adapters' input.
        four_bit: Hold the frozen matrices that are adapted in 4 bits while training (QLoRA, arXiv 2305.14314); needs
            bitsandbytes. What is saved is adapters of the base as it is; validation on the way is of the 4-bit model.
    """

    rank: int = Field(8, ge=1)
    alpha: float = Field(16.0, gt=0)
    targets: list[str] | None = None
    dropout: float = Field(0.0, ge=0, lt=1)
    four_bit: bool = False


class AdaptersConfig(LoraConfig):
    """The `lora:` block of a training run: everything is frozen but adapters and a few small modules.

    Args:
        parts: Whose layers are adapted. Adapting the Y-Encoder moves the text space: decoders and indexes made before
            refuse the model.
        full: Modules that are trained whole, by name; what the model has not is left out. The projections into the
            Predictor are few numbers and decide what it sees: frozen, new kinds are told apart less well (docs/LOG.md).
    """

    parts: list[AdaptedPart] = Field(["predictor"], min_length=1)
    full: list[str] = Field(
        [
            "predictor.vision_norm",
            "predictor.vision_projection",
            "predictor.hint_projection",
            "predictor.head",
            "predictor.gate",
        ]
    )
