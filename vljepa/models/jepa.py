"""Context encoder, predictor, target encoder in one shared space: what VL-JEPA is, in code.

    pixels ─> X-Encoder ─latents─┐
                                 ├─> Predictor ─> predicted embedding ─> candidates, an objective, the Y-Decoder
    question ────────────────────┘
    target text ─> Y-Encoder ─> target embedding

Source: VL-JEPA: Joint Embedding Predictive Architecture for Vision-language, arXiv 2512.10942, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.backends import resolve_preferences
from vljepa.configs import VLJEPAConfig
from vljepa.errors import CheckpointError
from vljepa.models.by_steps import BySteps
from vljepa.models.predictor import Predictor
from vljepa.models.residuals import Ablation, Aligned, AskedGate, LabelPrior, build_residual
from vljepa.models.types import Batch, Latents, Outputs, Tokens
from vljepa.models.x_encoder import XEncoder
from vljepa.models.y_decoder import YDecoder
from vljepa.models.y_encoder import YEncoder


class JEPA(nn.Module):
    """Vision-language joint-embedding predictive model: tensors in, tensors out.

    Args:
        config: What the model is made of; every part's architecture `config` must be filled in.
    """

    def __init__(self, config: VLJEPAConfig) -> None:
        super().__init__()
        self.config = config = resolve_preferences(config)
        self.x_encoder = XEncoder(config.x_encoder)
        self.y_encoder = YEncoder(config.y_encoder, embed_dim=config.embed_dim)
        self.residual = build_residual(
            config.residual, x_encoder=self.x_encoder, y_encoder=self.y_encoder, embed_dim=config.embed_dim
        )
        self.predictor: Predictor | BySteps[Predictor] = self._predictor()
        self.y_decoder: YDecoder | None = None  # optional, and never trained with the rest
        # Shape (1,), not 0-d: FSDP refuses scalars.
        self.log_scale = nn.Parameter(torch.full((1,), -math.log(config.init_temperature)))
        self.trained = frozenset(name for name, parameter in self.named_parameters() if parameter.requires_grad)
        """Names of the parameters that a training trains, as the config says; adapters freeze them, and stay theirs."""

    def _predictor(self) -> Predictor | BySteps[Predictor]:
        config = self.config.predictor
        if config.clips is None or config.clips.predictor == "shared":
            return self._new_predictor(clips=True)
        return BySteps(self._new_predictor(clips=False), self._new_predictor(clips=True))

    def _new_predictor(self, *, clips: bool) -> Predictor:
        config = self.config.predictor
        predictor = Predictor(
            config if clips else config.model_copy(update={"clips": None}),
            vision_width=self.x_encoder.width,
            embed_dim=self.config.embed_dim,
            grid=self.config.x_encoder.pool_grid,
            hint_width=None if self.residual is None else self.residual.hint_width,
        )
        if self.residual is not None:
            predictor.gate = self.residual.new_gate(
                state_width=predictor.backbone.width, vision_width=self.x_encoder.width
            )
        return predictor

    def predictors(self, steps: Collection[int] | None = None) -> dict[str, Predictor]:
        """The Predictor by its name in the model; two, where clips have one of their own.

        Args:
            steps: Leave out one that is asked for none of these numbers of steps; None for both.
        """
        if not isinstance(self.predictor, BySteps):
            return {"predictor": self.predictor}
        both = {"predictor.image": self.predictor.image, "predictor.clip": self.predictor.clip}
        asked = list(both.values()) if steps is None else [self.predictor.of(one) for one in steps]
        return {name: one for name, one in both.items() if any(one is other for other in asked)}

    def places_of(self, name: str, steps: Collection[int] | None = None) -> list[str]:
        """Names in the model of what is called `predictor...`: one in each Predictor, as of `predictors`."""
        first, dot, rest = name.partition(".")
        return [f"{place}{dot}{rest}" for place in self.predictors(steps)] if first == "predictor" else [name]

    def trained_backbones(self) -> dict[str, Any]:
        """The transformers that a training trains, by the name of their part."""
        backbones: dict[str, Any] = {name: one.backbone for name, one in self.predictors().items()}
        if self.config.y_encoder.target == "trained":
            backbones["y_encoder"] = self.y_encoder.backbone
        return backbones

    def scale(self) -> Tensor:
        """1 / temperature, clamped, fp32, shape (1,)."""
        return self.log_scale.float().exp().clamp(max=self.config.max_logit_scale)

    def encode_vision(self, pixels_BTCHW: Tensor) -> Latents:
        """Frames to latents; cacheable, since the X-Encoder is frozen."""
        latents: Latents = self.x_encoder(pixels_BTCHW)
        return latents

    def latents_of(self, batch: Batch) -> Latents:
        """Latents of a batch's contexts: as the feature cache gave them, or encoded now."""
        if batch.latents is not None:
            return batch.latents
        assert batch.pixels_BTCHW is not None, "the batch has no contexts"
        return self.encode_vision(batch.pixels_BTCHW)

    def predict(
        self,
        latents: Latents,
        query: Tokens | None = None,
        *,
        ablate: Ablation | None = None,
        gate_only: bool = False,
    ) -> Tensor:
        """S_hat_Y, the predicted embedding of the answer: fp32 [B, D], unit norm.

        Args:
            latents: Output of `encode_vision`, or cached features.
            query: The question; None for none.
            ablate: Report only: leave out the learned part, or the residual.
            gate_only: Let gradients reach the residual's gate alone.
        """
        if isinstance(self.residual, Aligned) and self.config.predictor.clips is None:
            latents = latents.still()
        predictor = self.predictor.of(latents.steps) if isinstance(self.predictor, BySteps) else self.predictor
        residual, gate = self.residual, predictor.gate
        features_BE = None if residual is None else residual.features(latents)
        if (
            features_BE is not None
            and isinstance(gate, AskedGate)
            and gate.is_shut
            and not torch.is_grad_enabled()
            and ablate is None
        ):
            return features_BE  # the learned part would be multiplied by 0
        state_BD = predictor(latents, query=query, hint_BE=features_BE)
        learned_BD: Tensor = predictor.head(state_BD)
        if residual is None or features_BE is None or gate is None:
            return F.normalize(learned_BD.float(), dim=-1)
        if gate_only:
            state_BD, learned_BD = state_BD.detach(), learned_BD.detach()
        factor = self._factor(latents)
        return residual.add(
            learned_BD,
            features_BE,
            gate=lambda: factor * gate(state_BD, latents, query),
            project=(lambda one: self.project_text(one).detach()) if gate_only else self.project_text,
            ablate=ablate,
        )

    def _factor(self, latents: Latents) -> float:
        """On the residual's gate; it is fitted on images, and clips with a Predictor of their own are none of these."""
        own = isinstance(self.predictor, BySteps) and latents.steps > 1
        return 1.0 if own else self.config.calibration.residual

    def predict_from_prior(self, prior_BE: Tensor) -> Tensor:
        """Prediction of a label prior alone, from its features: fp32 [B, D], unit norm. Samples of text train this."""
        assert isinstance(self.residual, LabelPrior)
        return self.project_text(self.residual.refine(prior_BE))

    def class_embeddings(self) -> Tensor | None:
        """Embeddings of the names of the X-Encoder's classes, fp32 [K, D], unit norm; None without a classifier."""
        features_KE = None if self.residual is None else self.residual.class_features()
        return None if features_KE is None else self.project_text(features_KE)

    def text_features(self, text: Tokens) -> Tensor:
        """Pooled Y-Encoder features [B, E], before the head."""
        return self.y_encoder.features(text.ids_BL, text.mask_BL)

    def project_text(self, features_BE: Tensor) -> Tensor:
        """Features to the shared space: fp32 [B, D], unit norm."""
        head = self.y_encoder.head
        projected: Tensor = head(features_BE.to(head.weight.dtype) if isinstance(head, nn.Linear) else features_BE)
        return F.normalize(projected.float(), dim=-1)

    def encode_text(self, text: Tokens) -> Tensor:
        """S_Y, the embedding of a text: fp32 [B, D], unit norm."""
        return self.project_text(self.text_features(text))

    @staticmethod
    def similarity(prediction_BD: Tensor, target_MD: Tensor) -> Tensor:
        """Cosine [B, M], in fp32 whatever the autocast: half-precision logits err by more than they differ."""
        with torch.autocast(prediction_BD.device.type, enabled=False):
            return prediction_BD.float() @ target_MD.float().T

    def forward(self, batch: Batch) -> Outputs:
        """One training forward: predictions of the batch's contexts, and embeddings of its targets."""
        latents = None
        if batch.prior_BE is not None:
            prediction_BD = self.predict_from_prior(batch.prior_BE)
        else:
            latents = self.latents_of(batch)
            prediction_BD = self.predict(latents, batch.query, gate_only=batch.gate_only)
        features_BE = batch.target_features_BE
        if features_BE is None:
            assert batch.target is not None, "the batch has no targets"
            features_BE = self.text_features(batch.target)
        target_BD, scale = self.project_text(features_BE), self.scale()
        if batch.gate_only:
            target_BD, scale = target_BD.detach(), scale.detach()
        frozen = self.config.y_encoder.target == "frozen"
        return Outputs(prediction_BD, target_BD, scale, latents, target_features_BE=features_BE if frozen else None)

    def generate(self, inputs: Tensor | Batch, **options: Any) -> Tensor:
        """Words for predicted embeddings.

        Args:
            inputs: Embeddings [B, D], or a batch, as of `VLJEPAProcessor`, from which they are predicted.
            options: As for `YDecoder.generate`: `num_beams`, `top_p`, `temperature`, `repetition_penalty`,
                `max_new_tokens`, `seed`, `shift`. A batch with queries is not shifted.

        Returns:
            Ids [B, L]; `VLJEPAProcessor.decode` makes texts of them.

        Raises:
            CheckpointError: The model has no Y-Decoder.
            ConfigError: An option is outside of its range.
        """
        if self.y_decoder is None:
            raise CheckpointError(
                "this model has no Y-Decoder.", fix="train one with `vljepa train-decoder` and call load_decoder."
            )
        if not isinstance(inputs, Tensor):
            if inputs.query is not None and bool(inputs.query.mask_BL.any()):
                options.setdefault("shift", False)
            with torch.inference_mode():
                inputs = self.predict(self.latents_of(inputs), inputs.query)
        return self.y_decoder.generate(inputs, **options)
