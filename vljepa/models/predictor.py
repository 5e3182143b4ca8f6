"""The Predictor: latents of the context, and a condition, to the latents of the target (paper, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vljepa.backends.pooling import masked_mean
from vljepa.backends.text_layers import TransformersText
from vljepa.configs import PredictorConfig
from vljepa.models.conditions import ActionCondition, MaskCondition, embed_query
from vljepa.models.layers.time import ClipChanges, ClipPlaces, pool_steps
from vljepa.models.types import Latents, Tokens


class Predictor(nn.Module):
    """Layers of a text transformer over [hint, context tokens, query tokens], with a linear head.

    The backbone gives every token of the sequence its position, and with it frames an order; `clips` gives them their
    place in the clip besides, whatever the number of tokens and frames. The word embeddings of a pretrained backbone
    stay frozen; its layers, the projections and the head are trained.

    Args:
        config: Backbone, attention, output and lengths.
        vision_width: Size of a context token.
        embed_dim: D of the target's space.
        grid: Side of the grid of a frame's tokens, `x_encoder.pool_grid`; tokens of change need to know it.
        hint_width: Size of what a residual tells beforehand, as a token of its own; None for none.
        action_width: Numbers of an action, A; None without actions.
        state_width: Numbers of the state of what acts, S; None without states.
        masks: Whether tokens of the context may be asked for.
    """

    def __init__(
        self,
        config: PredictorConfig,
        *,
        vision_width: int,
        embed_dim: int,
        grid: int | None = None,
        hint_width: int | None = None,
        action_width: int | None = None,
        state_width: int | None = None,
        masks: bool = False,
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
        self.hint_projection = None if hint_width is None else nn.Linear(hint_width, width)
        self.clip_places = None if config.clips is None else ClipPlaces(config.clips, width=width)
        self.clip_changes: ClipChanges | None = None
        if config.clips is not None and config.clips.changes > 0:
            assert grid is not None
            self.clip_changes = ClipChanges(
                config.clips.changes, places=grid**2, vision_width=vision_width, width=width
            )
        self.actions: ActionCondition | None = None
        if action_width is not None:
            self.actions = ActionCondition(action_width, width=width, state_width=state_width)
        self.masks = MaskCondition(width=width) if masks else None
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(width, embed_dim)
        self.gate: nn.Module | None = None
        """Of a residual: how far to trust it, by this Predictor's state."""

    def forward(
        self,
        latents: Latents,
        *,
        query: Tokens | None = None,
        hint_BE: Tensor | None = None,
        actions_BTA: Tensor | None = None,
        states_BTS: Tensor | None = None,
        asked_BN: Tensor | None = None,
    ) -> Tensor:
        """State before the head: [B, width], the mean over the sequence; or [B, N, width], that of each context token.

        Args:
            latents: What the context encoder saw.
            query: A question, or None for a query-free prediction.
            hint_BE: What the residual tells beforehand, where it has a token.
            actions_BTA: Action at each step, where the Predictor knows actions.
            states_BTS: State of what acts at each step, where it knows states.
            asked_BN: Which context tokens are hidden and asked for, where it knows masks.

        Raises:
            ConfigError: A clip of more steps than `clips.max_frames`.
        """
        words = embed_query(query, self.backbone, longest=self.config.max_query_tokens)
        changes = self._changes(latents, query_BD=None if words is None else masked_mean(*words))
        context = self._context(latents, actions_BTA, states_BTS, asked_BN)
        pieces = [piece for piece in (self._hint(hint_BE, context[0]), changes, context) if piece is not None]
        before = sum(tokens.shape[1] for tokens, _ in pieces[:-1])
        if words is not None:
            pieces.append((words[0].to(context[0].dtype), words[1]))
        sequence_BLD, mask_BL = (torch.cat(one, dim=1) for one in zip(*pieces, strict=True))
        hidden_BLD = self.backbone.encode_embeddings(
            self.dropout(sequence_BLD),
            mask_BL,
            attention=self.config.attention,
            blocks_L=self._blocks(before, context[0].shape[1], mask_BL, steps=latents.steps),
        )
        if self.config.output == "pooled":
            return masked_mean(hidden_BLD, mask_BL)
        own_BND = hidden_BLD[:, before : before + context[0].shape[1]]
        return own_BND if self.actions is None else self.actions.without(own_BND, steps=latents.steps)

    def _hint(self, hint_BE: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor] | None:
        if self.hint_projection is None:
            return None
        assert hint_BE is not None
        token_B1D = self.hint_projection(hint_BE.to(like.dtype)).unsqueeze(1)
        return token_B1D, torch.ones(token_B1D.shape[:2], dtype=torch.bool, device=like.device)

    def _changes(self, latents: Latents, *, query_BD: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Tokens of what changes over the steps of a clip."""
        if self.clip_changes is None or latents.steps == 1:
            return None
        seen_BND = self.vision_norm(latents.tokens_BND.to(self.head.weight.dtype))
        changes: tuple[Tensor, Tensor] = self.clip_changes(
            seen_BND, latents.mask_BN, steps=latents.steps, query_BD=query_BD
        )
        return changes

    def _context(
        self, latents: Latents, actions_BTA: Tensor | None, states_BTS: Tensor | None, asked_BN: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Context tokens [B, N, width] in time, with their actions, and their mask."""
        clips, steps = self.config.clips, latents.steps
        tokens_BND, mask_BN = latents.tokens_BND.to(self.head.weight.dtype), latents.mask_BN
        if clips is not None and clips.grid is not None and steps > 1:
            tokens_BND, mask_BN = pool_steps(tokens_BND, mask_BN, steps=steps, side=clips.grid)
        tokens_BND = self.vision_projection(self.vision_norm(tokens_BND))
        if asked_BN is not None:
            assert self.masks is not None
            tokens_BND = self.masks(tokens_BND, asked_BN)
        if self.clip_places is not None:
            tokens_BND = self.clip_places(tokens_BND, steps=steps)
        if self.actions is not None:
            assert actions_BTA is not None
            tokens_BND, mask_BN = self.actions(tokens_BND, mask_BN, actions_BTA, states_BTS)
        return tokens_BND, mask_BN

    def _blocks(self, before: int, count: int, mask_BL: Tensor, *, steps: int) -> Tensor | None:
        """Step of every token, for block-causal attention; what is told beside the context is of the first."""
        if self.config.attention != "block_causal":
            return None
        blocks_L = torch.zeros(mask_BL.shape[1], dtype=torch.long, device=mask_BL.device)
        blocks_L[before : before + count] = torch.arange(steps, device=mask_BL.device).repeat_interleave(count // steps)
        return blocks_L
