"""Embeddings of class names: a template turns a name into a text, and several templates are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vljepa.configs import PromptsConfig
from vljepa.metrics.classification import mean_of_templates

Rows = NDArray[np.float32]


def name_rows(names: Sequence[str], *, prompts: PromptsConfig, embed: Callable[[Sequence[str]], Rows]) -> Rows:
    """Embeddings [M, D] of M names, unit norm: the mean over the templates, as in CLIP's zero-shot classification.

    Args:
        names: At least one.
        prompts: With the templates.
        embed: Makes embeddings of texts, unit norm.
    """
    rows, count = embed(prompts.named(names)), len(prompts.classification)
    return rows if count == 1 else mean_of_templates(rows.reshape(count, len(names), -1))
