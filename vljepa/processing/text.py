"""Text: the tokenizers of the parts, and the normal form in which two texts count as equal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from vljepa.configs import PartSpec
from vljepa.parts.resolve import part_config, part_folder

_SPACE = re.compile(r"\s+")


def normalise_text(text: str) -> str:
    """Form in which two texts count as the same target: lower case, single spaces, no closing punctuation.

    Example:
        >>> normalise_text("  A red  Apple. ")
        'a red apple'
    """
    # Folding can undo the composition, so compose on both sides of it.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _SPACE.sub(" ", folded).strip().rstrip(".!?;, ")


class Tokenizer(Protocol):
    """Texts to right-padded ids and mask, both [B, L] with L the longest text of the batch."""

    def __call__(self, texts: Sequence[str], *, max_tokens: int) -> tuple[Tensor, Tensor]:
        """Encode; texts longer than `max_tokens` are cut."""
        ...


class TransformersTokenizer:
    """Tokenizer of a transformers part, from the part's own folder."""

    def __init__(self, folder: Any) -> None:
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.tokenizer.padding_side = "right"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def __call__(self, texts: Sequence[str], *, max_tokens: int) -> tuple[Tensor, Tensor]:
        """See `Tokenizer`."""
        out = self.tokenizer(list(texts), padding=True, truncation=True, max_length=max_tokens, return_tensors="pt")
        return out["input_ids"], out["attention_mask"].bool()


class OpenClipTokenizer:
    """Tokenizer of an open_clip text tower: always the tower's context length, padded with zeros.

    The tower adds as many positions as its context has, so a shorter row does not fit it.
    """

    def __init__(self, *, context_length: int) -> None:
        from open_clip.tokenizer import SimpleTokenizer

        self.context_length = context_length
        self.tokenizer = SimpleTokenizer(context_length=context_length)

    def __call__(self, texts: Sequence[str], *, max_tokens: int) -> tuple[Tensor, Tensor]:
        """See `Tokenizer`, but texts are cut at the context length, whatever `max_tokens` says."""
        del max_tokens
        ids: Tensor = self.tokenizer(list(texts), context_length=self.context_length)
        return ids, ids != 0


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


def tokenizer_for(spec: PartSpec) -> Tokenizer:
    """Tokenizer that belongs to a text part."""
    if spec.source == "random" and spec.backend == "transformers":
        return ByteTokenizer()
    if spec.backend == "open_clip":
        text_cfg = part_config(spec)["model_cfg"]["text_cfg"]
        if "hf_tokenizer_name" not in text_cfg:
            return OpenClipTokenizer(context_length=int(text_cfg.get("context_length", 77)))
    return TransformersTokenizer(part_folder(spec))
