"""A VL-JEPA with what its objective trains beside it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from vljepa.backends.pooling import masked_mean
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import ObjectiveConfig
from vljepa.methods.protocol import Rows, TrainingModule
from vljepa.methods.vision_language.answers import AnswerBank
from vljepa.models.types import Batch, Outputs

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
