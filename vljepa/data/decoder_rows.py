"""What a Y-Decoder is trained on: pairs of an embedding to read and the text to write, batches by step.

Every encoder is frozen, so all embeddings are computed once; a batch draws from them as a pure function of
(seed, step). Shapes: N rows, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vljepa.data.sampling import Draw, StepSampler, choose
from vljepa.errors import ConfigError
from vljepa.models.types import Entities
from vljepa.processing.words import DecoderTokenizer

UNTOLD = 12
"""Per cent of the visits that are told no entities, so that a text can be read from its embedding alone."""


class Name(Protocol):
    """Draws the entities of texts, a pure function of text and seed."""

    def __call__(self, texts: Sequence[str], *, seeds: Sequence[int], rows_BD: Tensor | None = None) -> Entities:
        """Entities [B, N]; `rows_BD` are the texts' embeddings, where they are known."""
        ...


class Visit(NamedTuple):
    """One visit to a row: its number, which of its texts is to be written, and what else is drawn for it."""

    row: int
    text: int
    pick: Callable[[int, str], int]
    """`pick(count, purpose)` draws one of `count`, a pure function of the run's seed and the visit."""


class Rows(Protocol):
    """One source."""

    texts: Sequence[tuple[str, ...]]
    """Right texts of each row."""

    def read(self, visits: Sequence[Visit]) -> tuple[Tensor, Entities | None]:
        """Embeddings [B, D] from which the visits' texts are to be read, and names told beside them, if any are."""
        ...


@dataclass
class TextRows:
    """The text's own embedding, with noise, so that predicted embeddings can be read too.

    Args:
        texts: Right texts of each row.
        embed: Embeddings [N, D] of texts.
        noise: Each visit draws its standard deviation per dimension between 0 and this.
        name: Draws the entities of texts; None for a decoder that reads none.
    """

    texts: Sequence[tuple[str, ...]]
    embed: Callable[[Sequence[str]], Tensor]
    noise: float
    name: Name | None = None

    def read(self, visits: Sequence[Visit]) -> tuple[Tensor, Entities | None]:
        """See `Rows`."""
        texts = [self.texts[visit.row][visit.text] for visit in visits]
        exact_BD = self.embed(texts)
        noise_BD = torch.stack([self._noise(visit, exact_BD.shape[1]) for visit in visits])
        return F.normalize(exact_BD + noise_BD, dim=-1), _named(self.name, texts, visits, rows_BD=exact_BD)

    def _noise(self, visit: Visit, width: int) -> Tensor:
        level = self.noise * visit.pick(2**32, "level") / 2**32
        return level * torch.randn(width, generator=torch.Generator().manual_seed(visit.pick(2**62, "noise")))


@dataclass
class EstimateRows:
    """What the model would predict for an image that another text of the row describes.

    Args:
        texts: Right texts of each row; one that stands alone describes its own image.
        estimate: Predicted embeddings [N, D] from texts that stand for images, and the seeds of their noise.
        name: As of `TextRows`.
    """

    texts: Sequence[tuple[str, ...]]
    estimate: Callable[[Sequence[str], Sequence[int]], Tensor]
    name: Name | None = None

    def read(self, visits: Sequence[Visit]) -> tuple[Tensor, Entities | None]:
        """See `Rows`."""
        seen = [self._seen(visit) for visit in visits]
        return self.estimate(seen, [visit.pick(2**62, "noise") for visit in visits]), _named(self.name, seen, visits)

    def _seen(self, visit: Visit) -> str:
        texts = self.texts[visit.row]
        others = texts[: visit.text] + texts[visit.text + 1 :] or texts
        return others[visit.pick(len(others), "seen")]


@dataclass
class ImageRows:
    """What the model predicts for the row's image and query.

    Args:
        texts: Right texts of each row.
        predictions: Per row, its stored views' predicted embeddings [V, D].
        named: Entities of every row's image; None for none.
    """

    texts: Sequence[tuple[str, ...]]
    predictions: Sequence[Tensor]
    named: Entities | None = None

    def read(self, visits: Sequence[Visit]) -> tuple[Tensor, Entities | None]:
        """See `Rows`."""
        views = [self.predictions[visit.row] for visit in visits]
        named = None if self.named is None else self.named.choose([visit.row for visit in visits])
        drawn = [some[visit.pick(len(some), "view")] for some, visit in zip(views, visits, strict=True)]
        return torch.stack(drawn), named


def _named(
    name: Name | None, seen: Sequence[str], visits: Sequence[Visit], *, rows_BD: Tensor | None = None
) -> Entities | None:
    if name is None:
        return None
    return name(seen, seeds=[visit.pick(2**62, "entities") for visit in visits], rows_BD=rows_BD)


class DecoderBatches(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Batches by step: `embeddings` [B, D], `ids` and `mask` [B, L]; `numbers` and `strengths` [B, N] of entities.

    Args:
        sources: The sources.
        sampler: Order of the rows.
        tokenizer: Of the decoder.
        max_tokens: Longer texts are cut.
        shard: Number of this process and of all: each gets its share of every batch.

    Raises:
        ConfigError: A batch is smaller than the number of processes.
    """

    def __init__(
        self,
        sources: Sequence[Rows],
        *,
        sampler: StepSampler,
        tokenizer: DecoderTokenizer,
        max_tokens: int,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        self.sources = sources
        self.sampler = sampler
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.shard = shard
        if sum(sampler.quotas) < shard[1]:
            raise ConfigError(
                f"train.batch_size = {sum(sampler.quotas)} is smaller than the number of processes, {shard[1]}.",
                fix="raise it, or start fewer processes.",
            )

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        embeddings: list[Tensor] = []
        named: list[Entities] = []
        texts: list[str] = []
        number, count = self.shard
        drawn = self.sampler.batch(step)
        share = drawn[len(drawn) * number // count : len(drawn) * (number + 1) // count]
        for source, draws in groupby(share, key=lambda draw: draw.source):
            rows, visits = self.sources[source], [self._visit(draw) for draw in draws]
            read, told = rows.read(visits)
            embeddings.append(read)
            if told is not None:
                kept_B1 = torch.tensor([[visit.pick(100, "untold") >= UNTOLD] for visit in visits])
                named.append(replace(told, strengths_BN=told.strengths_BN * kept_B1))
            texts += [rows.texts[visit.row][visit.text] for visit in visits]
        if not named:
            ids, mask = self.tokenizer.encode(texts, max_tokens=self.max_tokens)
            return {"embeddings": torch.cat(embeddings), "ids": ids, "mask": mask}
        entities = Entities(
            torch.cat([one.numbers_BN for one in named]), torch.cat([one.strengths_BN for one in named])
        )
        ids, mask = self.tokenizer.encode(texts, max_tokens=self.max_tokens, entities=entities)
        told = {"numbers": entities.numbers_BN, "strengths": entities.strengths_BN}
        return {"embeddings": torch.cat(embeddings), "ids": ids, "mask": mask, **told}

    def order(self) -> dict[str, object]:
        """What the rows of a step depend on, as plain data: a resumed run must have it equal."""
        return {
            "seed": self.sampler.seed,
            "rows": list(self.sampler.sizes),
            "samples per step": list(self.sampler.quotas),
        }

    def _visit(self, draw: Draw) -> Visit:
        def pick(count: int, purpose: str) -> int:
            return choose(count, seed=self.sampler.seed, draw=draw, purpose=purpose)

        return Visit(draw.row, pick(len(self.sources[draw.source].texts[draw.row]), "text"), pick)
