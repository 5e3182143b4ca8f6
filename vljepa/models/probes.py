"""Probes: small classifiers over the latents of a frozen encoder, which say what is in them.

Shapes: B clips or images, N tokens of T steps in time, D width of a token, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.backends.video_layers import Layer, fresh, sincos
from vljepa.configs.v_jepa import LayersConfig

_HEAD_WIDTH = 32
"""Channels of an attention head, at least."""


class AttentiveProbe(nn.Module):
    """One learned query looks at all tokens; V-JEPA 2's protocol has three layers of self-attention before it.

    Of an encoder that sees frames one by one the tokens are told their step, or no probe could know an order.

    Args:
        width: D.
        classes: C.
        layers: Layers altogether, the one with the query included: 1 as V-JEPA (arXiv 2404.08471), 4 as V-JEPA 2.
        tell_steps: Whether tokens are told their step.
    """

    def __init__(self, width: int, classes: int, *, layers: int = 1, tell_steps: bool = False) -> None:
        super().__init__()
        heads = max(one for one in range(1, 1 + max(1, width // _HEAD_WIDTH)) if width % one == 0)
        config = LayersConfig(width=width, depth=layers, heads=heads)
        self.heads, self.tell_steps = heads, tell_steps
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(Layer(config, number=number) for number in range(1, layers))
        self.query_D = nn.Parameter(torch.zeros(width))
        self.norm_context, self.norm_query, self.norm_out = (nn.LayerNorm(width) for _ in range(3))
        self.query, self.key_value, self.proj = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, width),
        )
        self.fc1, self.fc2, self.classify = (
            nn.Linear(width, 4 * width),
            nn.Linear(4 * width, width),
            nn.Linear(width, classes),
        )
        for linear in (self.query, self.key_value, self.proj, self.fc1, self.fc2, self.classify):
            fresh(linear)
        nn.init.trunc_normal_(self.query_D, std=0.02)

    def forward(self, tokens_BND: Tensor, *, steps: int) -> Tensor:
        """Logits [B, C]."""
        tokens_BND = self.norm(tokens_BND)
        if self.tell_steps and steps > 1:
            table_TD = sincos((steps, 1, 1), tokens_BND.shape[-1], device=tokens_BND.device)
            tokens_BND = tokens_BND + table_TD.repeat_interleave(tokens_BND.shape[1] // steps, dim=0)
        for layer in self.layers:
            tokens_BND = layer(tokens_BND, None)
        both = self.key_value(self.norm_context(tokens_BND)).unflatten(-1, (2, self.heads, -1))
        key, value = both.permute(2, 0, 3, 1, 4)
        query = self.query(self.query_D).view(1, self.heads, 1, -1).expand(len(tokens_BND), -1, -1, -1)
        seen_BD = self.query_D + self.proj(F.scaled_dot_product_attention(query, key, value).flatten(1))
        seen_BD = seen_BD + self.fc2(F.gelu(self.fc1(self.norm_query(seen_BD))))
        logits_BC: Tensor = self.classify(self.norm_out(seen_BD))
        return logits_BC


class LinearProbe(nn.Module):
    """A linear layer over latents, each number scaled to the training data.

    Args:
        mean_E: Mean of the training data's features, and
        std_E: their standard deviation.
        classes: C.
        flat: Of all tokens side by side, each at its place, instead of `by_steps`.
    """

    def __init__(self, mean_E: Tensor, std_E: Tensor, classes: int, *, flat: bool = False) -> None:
        super().__init__()
        self.flat = flat
        self.mean_E: Tensor
        self.std_E: Tensor
        self.register_buffer("mean_E", mean_E)
        # What is constant in training says nothing, and must not say much where it is not constant later.
        self.register_buffer("std_E", torch.where(std_E > 1e-6, std_E, torch.inf))
        self.classify = nn.Linear(len(mean_E), classes)
        fresh(self.classify)

    def forward(self, tokens_BND: Tensor, *, steps: int) -> Tensor:
        """Logits [B, C]."""
        features_BE = tokens_BND.flatten(1) if self.flat else by_steps(tokens_BND, steps=steps)
        logits_BC: Tensor = self.classify((features_BE - self.mean_E) / self.std_E)
        return logits_BC


def by_steps(tokens_BND: Tensor, *, steps: int) -> Tensor:
    """The mean token of every step in time, side by side: [B, T * D]; of an image the mean token."""
    batch, count, width = tokens_BND.shape
    return tokens_BND.reshape(batch, steps, count // steps, width).mean(2).flatten(1)
