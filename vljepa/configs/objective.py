"""What training minimises."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from vljepa.configs.part import Strict


class ObjectiveConfig(Strict):
    """The loss of a group of samples that are each other's negatives.

    Args:
        name: `infonce`, the paper's; `sigmoid`, SigLIP's, with a bias that is trained along; or, without negatives,
            `cosine`, `l1` and `l2`.
        tile: InfoNCE: rows of the matrix of logits that exist at a time; None for all. For batches of thousands.
        grad_cache: Samples that the model embeds at a time, with the gradients of the whole batch (GradCache), for
            batches that do not fit into memory; None for all. Costs one more forward.
        alignment: Weight of a direct image-text term beside the prediction: InfoNCE of the targets and the mean visual
            token through a linear head of its own (X-JEPA). The head is not part of the trained model.
        answers: Weight of a softmax over all answers of the training questions, beside the contrast, which does not
            learn how often answers occur: cross-entropy of each question's own answer. Needs a frozen Y-Encoder.
        answer_prior: With `answers`: add the logarithm of each answer's share to its logit, so that the predictions
            learn what the image says beyond it.
        distillation: Weight of what keeps a model that goes on from another at what that one said (Learning without
            Forgetting, arXiv 1606.09282): 1 - cosine of the prediction without a question to that of the start, on the
            images of `data.replay`. The start is the model without its adapters, or a dual encoder's own
            embedding. The residual's factor stays that of the start, too. Costs two forwards of the Predictor for
            each such image, one of them without gradients.
        sigreg: Weight of SIGReg on predictions and targets, which keeps them spread without negatives.
        stop_gradient: Targets get no gradient from the loss, only the predictions.
    """

    name: Literal["infonce", "sigmoid", "cosine", "l1", "l2"] = "infonce"
    tile: int | None = Field(None, ge=1)
    grad_cache: int | None = Field(None, ge=1)
    alignment: float = Field(0.0, ge=0)
    answers: float = Field(0.0, ge=0)
    answer_prior: bool = False
    distillation: float = Field(0.0, ge=0)
    sigreg: float = Field(0.0, ge=0)
    stop_gradient: bool = False

    @model_validator(mode="after")
    def _fits(self) -> ObjectiveConfig:
        if self.tile is not None and self.name != "infonce":
            raise ValueError(f"tile is for infonce, not for {self.name}: remove it")
        if self.answer_prior and self.answers == 0:
            raise ValueError("answer_prior changes the softmax over answers: give that a weight, `answers`")
        return self
