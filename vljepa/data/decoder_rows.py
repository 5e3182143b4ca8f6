"""What a Y-Decoder is trained on: pairs of an embedding to read and the text to write, batches by step.

Every encoder is frozen, so all embeddings are computed once; a batch draws from them as a pure function of
(seed, step). Shapes: N rows, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vljepa.data.sampling import Draw, StepSampler, choose
from vljepa.processing.words import DecoderTokenizer


class Rows(Protocol):
    """One source."""

    texts: Sequence[tuple[str, ...]]
    """Right texts of each row."""

    def embedding(self, row: int, text: int, *, pick: Callable[[int, str], int]) -> Tensor:
        """Embedding [D] from which text number `text` of a row is to be read; `pick(count, purpose)` draws."""
        ...


@dataclass
class TextRows:
    """The text's own embedding, with noise, so that predicted embeddings can be read too.

    Args:
        texts: Right texts of each row.
        embed: Embeddings [N, D] of texts.
        noise: Each visit draws its standard deviation per dimension between 0 and this.
    """

    texts: Sequence[tuple[str, ...]]
    embed: Callable[[Sequence[str]], Tensor]
    noise: float

    def embedding(self, row: int, text: int, *, pick: Callable[[int, str], int]) -> Tensor:
        """See `Rows`."""
        exact_D = self.embed([self.texts[row][text]])[0]
        level = self.noise * pick(2**32, "level") / 2**32
        noise_D = torch.randn(len(exact_D), generator=torch.Generator().manual_seed(pick(2**62, "noise")))
        return F.normalize(exact_D + level * noise_D, dim=-1)


@dataclass
class GuessRows:
    """What the model would predict for a picture that another text of the row describes.

    Args:
        texts: Right texts of each row, at least two.
        guess: Predicted embeddings [N, D] from texts that stand for pictures, and the seeds of their noise.
    """

    texts: Sequence[tuple[str, ...]]
    guess: Callable[[Sequence[str], Sequence[int]], Tensor]

    def embedding(self, row: int, text: int, *, pick: Callable[[int, str], int]) -> Tensor:
        """See `Rows`."""
        texts = self.texts[row]
        others = texts[:text] + texts[text + 1 :]
        return self.guess([others[pick(len(others), "seen")]], [pick(2**62, "noise")])[0]


@dataclass
class PictureRows:
    """What the model predicts for the row's picture and query.

    Args:
        texts: Right texts of each row.
        predictions: Per row, its stored views' predicted embeddings [V, D].
    """

    texts: Sequence[tuple[str, ...]]
    predictions: Sequence[Tensor]

    def embedding(self, row: int, text: int, *, pick: Callable[[int, str], int]) -> Tensor:
        """See `Rows`."""
        del text
        views = self.predictions[row]
        return views[pick(len(views), "view")]


class DecoderBatches(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Batches by step: `embeddings` [B, D], `ids` and `mask` [B, L].

    Args:
        sources: The sources.
        sampler: Order of the rows.
        tokenizer: Of the decoder.
        max_tokens: Longer texts are cut.
    """

    def __init__(
        self, sources: Sequence[Rows], *, sampler: StepSampler, tokenizer: DecoderTokenizer, max_tokens: int
    ) -> None:
        self.sources = sources
        self.sampler = sampler
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        drawn = [self._draw(draw) for draw in self.sampler.batch(step)]
        ids, mask = self.tokenizer.encode([text for _, text in drawn], max_tokens=self.max_tokens)
        return {"embeddings": torch.stack([embedding for embedding, _ in drawn]), "ids": ids, "mask": mask}

    def order(self) -> dict[str, object]:
        """What the rows of a step depend on, as plain data: a resumed run must have it equal."""
        return {
            "seed": self.sampler.seed,
            "rows": list(self.sampler.sizes),
            "samples per step": list(self.sampler.quotas),
        }

    def _draw(self, draw: Draw) -> tuple[Tensor, str]:
        rows = self.sources[draw.source]

        def pick(count: int, purpose: str) -> int:
            return choose(count, seed=self.sampler.seed, draw=draw, purpose=purpose)

        text = pick(len(rows.texts[draw.row]), "text")
        return rows.embedding(draw.row, text, pick=pick), rows.texts[draw.row][text]
