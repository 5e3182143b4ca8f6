"""A VL-JEPA with what its objective trains beside it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from vljepa.backends.pooling import masked_mean
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import ObjectiveConfig
from vljepa.methods.protocol import Rows, TrainingModule
from vljepa.methods.vision_language.answers import AnswerBank
from vljepa.models.residuals import Aligned
from vljepa.models.types import Batch, Latents, Outputs, Tokens

_FIRST_BIAS = -10.0


class VisionLanguageModule(TrainingModule):
    """Rows [B, D] `prediction` and `target`, `scale` [1], and what the objective asks for.

    Args:
        model: The model.
        config: The objective.
        answers: Of the training questions, where the objective asks for them.
    """

    model: VLJEPA

    def __init__(self, model: VLJEPA, config: ObjectiveConfig, *, answers: AnswerBank | None = None) -> None:
        super().__init__(model, self._embed)
        self.extra = nn.ParameterDict()
        if config.name == "sigmoid":
            self.extra["bias"] = nn.Parameter(torch.full((1,), _FIRST_BIAS))
        self.answers = answers
        self.alignment = nn.Linear(model.x_encoder.width, model.config.embed_dim) if config.alignment > 0 else None

        self.keeps_frozen = config.grad_cache is not None

    def _embed(self, batch: Batch) -> Rows:
        if not batch.has_targets:
            return self._replay(batch)
        output = self.model(batch)
        if self.keeps_frozen:
            self.replayed.append(batch if output.latents is None else _as_seen(batch, output))
        rows = {"prediction": output.prediction_BD, "target": output.target_BD, "scale": output.logit_scale}
        if "bias" in self.extra:
            rows["bias"] = self.extra["bias"].clone()  # DDP does not find a parameter that is an output itself
        if self.alignment is not None and output.latents is not None:
            latents = output.latents
            mean_BD = masked_mean(latents.tokens_BND.to(self.alignment.weight.dtype), latents.mask_BN)
            rows["image"] = nn.functional.normalize(self.alignment(mean_BD).float(), dim=-1)
        if self.answers is not None and output.latents is not None and not batch.gate_only:
            answers_AD = self.model.project_text(self.answers.features_AE)
            cosine_BA = self.model.similarity(output.prediction_BD, answers_AD)
            rows["answer_logits"] = output.logit_scale * cosine_BA + self.answers.log_share_A
        return rows

    def _replay(self, batch: Batch) -> Rows:
        """Predictions of the model as it is and as it was at the start, of images that teach nothing new."""
        latents = self.model.latents_of(batch)
        if self.keeps_frozen:
            self.replayed.append(replace(batch, pixels_BTCHW=None, latents=latents))
        start_BD = predict_as_at_the_start(self.model, latents, batch.query)
        return {
            "prediction": self.model.predict(latents, batch.query),
            "start": start_BD,
            "scale": self.model.scale(),
        }


@torch.no_grad()
def predict_as_at_the_start(model: VLJEPA, latents: Latents, query: Tokens | None) -> Tensor:
    """What a model predicted before it was trained: fp32 [B, D], unit norm, no gradient. No second model is kept.

    Args:
        model: With a dual encoder's embedding as its residual, which is the start; or with adapters, which are left
            out.
        latents: Of the images.
        query: As of an image without a question.
    """
    if isinstance(model.residual, Aligned):
        return model.residual.features(latents)
    assert model.adapters is not None, "refused by `check_run`"
    was = model.training
    with model.adapters.left_out():
        start_BD = model.eval().predict(latents, query)
    model.train(was)
    return start_BD


def _as_seen(batch: Batch, output: Outputs) -> Batch:
    """The batch with what frozen encoders have made of it: they need not look twice."""
    features = output.target_features_BE
    return replace(
        batch,
        pixels_BTCHW=None,
        latents=output.latents,
        target=batch.target if features is None else None,
        target_features_BE=features,
    )
