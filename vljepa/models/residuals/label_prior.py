"""What the X-Encoder's own classifier knows, in the text space: convex combination of label embeddings (ConSE)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.backends.pooling import masked_mean
from vljepa.configs import LabelPriorConfig
from vljepa.errors import ConfigError
from vljepa.models.residuals.protocol import Ablation, Residual
from vljepa.models.types import Latents, Tokens
from vljepa.models.x_encoder import XEncoder
from vljepa.models.y_encoder import YEncoder

GATE_WIDTH = 64
"""Of the MLP inside the gate; a single linear layer moves too slowly (docs/LOG.md)."""


class LabelPrior(Residual):
    """From classifier logits to a Y-Encoder feature: the probable labels' own features, weighted.

    Source: Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings, arXiv 1312.5650.

    Args:
        config: Softmax temperature and top-k, and the width of the refining MLP.
        x_encoder: With a classifier of K classes.
        y_encoder: Whose features it gives, E wide.

    Raises:
        ConfigError: The X-Encoder has no classifier.
    """

    label_features_KE: Tensor

    def __init__(self, config: LabelPriorConfig, *, x_encoder: XEncoder, y_encoder: YEncoder) -> None:
        super().__init__()
        if x_encoder.num_classes == 0:
            raise ConfigError(
                f"residual 'label_prior' needs an X-Encoder with a classifier; {x_encoder.config.part} has none.",
                fix="set residual=null.",
            )
        self.config = config
        self.hint_width = y_encoder.width if config.token else None
        width = y_encoder.width
        self.register_buffer("label_features_KE", torch.zeros(x_encoder.num_classes, width))
        self.refiner: nn.Sequential | None = None
        if config.gated and config.hidden is not None:
            last = nn.Linear(config.hidden, width)
            # Start as plain ConSE, and learn what captions say beyond the labels' names.
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.refiner = nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, config.hidden), nn.GELU(), nn.Dropout(config.dropout), last
            )

    def new_gate(self, *, state_width: int, vision_width: int) -> nn.Module | None:
        """See `Residual`."""
        return PriorGate(state_width=state_width, vision_width=vision_width) if self.config.gated else None

    def features(self, latents: Latents) -> Tensor:
        """See `Residual`."""
        assert latents.logits_BK is not None, "a label prior needs the X-Encoder's logits"
        return self.of_logits(latents.logits_BK)

    def class_probabilities(self, latents: Latents) -> Tensor:
        """See `Residual`."""
        assert latents.logits_BK is not None, "a label prior needs the X-Encoder's logits"
        return latents.logits_BK.float().softmax(-1)

    def class_features(self) -> Tensor:
        """See `Residual`."""
        return self.label_features_KE

    def add(
        self,
        learned_BD: Tensor,
        features_BE: Tensor,
        *,
        gate: Callable[[], Tensor],
        project: Callable[[Tensor], Tensor],
        ablate: Ablation | None = None,
    ) -> Tensor:
        """normalise(learned + gate * prior), both of unit norm.

        A refined prior is read by samples with images but not trained by them: few images would spoil what much text
        has taught it.
        """
        learned_BD = F.normalize(learned_BD.float(), dim=-1)
        if ablate == "residual":
            return learned_BD
        prior_BD = project(self.refine(features_BE))
        if ablate == "learned":
            return prior_BD
        if self.refiner is not None:
            prior_BD = prior_BD.detach()
        return F.normalize(learned_BD + gate() * prior_BD, dim=-1)

    @property
    def is_filled(self) -> bool:
        """Whether the labels' features have been set; a prior of zeros says nothing."""
        return bool(self.label_features_KE.any())

    def of_logits(self, logits_BK: Tensor) -> Tensor:
        """Weighted label features, fp32 [B, E]."""
        probabilities_BK = (logits_BK.float() / self.config.temperature).softmax(-1)
        top, labels = probabilities_BK.topk(min(self.config.top_k, probabilities_BK.shape[1]), dim=-1)
        weights = top / top.sum(-1, keepdim=True)
        return (weights.unsqueeze(-1) * self.label_features_KE[labels]).sum(1)

    def refine(self, features_BE: Tensor) -> Tensor:
        """The residual's feature [B, E]: label features moved to where captions lie."""
        if self.refiner is None:
            return features_BE
        narrow = features_BE.to(next(self.refiner.parameters()).dtype)
        refined: Tensor = F.normalize(features_BE.float(), dim=-1) + self.refiner(narrow).float()
        return refined


class PriorGate(nn.Module):
    """How far to trust the label prior: a positive number per sample, from the state and the mean visual token.

    The state carries the query. The frozen visual tokens tell photos from drawings from the first step on, and hold
    still while the state learns.

    Args:
        state_width: Size of the Predictor's state.
        vision_width: Size of a visual token.
    """

    def __init__(self, *, state_width: int, vision_width: int) -> None:
        super().__init__()
        self.state_norm = nn.LayerNorm(state_width)
        self.vision_norm = nn.LayerNorm(vision_width)
        self.mlp = nn.Sequential(nn.Linear(state_width + vision_width, GATE_WIDTH), nn.GELU(), nn.Linear(GATE_WIDTH, 1))

    def forward(self, state: Tensor, latents: Latents, query: Tokens | None = None) -> Tensor:
        """Gate [B, 1], fp32, positive; the state knows the query."""
        del query
        mean_BD = masked_mean(latents.tokens_BND.to(state.dtype), latents.mask_BN)
        return F.softplus(self.mlp(torch.cat([self.state_norm(state), self.vision_norm(mean_BD)], dim=-1)).float())
