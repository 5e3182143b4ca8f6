"""Embeddings of labels and answers, kept between calls: a thousand labels are embedded once, not at every image."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import chain
from threading import Lock
from typing import TypeAlias
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import NDArray
from torch import nn

Row: TypeAlias = NDArray[np.float32]

_MOST_BYTES = 64_000_000
"""Of the rows of one model; the oldest texts go."""
_LOCK = Lock()


class _Kept:
    """Rows by text, as one processor and one state of the weights made them."""

    def __init__(self, processor: object, state: object) -> None:
        self.processor = ref(processor)
        self.state = state
        self.rows: OrderedDict[str, Row] = OrderedDict()


_KEPT: WeakKeyDictionary[nn.Module, _Kept] = WeakKeyDictionary()


def kept_rows(
    model: nn.Module, processor: object, texts: Sequence[str], *, embed: Callable[[Sequence[str]], Row]
) -> Row:
    """Embeddings of texts; only those that are not kept from earlier calls are made.

    They are forgotten when any weight has changed (trained, loaded, moved, cast), and when the model goes.

    Args:
        model: Whose embeddings.
        processor: Which prepares the texts.
        texts: At least one.
        embed: Makes the embeddings [N, D] of N texts.

    Returns:
        [N, D] float32, in the order of `texts`.
    """
    state = _state(model)
    with _LOCK:
        kept = _KEPT.get(model)
        if kept is None or kept.processor() is not processor or kept.state != state:
            kept = _KEPT[model] = _Kept(processor, state)
        found = {text: kept.rows[text] for text in texts if text in kept.rows}
    lacking = [text for text in dict.fromkeys(texts) if text not in found]
    if lacking:
        found |= dict(zip(lacking, embed(lacking), strict=True))
    rows = np.stack([found[text] for text in texts])
    with _LOCK:
        for text in dict.fromkeys(texts):
            kept.rows[text] = found[text].copy()
            kept.rows.move_to_end(text)
        most = max(1, _MOST_BYTES // rows[0].nbytes)
        while len(kept.rows) > most:
            kept.rows.popitem(last=False)
    return rows


def _state(model: nn.Module) -> object:
    """Equal as long as no weight has been replaced or written to."""
    tensors = chain(model.parameters(), model.buffers())
    return [
        # Tensors made in inference mode count no writes, and nobody trains them.
        (tensor.data_ptr(), -1 if tensor.is_inference() else tensor._version, tensor.dtype, tensor.device)
        for tensor in tensors
    ]
