"""A question as a condition: its words, embedded by the Predictor's own table."""

from __future__ import annotations

from torch import Tensor

from vljepa.backends.text_layers import TransformersText
from vljepa.models.types import Tokens


def embed_query(query: Tokens | None, backbone: TransformersText, *, longest: int) -> tuple[Tensor, Tensor] | None:
    """Word embeddings [B, Lq, width] of a query and their mask; None without one.

    Args:
        query: Its tokens.
        backbone: Whose table embeds them.
        longest: Tokens after which it is cut.
    """
    if query is None or query.ids_BL.shape[1] == 0:
        return None
    return backbone.embed(query.ids_BL[:, :longest]), query.mask_BL[:, :longest].bool()
