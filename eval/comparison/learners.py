"""The two learners behind one face: a loss on the same batch, scores of candidates, captions.

Shapes: N pictures, C candidates, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from eval.comparison.vlm import TokenVLM
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import RunConfig
from vljepa.data.collate import Batch
from vljepa.data.pictures import PictureReader
from vljepa.errors import ConfigError
from vljepa.models.y_decoder import YDecoder
from vljepa.processing.words import DecoderTokenizer
from vljepa.validation.encoder import Encoder
from vljepa.training.step import Embedding, Step

Scores = NDArray[np.float32]
PIECES = 4
"""Parts of a batch, by length of the target, that the token VLM takes one after the other: less padding."""
BATCH = 64


class Learner(Protocol):
    """What is compared."""

    model: nn.Module
    accelerator: Accelerator

    def loss(self, batches: Sequence[Batch], *, step: int) -> Tensor:
        """Loss of one step's samples, with a graph."""
        ...

    def scores(self, pictures: Sequence[Path], texts: Sequence[str]) -> Scores:
        """How well each text fits each picture, [N, C]: larger is better, comparable within a picture."""
        ...

    def captions(self, pictures: Sequence[Path]) -> dict[str, list[str]]:
        """Captions of pictures, by the name of what writes them."""
        ...


class EmbeddingLearner:
    """Ours: the Predictor on the slice, trained with the package's own step.

    Args:
        model: At the start of its training.
        processor: Of the model.
        reader: Feature cache.
        run: The recipe.
        accelerator: Of the process.
    """

    def __init__(
        self,
        model: VLJEPA,
        processor: VLJEPAProcessor,
        *,
        reader: PictureReader,
        run: RunConfig,
        accelerator: Accelerator,
    ) -> None:
        self.model = model
        self.accelerator = accelerator
        self.encoder = Encoder(model, processor, pictures=reader)
        self.decoders: Mapping[str, tuple[YDecoder, DecoderTokenizer]] = {}
        """What reads its embeddings, by name; there is none while it learns."""
        wrapped = accelerator.prepare(Embedding(model, run.objective))
        self._step = Step(run, wrapped=wrapped, accelerator=accelerator, texts=())

    def loss(self, batches: Sequence[Batch], *, step: int) -> Tensor:
        """See `Learner`."""
        return self._step.loss(batches, step=step)

    def embed(self, pictures: Sequence[Path]) -> Scores:
        """Predicted embeddings [N, D] under the caption prompt."""
        prompt = self.model.config.prompts.caption
        with self.accelerator.autocast():
            return self.encoder.predictions([(picture, prompt) for picture in pictures])

    def scores(self, pictures: Sequence[Path], texts: Sequence[str]) -> Scores:
        """Cosine of prediction and text."""
        return self.embed(pictures) @ self.encoder.texts(texts).T

    def captions(self, pictures: Sequence[Path]) -> dict[str, list[str]]:
        """See `Learner`."""
        rows, said = torch.from_numpy(self.embed(pictures)), {}
        for name, (decoder, words) in self.decoders.items():
            said[name] = [text for part in rows.split(BATCH) for text in words.decode(decoder.generate(part))]
        return said


class TokenLearner:
    """The opponent: a token VLM from the same slice, all of it trained with next-token loss.

    Args:
        model: At the start of its training.
        tokenizer: Of the model.
        reader: Feature cache.
        accelerator: Of the process.
    """

    def __init__(
        self, model: TokenVLM, tokenizer: DecoderTokenizer, *, reader: PictureReader, accelerator: Accelerator
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.reader = reader
        self.accelerator = accelerator
        self._wrapped = accelerator.prepare(model)

    def loss(self, batches: Sequence[Batch], *, step: int) -> Tensor:
        """Mean over all target tokens of the step, as if in one batch."""
        del step
        losses, counts = [], []
        for batch in batches:
            rows = batch.tensors
            for some in rows["word_mask"].sum(1).argsort().chunk(PIECES):
                mask = rows["word_mask"][some]
                longest = int(mask.sum(1).max())
                ids, mask = rows["word_ids"][some, :longest], mask[:, :longest]
                losses.append(self._wrapped(rows["vision_tokens"][some], ids, mask))
                counts.append(mask[:, 1:].sum())
        shares = torch.stack(counts) / torch.stack(counts).sum()
        return (torch.stack(losses) * shares).sum()

    def scores(self, pictures: Sequence[Path], texts: Sequence[str]) -> Scores:
        """Mean token log-likelihood of the text as the whole caption."""
        ids, mask = self.tokenizer.encode(texts, max_tokens=_LONGEST)
        rows = [row[: int(kept.sum())].tolist() for row, kept in zip(ids, mask, strict=True)]
        with self.accelerator.autocast():
            return self.model.log_likelihoods(self._seen(pictures), rows).numpy()

    def captions(self, pictures: Sequence[Path]) -> dict[str, list[str]]:
        """See `Learner`."""
        said = []
        with self.accelerator.autocast():
            for part in self._seen(pictures).split(BATCH):
                said += self.tokenizer.decode(self.model.generate(part, shift=False))
        return {"tokens": said}

    def _seen(self, pictures: Sequence[Path]) -> Tensor:
        return self.reader.read([(picture, 0) for picture in pictures]).tensors["vision_tokens"]


def trained_parameters(model: nn.Module) -> int:
    """Number of parameters that gradients reach."""
    return sum(one.numel() for one in model.parameters() if one.requires_grad)


def check_sizes(*, ours: int, opponent: int) -> None:
    """Refuse a comparison in which our arm trains more than the opponent.

    Raises:
        ConfigError: With both numbers.
    """
    if ours > opponent:
        raise ConfigError(
            f"our arm trains {ours:,} parameters, the token VLM {opponent:,}.",
            fix="give both a slice and a vocabulary with which ours trains no more.",
        )


_LONGEST = 64
