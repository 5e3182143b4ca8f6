"""What an action-conditioned V-JEPA 2 is made of."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from vljepa.configs.model import PredictorConfig
from vljepa.configs.part import Strict


class VJEPA2ACConfig(Strict):
    """A frozen encoder of frames and a predictor of the next frame's latents under an action.

    Args:
        encoder: Name of the frozen X-Encoder, as `vljepa probe` takes it: `v_jepa:FOLDER`, `timm:NAME`, `mini`.
        pool_grid: Side of the grid that a frame's tokens are averaged to; None keeps them all.
        predictor: Its layers; `attention` is block-causal and `output` tokens.
        action_width: Numbers of an action.
        state_width: Numbers of the state of what acts, such as its position; None without one.
        rollout: Steps that predictions are made from predictions, beside teacher forcing; 1 for none. V-JEPA 2-AC: 2.
    """

    encoder: str
    pool_grid: int | None = Field(None, ge=1)
    predictor: PredictorConfig
    action_width: int = Field(ge=1)
    state_width: int | None = Field(None, ge=1)
    rollout: int = Field(2, ge=1)

    @model_validator(mode="after")
    def _predicts_steps(self) -> Self:
        if self.predictor.attention != "block_causal" or self.predictor.output != "tokens":
            raise ValueError(
                "the predictor of v_jepa2_ac has attention: block_causal and output: tokens; "
                f"this one has {self.predictor.attention} and {self.predictor.output}"
            )
        return self
