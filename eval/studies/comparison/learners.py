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

from eval.studies.comparison.data import WordBatch
from eval.studies.comparison.vlm import TokenVLM
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import RunConfig
from vljepa.data.collate import Group
from vljepa.data.pictures import PictureReader
from vljepa.errors import ConfigError
from vljepa.inference.embed import Embedder
from vljepa.methods.vision_language.module import VisionLanguageModule
from vljepa.methods.vl_jepa import VLJepaMethod
from vljepa.models.y_decoder import YDecoder
from vljepa.processing.words import DecoderTokenizer
from vljepa.training.step import Step

Scores = NDArray[np.float32]
PIECES = 4
"""Parts of a batch, by length of the target, that the token VLM takes one after the other: less padding."""
BATCH = 64


class Learner(Protocol):
    """What is compared."""

    accelerator: Accelerator

    @property
    def model(self) -> nn.Module:
        """What is trained."""
        ...

    def loss(self, batches: Sequence[Group], *, step: int) -> Tensor:
        """Loss of one step's samples, with a graph."""
        ...

    def scores(self, pictures: Sequence[Path], texts: Sequence[str]) -> dict[str, Scores]:
        """How well each text fits each picture, [N, C]: larger is better, comparable within a picture.

        By the name of the scoring; the first is the learner's own and has the name "".
        """
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
        self.processor, self.reader = processor, reader
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

    def embed(self, pictures: Sequence[Path]) -> Scores:
        """Predicted embeddings [N, D] under the caption prompt."""
        embedder, rows = Embedder(self.model, self.processor), []
        with self.accelerator.autocast():
            for start in range(0, len(pictures), BATCH):
                part = pictures[start : start + BATCH]
                vision = self.reader.read([(picture, 0) for picture in part]).latents
                assert vision is not None
                rows.append(embedder.ask(vision, [(number, "") for number in range(len(part))]))
        return np.concatenate(rows)

    def embed_texts(self, texts: Sequence[str]) -> Scores:
        """Embeddings [C, D] of texts."""
        return Embedder(self.model, self.processor).texts(texts)

    def scores(self, pictures: Sequence[Path], texts: Sequence[str]) -> dict[str, Scores]:
        """Cosine of prediction and text."""
        return {"": self.embed(pictures) @ self.embed_texts(texts).T}

    def captions(self, pictures: Sequence[Path]) -> dict[str, list[str]]:
        """See `Learner`."""
        rows, written = torch.from_numpy(self.embed(pictures)), {}
        for name, (decoder, words) in self.decoders.items():
            written[name] = [text for part in rows.split(BATCH) for text in words.decode(decoder.generate(part))]
        return written


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
        self.marginal: Sequence[Path] = ()
        """Pictures over which a text's own likelihood is the mean, for the pointwise mutual information."""

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

    def scores(self, pictures: Sequence[Path], texts: Sequence[str]) -> dict[str, Scores]:
        """Mean token log-likelihood of the text as the whole caption; and, as `pmi`, what the picture adds to it.

        The pointwise mutual information is the text's log-likelihood given the picture minus its own, which is the
        log of its mean likelihood over the `marginal` pictures.
        """
        ids, mask = self.tokenizer.encode(texts, max_tokens=_LONGEST)
        rows = [row[: int(kept.sum())].tolist() for row, kept in zip(ids, mask, strict=True)]
        lengths_C = np.array([len(row) - 1 for row in rows], dtype=np.float32)
        with self.accelerator.autocast():
            sums_NC = self.model.log_likelihoods(self._seen(pictures), rows).numpy()
            found = {"": sums_NC / lengths_C}
            if self.marginal:
                found["pmi"] = pmi(sums_NC, self.model.log_likelihoods(self._seen(self.marginal), rows).numpy())
        return found

    def captions(self, pictures: Sequence[Path]) -> dict[str, list[str]]:
        """See `Learner`."""
        written = []
        with self.accelerator.autocast():
            for part in self._seen(pictures).split(BATCH):
                written += self.tokenizer.decode(self.model.generate(part, shift=False))
        return {"tokens": written}

    def _seen(self, pictures: Sequence[Path]) -> Tensor:
        seen = self.reader.read([(picture, 0) for picture in pictures]).latents
        assert seen is not None
        return seen.tokens_BND


def pmi(sums_NC: Scores, marginal_MC: Scores) -> Scores:
    """Log-likelihoods of texts given pictures minus the texts' own, the log of the mean over the marginal pictures."""
    own_C = np.logaddexp.reduce(marginal_MC.astype(np.float64), axis=0) - np.log(len(marginal_MC))
    found: Scores = (sums_NC - own_C).astype(np.float32)
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


_LONGEST = 64
