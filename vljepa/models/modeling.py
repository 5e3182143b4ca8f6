"""VLJEPA: X-Encoder, Predictor and Y-Encoder in one shared space.

Source: VL-JEPA: Joint Embedding Predictive Architecture for Vision-language, arXiv 2512.10942, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from torch import Tensor, nn

from vljepa.backends import resolve_preferences
from vljepa.configs import VLJEPAConfig
from vljepa.errors import CheckpointError, ConfigError
from vljepa.models import saving
from vljepa.models.adapters import Adapters, apply_saved, is_adapted
from vljepa.models.decoder_saving import load_decoder
from vljepa.models.label_prior import LabelPrior, ResidualGate
from vljepa.models.outputs import VisionTokens, VLJEPAOutput
from vljepa.models.predictor import Predictor
from vljepa.models.probe import probe
from vljepa.models.x_encoder import XEncoder
from vljepa.models.y_decoder import YDecoder
from vljepa.models.y_encoder import YEncoder
from vljepa.parts.saved import adapted_folder, decoder_folder, saved_folder, tokenizers_folder

Ablation = Literal["residual", "learned"]


class VLJEPA(nn.Module, PyTorchModelHubMixin, library_name="vljepa", license="apache-2.0"):
    """Vision-language joint-embedding predictive model: predicts the embedding of the answer.

    The constructor builds shapes from the config alone. `from_parts` starts a training from pretrained parts,
    `from_pretrained` brings a trained model back, bit for bit.

    Args:
        config: What the model is made of; every part's architecture `config` must be filled in.

    Example:
        >>> from vljepa import VLJEPA
        >>> model = VLJEPA.from_pretrained("mini")  # doctest: +SKIP
    """

    def __init__(self, config: VLJEPAConfig) -> None:
        super().__init__()
        self.config = config = resolve_preferences(config)
        self.x_encoder = XEncoder(config.x_encoder)
        self.y_encoder = YEncoder(config.y_encoder, embed_dim=config.embed_dim)
        prior = config.predictor.label_prior
        self.label_prior: LabelPrior | None = None
        if prior is not None:
            if self.x_encoder.num_classes == 0:
                raise ConfigError(
                    f"predictor.label_prior needs an X-Encoder with a classifier; {config.x_encoder.part} has none.",
                    fix="remove predictor.label_prior.",
                )
            self.label_prior = LabelPrior(prior, num_classes=self.x_encoder.num_classes, width=self.y_encoder.width)
        own = config.predictor.clips is not None and config.predictor.clips.own
        self.predictor, self.gate = self._build_predictor(clips=not own)
        self.clip_predictor: Predictor | None = None
        self.clip_gate: ResidualGate | None = None
        if own:
            self.clip_predictor, self.clip_gate = self._build_predictor(clips=True)
        self.y_decoder: YDecoder | None = None  # optional, and never trained with the rest: `load_decoder`
        # Shape (1,), not 0-d: FSDP refuses scalars.
        self.log_scale = nn.Parameter(torch.full((1,), -math.log(config.init_temperature)))
        self.tokenizers: Path | None = None
        """Folder of the tokenizers, where the model was saved whole; else they are the parts' own."""
        self.adapters: Adapters | None = None
        """Low-rank adapters, where the model has been adapted."""
        self.trained = frozenset(name for name, parameter in self.named_parameters() if parameter.requires_grad)
        """Names of the parameters that a training trains, as the config says; adapters freeze them, and stay theirs."""

    @classmethod
    def from_parts(cls, config: VLJEPAConfig) -> Self:
        """Build the model and load every pretrained part: the start of a training."""
        resolved = saving.resolve_parts(config)
        model = cls(resolved)
        saving.load_parts(model)
        probe(model)
        return model

    @classmethod
    def from_pretrained(cls, name: str | Path, *, revision: str | None = None) -> Self:  # type: ignore[override]
        """Load a trained model, with its Y-Decoder if it has one: a shipped preset ("mini"), a folder, or a repository.

        Frozen parts come from where their specs say, and their hashes are checked. A folder of adapters, such as a run
        with `lora` leaves, loads together with the model that they adapt. Eval mode.

        Args:
            name: Preset, folder or repository.
            revision: Branch, tag or commit of a repository.

        Raises:
            CheckpointError: The folder is no saved model, or tensors are missing.
            PartError: A frozen part cannot be found or is another one than in training.
        """
        folder = saved_folder(name, revision=revision)
        if is_adapted(folder):
            model = cls.from_pretrained(adapted_folder(folder))
            apply_saved(model, folder)
            return model.eval()
        config, tensors = saving.read_model(folder)
        model = cls(config)
        saving.restore(model, tensors)
        model.tokenizers = tokenizers_folder(folder)
        decoder = decoder_folder(folder)
        if decoder is not None:
            model.load_decoder(decoder)
        return model.eval()

    def load_decoder(self, folder: str | Path) -> None:
        """Take another Y-Decoder, such as `vljepa train-decoder` leaves.

        Raises:
            TextSpaceError: It was trained in another text space.
            CheckpointError: The folder holds no whole decoder.
        """
        self.y_decoder = load_decoder(Path(folder), text_space=self.text_space_hash()).to(self.log_scale.device)

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        full: bool = False,
        dtype: torch.dtype | None = None,
        state_dict: dict[str, Tensor] | None = None,
        **kwargs: Any,
    ) -> str | None:
        """Save what was trained, beside the specs and hashes of what was not.

        Args:
            save_directory: Folder, made when absent.
            full: Save every tensor, frozen parts too; the folder then needs no other files to load.
            dtype: Narrow floating tensors for shipping, for example `torch.float16`; they load as fp32 again.
            state_dict: What is saved instead of the model's own tensors, for one whose tensors lie in shards.
            kwargs: Passed on to huggingface_hub, such as `push_to_hub=True`.
        """
        self._save_options: dict[str, Any] = {"full": full, "dtype": dtype, "state_dict": state_dict}
        try:
            return super().save_pretrained(save_directory, **kwargs)
        finally:
            del self._save_options

    def _save_pretrained(self, save_directory: Path) -> None:
        saving.save_model(self, save_directory, **self._save_options)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Model card that `save_pretrained` writes where no README.md is yet."""
        del args, kwargs  # huggingface_hub's, for its own template
        return ModelCard(saving.model_card(self.config))

    def trained_backbones(self) -> dict[str, Any]:
        """The transformers that a training trains, by the name of their part."""
        backbones: dict[str, Any] = {"predictor": self.predictor.backbone}
        if self.clip_predictor is not None:
            backbones["clip_predictor"] = self.clip_predictor.backbone
        if self.config.y_encoder.trainable:
            backbones["y_encoder"] = self.y_encoder.backbone
        return backbones

    def scale(self) -> Tensor:
        """1 / temperature, clamped, fp32, shape (1,)."""
        return self.log_scale.float().exp().clamp(max=self.config.max_logit_scale)

    def encode_vision(self, pixels_BTCHW: Tensor) -> VisionTokens:
        """Frames to visual tokens; cacheable, since the X-Encoder is frozen."""
        tokens: VisionTokens = self.x_encoder(pixels_BTCHW)
        return tokens

    def vision_of(self, batch: Mapping[str, Tensor]) -> VisionTokens:
        """Visual tokens of a batch: encoded from `pixel_values`, or as the feature cache gave them."""
        if "pixel_values" in batch:
            return self.encode_vision(batch["pixel_values"])
        steps = int(batch.get("vision_steps", 1))
        return VisionTokens(batch["vision_tokens"], batch["vision_mask"], batch.get("vision_logits"), steps)

    def predict(
        self,
        vision: VisionTokens,
        query_ids: Tensor | None = None,
        query_mask: Tensor | None = None,
        *,
        ablate: Ablation | None = None,
        gate_only: bool = False,
    ) -> Tensor:
        """S_hat_Y, the predicted embedding of the answer: fp32 [B, D], unit norm.

        With a label prior, S_hat_Y = normalise(learned + gate * residual), both of unit norm. A refined
        residual is read by the rows with pictures but not trained by them: few pictures would spoil what much text
        has taught it.

        Args:
            vision: Output of `encode_vision`, or cached features.
            query_ids: Query tokens [B, Lq]; None for none.
            query_mask: True on real query tokens.
            ablate: Report only: `residual` drops the label prior's residual, `learned` keeps nothing else.
            gate_only: Let gradients reach the gate alone.
        """
        predictor, gate, factor = self.predictor, self.gate, self.config.calibration.residual
        if self.clip_predictor is not None and vision.steps > 1:
            predictor, gate, factor = self.clip_predictor, self.clip_gate, 1.0  # the factor was chosen for pictures
        prior_BE = None if self.label_prior is None else self._prior_features(vision)
        state = predictor(vision, query_ids, query_mask, prior_BE)
        learned_BD = F.normalize(predictor.head(state).float(), dim=-1)
        if gate is None or ablate == "residual":
            return learned_BD
        assert prior_BE is not None
        residual_BD = self.predict_from_prior(prior_BE)
        if ablate == "learned":
            return residual_BD
        if gate_only or (self.label_prior is not None and self.label_prior.refiner is not None):
            residual_BD = residual_BD.detach()
        if gate_only:
            state, learned_BD = state.detach(), learned_BD.detach()
        return F.normalize(learned_BD + factor * gate(state, vision) * residual_BD, dim=-1)

    def predict_from_prior(self, prior_BE: Tensor) -> Tensor:
        """Residual alone, from a label prior's feature: fp32 [B, D], unit norm. Rows of text train this."""
        assert self.label_prior is not None
        return self.project_text(self.label_prior.refine(prior_BE))

    def generate(self, inputs: Tensor | Mapping[str, Tensor], **options: Any) -> Tensor:
        """Words for predicted embeddings.

        Args:
            inputs: Embeddings [B, D], or a batch as for `forward`, from which they are predicted.
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
            with torch.inference_mode():
                vision = self.vision_of(inputs)
                queries = inputs.get("query_mask")
                if queries is not None and bool(queries.any()):
                    options.setdefault("shift", False)
                inputs = self.predict(vision, inputs.get("query_ids"), queries)
        return self.y_decoder.generate(inputs, **options)

    def text_features(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Pooled Y-Encoder features [B, E], before the head."""
        return self.y_encoder.features(ids_BL, mask_BL)

    def project_text(self, features_BE: Tensor) -> Tensor:
        """Features to the shared space: fp32 [B, D], unit norm."""
        head = self.y_encoder.head
        projected: Tensor = head(features_BE.to(head.weight.dtype) if isinstance(head, nn.Linear) else features_BE)
        return F.normalize(projected.float(), dim=-1)

    def encode_text(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """S_Y, the embedding of a text: fp32 [B, D], unit norm."""
        return self.project_text(self.text_features(ids_BL, mask_BL))

    @staticmethod
    def similarity(prediction_BD: Tensor, target_MD: Tensor) -> Tensor:
        """Cosine [B, M], in fp32 whatever the autocast: half-precision logits err by more than they differ."""
        with torch.autocast(prediction_BD.device.type, enabled=False):
            return prediction_BD.float() @ target_MD.float().T

    def forward(self, batch: Mapping[str, Tensor]) -> VLJEPAOutput:
        """One training forward.

        Args:
            batch: `pixel_values` [B, T, C, H, W], or the cached `vision_tokens` [B, N, Dv], `vision_mask` [B, N],
                `vision_logits` [B, K] and, of clips, `vision_steps` (a number); optional `query_ids` and `query_mask`
                [B, Lq]; `gate_only`, as for `predict`, and keeping gradients from the targets and the temperature too.
                Rows of text alone have `prior_features` [B, E] instead. `target_ids` and `target_mask` [B, Ly], or the
                cached `target_features` [B, E].
        """
        gate_only = bool(batch.get("gate_only", False))
        if "prior_features" in batch:
            vision = None
            prediction_BD = self.predict_from_prior(batch["prior_features"])
        else:
            vision = self.vision_of(batch)
            prediction_BD = self.predict(vision, batch.get("query_ids"), batch.get("query_mask"), gate_only=gate_only)
        features_BE = batch.get("target_features")
        if features_BE is None:
            features_BE = self.text_features(batch["target_ids"], batch["target_mask"])
        target_BD = self.project_text(features_BE)
        scale = self.scale()
        if gate_only:
            target_BD, scale = target_BD.detach(), scale.detach()
        return VLJEPAOutput(prediction_BD, target_BD, scale, vision, features_BE)

    def x_encoder_fingerprint(self) -> str:
        """Key of the feature cache: encoder, weights, preprocessing and token pooling."""
        return saving.digest(self.config.x_encoder.stated())

    def text_space_hash(self) -> str:
        """Hash of the text side: a decoder or an index made in another text space must refuse this model."""
        return saving.text_space_digest(self)

    def fingerprint(self) -> str:
        """Hash of the whole model but its temperatures: an index made by another model must refuse this one."""
        return saving.model_digest(self)

    def _build_predictor(self, *, clips: bool) -> tuple[Predictor, ResidualGate | None]:
        config, prior = self.config.predictor, self.config.predictor.label_prior
        predictor = Predictor(
            config if clips else config.model_copy(update={"clips": None}),
            vision_width=self.x_encoder.width,
            grid=self.config.x_encoder.pool_grid,
            prior_width=self.y_encoder.width if prior is not None and prior.token else None,
            embed_dim=self.config.embed_dim,
        )
        if prior is None or not prior.residual:
            return predictor, None
        return predictor, ResidualGate(state_width=predictor.backbone.width, vision_width=self.x_encoder.width)

    def _prior_features(self, vision: VisionTokens) -> Tensor:
        assert self.label_prior is not None
        assert vision.logits_BK is not None, "a label prior needs the X-Encoder's logits"
        features: Tensor = self.label_prior(vision.logits_BK)
        return features
