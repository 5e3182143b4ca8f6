"""What is searched for: a text or an image, and what is added to it and taken from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, cast

import numpy as np

from vljepa.errors import ConfigError
from vljepa.inference.embed import Embedder, Rows
from vljepa.processing.given import ImageInput, is_image

Query: TypeAlias = str | ImageInput
Weighted: TypeAlias = Query | tuple[Query, float]
"""A text or an image, by itself (1) or with its weight."""


def query_row(
    embedder: Embedder, query: Query, *, plus: Sequence[Weighted] = (), minus: Sequence[Weighted] = ()
) -> Rows:
    """The embedding [D] that is searched for: that of the query, plus and minus others by their weights, unit norm.

    Args:
        embedder: The index's model.
        query: A text or an image.
        plus: What the results are to be like, too.
        minus: What they are not to be like.

    Raises:
        ConfigError: An empty text, something that is neither a text nor an image, a weight that is not above 0, or what
            is taken away leaves nothing.
        ImageError: An image cannot be read.
    """
    row = _row(embedder, query)
    if not plus and not minus:
        return row
    for others, sign in ((plus, 1.0), (minus, -1.0)):
        for one in others:
            other, weight = one if isinstance(one, tuple) else (one, 1.0)
            if not 0 < weight < float("inf"):
                raise ConfigError(f"the weight {weight} is not above 0.", fix="give a number such as 0.5.")
            row = row + np.float32(sign * weight) * _row(embedder, other)
    length = float(np.linalg.norm(row))
    if length < 1e-4:
        raise ConfigError("what is taken away leaves nothing of the query.", fix="give it less weight.")
    return cast(Rows, row / np.float32(length))


def _row(embedder: Embedder, query: Query) -> Rows:
    if isinstance(query, str):
        return cast(Rows, embedder.texts([check_query(query)])[0])
    if not is_image(query):
        raise ConfigError(f"the query is of type {type(query).__name__}.", fix="give a text or one image.")
    return cast(Rows, embedder.images([query])[0])


def check_query(text: str) -> str:
    """A text query that says something.

    Raises:
        ConfigError: It is empty.
    """
    if not text.strip():
        raise ConfigError("the query is empty.", fix='say what to look for, such as "a red fish".')
    return text
