"""What a world model of single-vector latents is made of, and what it is trained for."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from vljepa.configs.part import Strict

Weight = Annotated[float, Field(ge=0)]


class EBJEPALosses(Strict):
    """Weights of what is minimised; 0 leaves a term out.

    Args:
        prediction: Squared error of the predicted latents.
        variance: Hinge on every channel's standard deviation, which has to be 1 (VICReg).
        covariance: Squares of the covariances of different channels (VICReg).
        time_similarity: Squared difference of one frame's latents and the next one's.
        inverse_dynamics: Squared error of the action that is read from a frame's latents and the next one's.
        sigreg: Distance of the latents from a normal distribution, instead of variance and covariance (LeJEPA).
    """

    prediction: Weight = 1.0
    variance: Weight = 16.0
    covariance: Weight = 8.0
    time_similarity: Weight = 12.0
    inverse_dynamics: Weight = 1.0
    sigreg: Weight = 0.0


class EBJEPAConfig(Strict):
    """An encoder of frames to one vector each, and a predictor of the next vector under an action.

    Args:
        side: Height and width of frames, in pixels.
        channels: Of the encoder's three convolutions, the first two of which halve the sides.
        keypoints: Maps of which the encoder keeps where in the frame they are strongest.
        width: Of the latents.
        hidden: Width of the predictor's two hidden layers.
        action_width: Numbers of an action.
        rollout: Actions of a piece of training: each frame but the first is predicted from predictions.
        losses: Their weights.
        inverse_dynamics_steps: First steps, in which the action alone is learned: the other terms can be satisfied by
            what stands still, and may then never begin to see what moves.
        freeze_encoder: Leave the encoder as it was initialised: a control.
    """

    side: int = Field(65, ge=16)
    channels: tuple[int, int, int] = (16, 32, 32)
    keypoints: int = Field(32, ge=1)
    width: int = Field(32, ge=2)
    hidden: int = Field(192, ge=1)
    action_width: int = Field(ge=1)
    rollout: int = Field(8, ge=1)
    losses: EBJEPALosses = EBJEPALosses()
    inverse_dynamics_steps: int = Field(0, ge=0)
    freeze_encoder: bool = False

    @model_validator(mode="after")
    def _can_begin(self) -> Self:
        if self.inverse_dynamics_steps and not self.losses.inverse_dynamics:
            raise ValueError(
                "inverse_dynamics_steps asks for steps of the inverse dynamics alone, and losses.inverse_dynamics is 0"
            )
        return self
