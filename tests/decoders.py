"""Tiny Y-Decoders: a random llama with a vocabulary of a few texts, and a pretrained folder to adapt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vljepa.configs import YDecoderConfig
from vljepa.models.types import Entities
from vljepa.models.y_decoder import YDecoder
from vljepa.processing.words import DecoderTokenizer, train_vocabulary, vocabulary_size

SPACE = "the space of the tests"
TEXTS = tuple(
    f"{size}{colour} {shape}{place}"
    for (size, place), colour, shape in product(
        (("", ""), ("a big ", " on a white page")), ("red", "green", "blue", "black"), ("circle", "square", "bar")
    )
)
LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,  # large, so that a random model has much to say
}


@lru_cache(maxsize=1)
def tiny_vocabulary() -> bytes:
    """Sentencepiece model of TEXTS."""
    return train_vocabulary(TEXTS, size=80)


def decoder_config(
    *, embed_dim: int = 24, architecture: dict[str, Any] | None = None, **changes: Any
) -> YDecoderConfig:
    """Config of a decoder from scratch; keyword arguments are keys that change it."""
    config = {**LLAMA, "vocab_size": vocabulary_size(tiny_vocabulary()), **(architecture or {})}
    part = {"backend": "transformers", "name": "scratch", "source": "random", "config": config}
    raw = {"part": part, "embed_dim": embed_dim, "prefix_tokens": 2, "dropout": 0.0, "text_space": SPACE}
    raw |= {"generation": {"max_new_tokens": 32}}
    return YDecoderConfig.model_validate(raw | changes)


def tiny_decoder(**changes: Any) -> YDecoder:
    """Decoder from scratch, in eval mode."""
    torch.manual_seed(3)
    return YDecoder(decoder_config(**changes), vocabulary=tiny_vocabulary()).eval()


def tokenizer_of(decoder: YDecoder) -> DecoderTokenizer:
    """Its tokenizer."""
    return DecoderTokenizer.of(decoder.config, vocabulary=decoder.vocabulary)


def units(count: int, *, width: int = 24, seed: int = 0) -> Tensor:
    """Random embeddings [count, width] of unit norm."""
    draw = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, width, generator=draw), dim=-1)


def overfit(
    decoder: YDecoder,
    embeddings_BD: Tensor,
    texts: Sequence[str],
    *,
    steps: int = 150,
    entities: Entities | None = None,
) -> YDecoder:
    """Train until the texts can be told from their embeddings."""
    ids, mask = tokenizer_of(decoder).encode(texts, max_tokens=decoder.config.generation.max_new_tokens)
    decoder.unfreeze().train()
    optimizer = torch.optim.AdamW([one for one in decoder.parameters() if one.requires_grad], lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        decoder(embeddings_BD, ids, mask, entities).backward()
        optimizer.step()
    return decoder.requires_grad_(False).eval()


def write_language_model(folder: Path, **changes: Any) -> Path:
    """A random llama with a tokenizer of whole words, as a pretrained part's folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = dict.fromkeys(["<pad>", "<s>", "</s>", "<unk>", *" ".join(TEXTS).split()])
    vocabulary = {word: place for place, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)
    torch.manual_seed(8)
    LlamaForCausalLM(LlamaConfig(**{**LLAMA, "vocab_size": len(vocabulary), **changes})).save_pretrained(folder)
    return folder
