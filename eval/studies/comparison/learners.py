"""The two learners behind one face: a loss on the same batch, scores of candidates, captions.

Shapes: N images, C candidates, D width of the shared space.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from eval.core.embedding import Rows, chunks
from eval.studies.comparison.data import WordBatch
from eval.studies.comparison.vlm import TokenVLM
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import RunConfig
from vljepa.data.collate import Group
from vljepa.data.images import ImageReader
from vljepa.errors import ConfigError
from vljepa.inference.embed import Embedder
from vljepa.methods.vision_language.module import VisionLanguageModule
from vljepa.methods.vl_jepa import VLJepaMethod
from vljepa.models.types import Latents
from vljepa.models.y_decoder import YDecoder
from vljepa.processing.words import DecoderTokenizer
from vljepa.training.step import Step

PIECES = 4
"""Parts of a batch, by length of the target, that the token VLM takes one after the other: less padding."""
BATCH, LONGEST = 64, 64


class Learner(ABC):
    """What is compared; its images come from a feature cache."""

    model: nn.Module

    def __init__(self, reader: ImageReader, accelerator: Accelerator) -> None:
        self.reader, self.accelerator = reader, accelerator

    @abstractmethod
    def loss(self, batches: Sequence[Group], *, step: int) -> Tensor:
        """Loss of one step's samples, with a graph."""

    @abstractmethod
    def scores(self, images: Sequence[Path], texts: Sequence[str]) -> dict[str, Rows]:
        """How well each text fits each image, [N, C]: larger is better, comparable within an image.

        By the name of the scoring; the first is the learner's own and has the name "".
        """

    @abstractmethod
    def captions(self, images: Sequence[Path]) -> dict[str, list[str]]:
        """Captions of images, by the name of what writes them."""

    def seen(self, images: Sequence[Path]) -> Latents:
        """What the X-Encoder has made of the images."""
        latents = self.reader.read([(image, 0) for image in images]).latents
        assert latents is not None
        return latents


class EmbeddingLearner(Learner):
    """Ours: the Predictor on the slice, trained with the package's own step."""

    model: VLJEPA

    def __init__(
        self,
        model: VLJEPA,
        processor: VLJEPAProcessor,
        *,
        reader: ImageReader,
        run: RunConfig,
        accelerator: Accelerator,
    ) -> None:
        super().__init__(reader, accelerator)
        self.model, self.processor = model, processor
        self.decoders: Mapping[str, tuple[YDecoder, DecoderTokenizer]] = {}
        """What reads its embeddings, by name; there is none while it learns."""
        method = VLJepaMethod(run)
        method.model = model
        module = VisionLanguageModule(model, run.objective)
        wrapped = accelerator.prepare(module)
        self._step = Step(run, method=method, module=module, wrapped=wrapped, accelerator=accelerator)

    def loss(self, batches: Sequence[Group], *, step: int) -> Tensor:
        """See `Learner`."""
        return self._step.loss(batches, step=step)

    def embed(self, images: Sequence[Path]) -> Rows:
        """Predicted embeddings [N, D] under the caption prompt."""
        embedder = Embedder(self.model, self.processor)
        with self.accelerator.autocast():
            rows = [
                embedder.ask(self.seen(part), [(number, "") for number in range(len(part))])
                for part in chunks(images, BATCH)
            ]
        return np.concatenate(rows)

    def embed_texts(self, texts: Sequence[str]) -> Rows:
        """Embeddings [C, D] of texts."""
        return Embedder(self.model, self.processor).texts(texts)

    def scores(self, images: Sequence[Path], texts: Sequence[str]) -> dict[str, Rows]:
        """Cosine of prediction and text."""
        return {"": self.embed(images) @ self.embed_texts(texts).T}

    def captions(self, images: Sequence[Path]) -> dict[str, list[str]]:
        """See `Learner`."""
        parts = torch.split(torch.from_numpy(self.embed(images)), BATCH)
        return {
            name: [text for part in parts for text in words.decode(decoder.generate(part))]
            for name, (decoder, words) in self.decoders.items()
        }


class TokenLearner(Learner):
    """The opponent: a token VLM from the same slice, all of it trained with next-token loss."""

    model: TokenVLM

    def __init__(
        self, model: TokenVLM, tokenizer: DecoderTokenizer, *, reader: ImageReader, accelerator: Accelerator
    ) -> None:
        super().__init__(reader, accelerator)
        self.model, self.tokenizer = model, tokenizer
        self._wrapped = accelerator.prepare(model)
        self.marginal: Sequence[Path] = ()
        """Images over which a text's own likelihood is the mean, for the pointwise mutual information."""

    def loss(self, batches: Sequence[Group], *, step: int) -> Tensor:
        """Mean over all target tokens of the step, as if in one batch."""
        del step
        losses, counts = [], []
        for batch in batches:
            rows = batch.batch
            assert isinstance(rows, WordBatch)
            assert rows.latents is not None
            assert rows.words is not None
            for part in rows.words.mask_BL.sum(1).argsort().chunk(PIECES):
                words = rows.words.choose(part).cut()
                losses.append(self._wrapped(rows.latents.tokens_BND[part], words.ids_BL, words.mask_BL))
                counts.append(words.mask_BL[:, 1:].sum())
        shares = torch.stack(counts) / torch.stack(counts).sum()
        return (torch.stack(losses) * shares).sum()

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, from its begin to its end mark."""
        ids, mask = self.tokenizer.encode(texts, max_tokens=LONGEST)
        return [row[: int(kept.sum())].tolist() for row, kept in zip(ids, mask, strict=True)]

    def scores(self, images: Sequence[Path], texts: Sequence[str]) -> dict[str, Rows]:
        """Mean token log-likelihood of the text as the whole caption; and, as `pmi`, what the image adds to it.

        The pointwise mutual information is the text's log-likelihood given the image minus its own, which is the
        log of its mean likelihood over the `marginal` images.
        """
        rows = self.rows(texts)
        lengths_C = np.array([len(row) - 1 for row in rows], dtype=np.float32)
        with self.accelerator.autocast():
            sums_NC: Rows = self.model.log_likelihoods(self.seen(images).tokens_BND, rows).numpy()
            found: dict[str, Rows] = {"": (sums_NC / lengths_C).astype(np.float32)}
            if self.marginal:
                marginal_MC = self.model.log_likelihoods(self.seen(self.marginal).tokens_BND, rows).numpy()
                found["pmi"] = pmi(sums_NC, marginal_MC)
        return found

    def captions(self, images: Sequence[Path]) -> dict[str, list[str]]:
        """See `Learner`."""
        with self.accelerator.autocast():
            parts = torch.split(self.seen(images).tokens_BND, BATCH)
            written = [self.tokenizer.decode(self.model.generate(part, shift=False)) for part in parts]
        return {"tokens": [text for several in written for text in several]}


def pmi(sums_NC: Rows, marginal_MC: Rows) -> Rows:
    """Log-likelihoods of texts given images minus the texts' own, the log of the mean over the marginal images."""
    own_C = np.logaddexp.reduce(marginal_MC.astype(np.float64), axis=0) - np.log(len(marginal_MC))
    found: Rows = (sums_NC - own_C).astype(np.float32)
    return found


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
