"""A tokenizer without files."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class ByteTokenizer:
    """UTF-8 bytes, shifted past [PAD] = 0, [CLS] = 1 and [SEP] = 2: for random parts, which have no files."""

    vocab_size = 259

    def __call__(self, texts: Sequence[str], *, max_tokens: int) -> tuple[Tensor, Tensor]:
        """See `Tokenizer`."""
        rows = [[1, *(byte + 3 for byte in text.encode()[: max_tokens - 2]), 2] for text in texts]
        length = max(len(row) for row in rows)
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        for row, tokens in zip(ids, rows, strict=True):
            row[: len(tokens)] = torch.tensor(tokens)
        return ids, ids != 0
