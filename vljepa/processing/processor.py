"""VLJEPAProcessor: images, queries and targets to the batch that the model takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from vljepa.backends import backend_of, part_folder, resolve_preferences
from vljepa.backends.aligned import aligned_config, is_aligned, refuse_revision
from vljepa.backends.protocols import Tokenizer
from vljepa.configs import PartSpec, VLJEPAConfig
from vljepa.errors import CheckpointError
from vljepa.models.types import Batch, Tokens
from vljepa.parts.saved import decoder_folder, read_config, saved_folder, tokenizers_folder
from vljepa.processing.frames import FrameProcessor
from vljepa.processing.given import ImageInput
from vljepa.processing.words import DecoderTokenizer

__all__ = ["ImageInput", "VLJEPAProcessor"]


class VLJEPAProcessor(FrameProcessor):
    """Everything between files and tensors, as the model's config says.

    Args:
        config: Config of the model; what it leaves open is asked of the parts' files, as the model does.
        tokenizers: Folder with the tokenizers of a model that was saved whole; None takes those of the parts.

    Example:
        >>> processor = VLJEPAProcessor.from_pretrained("mini")  # doctest: +SKIP
        >>> batch = processor(images=["photo.jpg"], queries=["what is this?"])  # doctest: +SKIP
    """

    def __init__(self, config: VLJEPAConfig, *, tokenizers: Path | None = None) -> None:
        self.config = config = resolve_preferences(config)
        super().__init__(config.x_encoder.image)
        self._query_tokenizer = _tokenizer(config.predictor.part, tokenizers, slot="predictor")
        same = _origin(config.predictor.part) == _origin(config.y_encoder.part)
        self.target_tokenizer = (
            self._query_tokenizer if same else _tokenizer(config.y_encoder.part, tokenizers, slot="y_encoder")
        )
        self.words: DecoderTokenizer | None = None

    @classmethod
    def from_pretrained(cls, name: str | Path, *, revision: str | None = None) -> Self:
        """Processor of a shipped preset ("mini"), a saved model's folder, or a hub repository.

        Args:
            name: Preset, folder, repository or dual encoder, as for `VLJEPA.from_pretrained`.
            revision: Branch, tag or commit of a repository.
        """
        if is_aligned(name):
            refuse_revision(name, revision)
            return cls(aligned_config(str(name)))
        folder = saved_folder(name, revision=revision)
        processor = cls(read_config(folder), tokenizers=tokenizers_folder(folder))
        decoder = decoder_folder(folder)
        if decoder is not None:
            processor.load_decoder(decoder)
        return processor

    def load_decoder(self, folder: str | Path) -> None:
        """Take the vocabulary of another Y-Decoder, as `VLJEPA.load_decoder` takes its weights.

        Raises:
            CheckpointError: The folder holds no decoder.
        """
        self.words = DecoderTokenizer.from_folder(folder)

    def __call__(
        self,
        *,
        images: Sequence[ImageInput] | None = None,
        queries: Sequence[str] | None = None,
        targets: Sequence[str] | None = None,
    ) -> Batch:
        """Batch of whatever is given, as the model takes it."""
        return Batch(
            pixels_BTCHW=None if images is None else self.images(images),
            query=None if queries is None else self.queries(queries),
            target=None if targets is None else self.targets(targets),
        )

    def queries(self, texts: Sequence[str]) -> Tokens:
        """Ids and mask [B, Lq] of queries; an empty query has no valid token at all."""
        ids, mask = self._query_tokenizer(texts, max_tokens=self.config.predictor.max_query_tokens)
        empty_B = torch.tensor([not text for text in texts], dtype=torch.bool)
        return Tokens(ids, mask & ~empty_B[:, None])

    def targets(self, texts: Sequence[str]) -> Tokens:
        """Ids and mask [B, Ly] of targets."""
        assert self.config.y_encoder.prefix is not None
        assert self.config.y_encoder.max_tokens is not None
        prefixed = [self.config.y_encoder.prefix + text for text in texts]
        ids, mask = self.target_tokenizer(prefixed, max_tokens=self.config.y_encoder.max_tokens)
        return Tokens(ids, mask)

    def decode(self, ids: Tensor) -> list[str]:
        """Texts of what `VLJEPA.generate` returned, [B, L].

        Raises:
            CheckpointError: The model has no Y-Decoder.
        """
        if self.words is None:
            raise CheckpointError("this model has no Y-Decoder.", fix="give one to load_decoder.")
        return self.words.decode(ids)


def _tokenizer(part: PartSpec, saved: Path | None, *, slot: str) -> Tokenizer:
    """Tokenizer of a text part: the one that was saved with the model, or the part's own."""
    backend = backend_of(part)
    if part.source == "random":
        return backend.tokenizer(part, None)
    return backend.tokenizer(part, part_folder(part) if saved is None else saved / slot)


def _origin(part: PartSpec) -> tuple[str, str, str, str | None]:
    """What two parts must share to have one tokenizer."""
    return part.backend, part.source, str(part.name), part.revision
