"""A Y-Decoder's folder: config.json, model.safetensors with what was trained, and its vocabulary if it has one."""

from __future__ import annotations

from pathlib import Path

import torch

from vljepa.backends import part_folder
from vljepa.backends.files import copy_tokenizer, resolve_part
from vljepa.checkpoint.tensors import fill, read_tensors, write_tensors
from vljepa.configs.decoder import YDecoderConfig
from vljepa.errors import CheckpointError, TextSpaceError
from vljepa.models.y_decoder import YDecoder
from vljepa.parts.folders import verify_part
from vljepa.parts.saved import (
    CONFIG_FILE,
    LEXICON_FILE,
    PHRASES_FILE,
    TOKENIZER_FOLDER,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    read_decoder_config,
    read_lines,
    write_lines,
)


def build_decoder(config: YDecoderConfig, *, vocabulary: bytes | None = None) -> YDecoder:
    """A decoder at the start of its training: pretrained parts loaded, everything else fresh."""
    part = config.part
    if part.source == "random":
        return YDecoder(config, vocabulary=vocabulary)
    folder = part_folder(part)
    verify_part(part, folder)
    decoder = YDecoder(config.model_copy(update={"part": resolve_part(part)}))
    decoder.load_pretrained(folder)
    return decoder


def save_decoder(decoder: YDecoder, folder: Path, *, dtype: torch.dtype | None = None, full: bool = False) -> None:
    """Write the folder; tensors that a part's own files determine are left out.

    Args:
        decoder: What to save.
        folder: Made when absent.
        dtype: Narrow floating tensors for shipping; they load as fp32 again.
        full: Every tensor, and the part's tokenizer; the folder then needs no other files to load.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left_out = decoder.tied_keys() | (set() if full else decoder.frozen_keys())
    kept = {key: tensor for key, tensor in decoder.state_dict().items() if key not in left_out}
    write_tensors(kept, folder / WEIGHTS_FILE, dtype=dtype)
    (folder / CONFIG_FILE).write_text(decoder.config.model_dump_json(indent=2), encoding="utf-8")
    if decoder.vocabulary is not None:
        (folder / VOCABULARY_FILE).write_bytes(decoder.vocabulary)
    write_lines(decoder.lexicon, folder / LEXICON_FILE)
    write_lines(decoder.phrases, folder / PHRASES_FILE)
    if full and decoder.config.part.source != "random":
        source = part_folder(decoder.config.part) if decoder.tokenizer is None else decoder.tokenizer
        copy_tokenizer(decoder.config.part, source, folder / TOKENIZER_FOLDER)


def rewrite_config(folder: Path, **changes: object) -> None:
    """Change a saved decoder's config, such as how it chooses; the weights stay."""
    config = read_decoder_config(folder).model_copy(update=changes)
    (folder / CONFIG_FILE).write_text(config.model_dump_json(indent=2), encoding="utf-8")


def load_decoder(folder: Path, *, text_space: str) -> YDecoder:
    """Load a saved decoder, in eval mode and frozen.

    Args:
        folder: What `save_decoder` wrote.
        text_space: `VLJEPA.text_space_hash()` of the model whose embeddings it is to read.

    Raises:
        TextSpaceError: It was trained in another text space.
        CheckpointError: The folder holds no decoder, or not a whole one.
    """
    config = read_decoder_config(folder)
    if config.text_space != text_space:
        raise TextSpaceError(
            f"the decoder {str(folder)!r} reads the text space {config.text_space!r}, the model's is {text_space!r}.",
            fix="train one for this model: vljepa train-decoder RECIPE model=MODEL.",
        )
    vocabulary = folder / VOCABULARY_FILE
    decoder = YDecoder(config, vocabulary=vocabulary.read_bytes() if vocabulary.is_file() else None)
    decoder.lexicon, decoder.phrases = read_lines(folder / LEXICON_FILE), read_lines(folder / PHRASES_FILE)
    if len(decoder.phrases) != config.phrases:
        raise CheckpointError(
            f"{str(folder)!r} has {len(decoder.phrases)} phrases, its config.json says {config.phrases}.",
            fix="copy or save the decoder again.",
        )
    tensors = read_tensors(folder / WEIGHTS_FILE, fix="copy or save the decoder again.")
    own, frozen = set(decoder.state_dict()) - decoder.tied_keys(), decoder.frozen_keys()
    whole = frozen <= tensors.keys() | decoder.tied_keys()
    wrong = sorted((own if whole else own - frozen) ^ set(tensors))
    if wrong:
        raise CheckpointError(
            f"{str(folder)!r} lacks, or has too many, {len(wrong)} tensors, first {wrong[0]!r}.",
            fix="use the config.json that was saved with it.",
        )
    if (folder / TOKENIZER_FOLDER).is_dir():
        decoder.tokenizer = folder / TOKENIZER_FOLDER
    if config.part.source != "random" and not whole:
        part = part_folder(config.part)
        verify_part(config.part, part)
        decoder.load_pretrained(part)
    fill(decoder, tensors, what=f"the tensors in {str(folder)!r}")
    return decoder.requires_grad_(False).eval()
