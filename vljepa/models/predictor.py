"""The Predictor: visual tokens and query tokens to one embedding of the answer (paper, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vljepa.backends.pooling import masked_mean
from vljepa.backends.text_layers import TransformersText
from vljepa.configs import PredictorConfig
from vljepa.models.clips import ClipChanges, ClipPlaces, pool_steps
from vljepa.models.outputs import VisionTokens


class Predictor(nn.Module):
    """Layers of a text transformer over [label token, visual tokens, query tokens], mean-pooled, with a linear head.

    The backbone gives every token of the sequence its position, and with it frames an order; `clips` gives them their
    place in the clip besides, whatever the number of tokens and frames.

    The word embeddings of a pretrained backbone stay frozen; its layers, the projections and the head are trained.

    Args:
        config: Backbone, mask and lengths.
        vision_width: Size of a visual token.
        grid: Side of the grid of a frame's tokens, `x_encoder.pool_grid`; tokens of change need to know it.
        prior_width: Size of the label prior's feature, or None without a label token.
        embed_dim: D of the shared space.
    """

    def __init__(
        self,
        config: PredictorConfig,
        *,
        vision_width: int,
        grid: int | None = None,
        prior_width: int | None,
        embed_dim: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.backbone = TransformersText(config.part, dropout=config.dropout, fresh=config.init == "random")
        if config.part.source != "random":
            tables = self.backbone.embedding_names()
            for name, parameter in self.backbone.named_parameters():
                parameter.requires_grad_(name not in tables)
        width = self.backbone.width
        self.vision_norm = nn.LayerNorm(vision_width)
        self.vision_projection = nn.Linear(vision_width, width)
        self.prior_projection = nn.Linear(prior_width, width) if prior_width is not None else None
        self.clip_places = None if config.clips is None else ClipPlaces(config.clips, width=width)
        self.clip_changes: ClipChanges | None = None
        if config.clips is not None and config.clips.changes > 0:
            assert grid is not None
            self.clip_changes = ClipChanges(
                config.clips.changes, places=grid**2, vision_width=vision_width, width=width
            )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(width, embed_dim)

    def forward(
        self,
        vision: VisionTokens,
        query_ids: Tensor | None = None,
        query_mask: Tensor | None = None,
        prior_BE: Tensor | None = None,
    ) -> Tensor:
        """Pooled state [B, width], before the head.

        Args:
            vision: What the X-Encoder saw.
            query_ids: Query tokens [B, Lq], or None for a query-free prediction.
            query_mask: True on real query tokens [B, Lq].
            prior_BE: Feature of the label prior, when the model has a label token.

        Raises:
            ConfigError: A clip of more steps than `clips.max_frames`.
        """
        query = self._query(query_ids, query_mask)
        tokens_BND, mask_BN = self._visual(vision, query_BD=None if query is None else masked_mean(*query))
        pieces, masks = [tokens_BND], [mask_BN]
        if self.prior_projection is not None:
            assert prior_BE is not None
            pieces.insert(0, self.prior_projection(prior_BE.to(tokens_BND.dtype)).unsqueeze(1))
            masks.insert(0, torch.ones_like(mask_BN[:, :1]))
        if query is not None:
            pieces.append(query[0].to(tokens_BND.dtype))
            masks.append(query[1])
        sequence_BLD, mask_BL = torch.cat(pieces, dim=1), torch.cat(masks, dim=1)
        hidden_BLD = self.backbone.encode_embeddings(
            self.dropout(sequence_BLD), mask_BL, bidirectional=self.config.bidirectional
        )
        return masked_mean(hidden_BLD, mask_BL)

    def _query(self, query_ids: Tensor | None, query_mask: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Word embeddings [B, Lq, width] of the query, and their mask."""
        if query_ids is None or query_ids.shape[1] == 0:
            return None
        assert query_mask is not None
        kept = self.config.max_query_tokens
        return self.backbone.embed(query_ids[:, :kept]), query_mask[:, :kept].bool()

    def _visual(self, vision: VisionTokens, *, query_BD: Tensor | None) -> tuple[Tensor, Tensor]:
        """Visual tokens [B, N, width] in time, tokens of change before them, and their mask."""
        tokens_BND, mask_BN = vision.tokens_BND.to(self.head.weight.dtype), vision.mask_BN
        pieces, masks = [], []
        if self.clip_changes is not None and vision.steps > 1:
            seen_BND = self.vision_norm(tokens_BND)
            changes_BKD, changed_BK = self.clip_changes(seen_BND, mask_BN, steps=vision.steps, query_BD=query_BD)
            pieces.append(changes_BKD)
            masks.append(changed_BK)
        if self.config.clips is not None and self.config.clips.grid is not None and vision.steps > 1:
            tokens_BND, mask_BN = pool_steps(tokens_BND, mask_BN, steps=vision.steps, side=self.config.clips.grid)
        tokens_BND = self.vision_projection(self.vision_norm(tokens_BND))
        if self.clip_places is not None:
            tokens_BND = self.clip_places(tokens_BND, steps=vision.steps)
        return torch.cat([*pieces, tokens_BND], dim=1), torch.cat([*masks, mask_BN], dim=1)
