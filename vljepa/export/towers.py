"""A model as plain modules, tensors in and one embedding out: what a file of another runtime holds.

Shapes: B images or texts, L tokens, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vljepa.models.jepa import JEPA
from vljepa.models.residuals import AskedGate
from vljepa.models.types import Latents, Tokens


class ImageTower(nn.Module):
    """Images to predicted embeddings, under no question.

    Args:
        model: In eval mode; its caption prompt is `query`.
        query: The caption prompt's tokens, one row; None where the model has none.
    """

    def __init__(self, model: JEPA, *, query: Tokens | None) -> None:
        super().__init__()
        self.model = model
        self.query = query
        self.learned = takes_questions(model)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Embeddings [B, D], unit norm."""
        latents = self.model.encode_vision(pixels_BCHW.unsqueeze(1))
        if not self.learned:
            assert self.model.residual is not None
            return self.model.residual.features(latents)
        query, count = self.query, pixels_BCHW.shape[0]
        if query is not None:
            query = Tokens(query.ids_BL.expand(count, -1), query.mask_BL.expand(count, -1))
        return self.model.predict(latents, query)


class QueryTower(nn.Module):
    """Images, and a question about each, to predicted embeddings.

    Args:
        model: In eval mode.
    """

    def __init__(self, model: JEPA) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels_BCHW: Tensor, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Embeddings [B, D], unit norm."""
        latents = self.model.encode_vision(pixels_BCHW.unsqueeze(1))
        return self.model.predict(latents, Tokens(ids_BL, mask_BL.bool()))


class TextTower(nn.Module):
    """Texts to their embeddings.

    Args:
        model: In eval mode.
    """

    def __init__(self, model: JEPA) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Embeddings [B, D], unit norm."""
        return self.model.encode_text(Tokens(ids_BL, mask_BL.bool()))


class _FixedGate(nn.Module):
    """The numbers of an `AskedGate`, which a graph cannot ask whether they are 0."""

    def __init__(self, gate: AskedGate) -> None:
        super().__init__()
        self.register_buffer("value", gate.value.detach().float().clone())

    def forward(self, state: Tensor, latents: Latents, query: Tokens | None = None) -> Tensor:
        """Gate [B, 1], fp32."""
        del latents
        if query is None:
            return self.get_buffer("value")[:1].expand(state.shape[0], 1)
        return self.get_buffer("value")[query.mask_BL.any(1).long()].unsqueeze(1)


def takes_questions(model: JEPA) -> bool:
    """Whether a question about an image changes what is predicted: not where a dual encoder's gate is still 0."""
    return not all(isinstance(one.gate, AskedGate) and one.gate.is_shut for one in model.predictors({1}).values())


@contextmanager
def traceable(model: JEPA) -> Iterator[None]:
    """Make a model's forward pass one that depends on no value of its own weights."""
    gates = {name: one.gate for name, one in model.predictors().items()}
    for name, one in model.predictors().items():
        gate = gates[name]
        if isinstance(gate, AskedGate) and not gate.is_shut:
            one.gate = _FixedGate(gate)
    try:
        with torch.no_grad():
            yield
    finally:
        for name, one in model.predictors().items():
            one.gate = gates[name]
