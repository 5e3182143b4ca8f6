"""From records to the batch that the model takes, and the batches of a training run by step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vljepa.data.features import TextFeatures
from vljepa.data.pictures import PictureReader
from vljepa.data.records import Record
from vljepa.data.sampling import Draw, StepSampler, choose
from vljepa.data.text_only import LabelGuess
from vljepa.processing.text import normalise_text

if TYPE_CHECKING:
    from vljepa.processing.processor import VLJEPAProcessor


@dataclass(frozen=True, slots=True)
class Sample:
    """One visit to a record.

    Args:
        record: The row.
        target: The text to predict.
        view: Stored view of the picture.
        seen: For a row of text alone, the text that stands for the picture; else empty.
        seed: Of whatever else is random about this visit.
    """

    record: Record
    target: str
    view: int = 0
    seen: str = ""
    seed: int = 0


@dataclass
class Batch:
    """One step's samples.

    Args:
        tensors: What `VLJEPA.forward` takes, beside `pair_ids` and `text_ids` [B] for `objectives.positive_mask`.
        size: Samples, B.
        skipped: Reason per picture that could not be read; its samples are left out.
    """

    tensors: dict[str, Tensor]
    size: int
    skipped: dict[Path, str] = field(default_factory=dict)


class Collator:
    """Makes batches.

    Args:
        processor: Tokenizes queries and targets.
        pictures: Where pictures or their features come from.
        texts: Features of the targets, when the Y-Encoder is frozen; None tokenizes them.
        guess: Stands in for the pictures of rows of text alone; needed when there are such rows.
    """

    def __init__(
        self,
        processor: VLJEPAProcessor,
        *,
        pictures: PictureReader,
        texts: TextFeatures | None = None,
        guess: LabelGuess | None = None,
    ) -> None:
        self.processor = processor
        self.pictures = pictures
        self.texts = texts
        self.guess = guess
        self.caption_prompt = processor.config.prompts.caption

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Batch of samples; those whose picture cannot be read are left out.

        A record without a query gets the caption prompt of the model's config, so that training and use agree.
        """
        with_picture = [sample for sample in samples if sample.record.image is not None]
        alone = [sample for sample in samples if sample.record.image is None]
        read = self.pictures.read([(_picture(sample), sample.view) for sample in with_picture])
        kept = [with_picture[position] for position in read.kept] + alone
        tensors = dict(read.tensors)
        if alone:
            assert self.guess is not None
            guessed = self.guess([sample.seen for sample in alone], seeds=[sample.seed for sample in alone])
            tensors = {name: torch.cat([tensors[name], guessed[name]]) for name in guessed} if tensors else guessed
        if kept:
            tensors |= self._queries([sample.record.query or self.caption_prompt for sample in kept])
            tensors |= self._targets([sample.target for sample in kept])
            tensors["pair_ids"] = _identities([f"{one.record.source_id}\0{one.record.query}" for one in kept])
            tensors["text_ids"] = _identities([normalise_text(sample.target) for sample in kept])
        return Batch(tensors, size=len(kept), skipped=read.skipped)

    def _queries(self, queries: list[str]) -> dict[str, Tensor]:
        return self.processor.queries(queries) if any(queries) else {}

    def _targets(self, texts: list[str]) -> dict[str, Tensor]:
        return self.processor.targets(texts) if self.texts is None else {"target_features": self.texts.read(texts)}


class StepBatches(torch.utils.data.Dataset[Batch]):
    """The batches of a run by step: `batches[step]` is a pure function of (seed, step).

    Args:
        sources: Records of each source.
        sampler: Order of the samples.
        collator: Makes the batch.
        views: Stored views per picture, of which one is drawn per visit.
    """

    def __init__(
        self, sources: Sequence[Sequence[Record]], *, sampler: StepSampler, collator: Collator, views: int
    ) -> None:
        self.sources = sources
        self.sampler = sampler
        self.collator = collator
        self.views = views

    def __getitem__(self, step: int) -> Batch:
        return self.collator([self._sample(draw) for draw in self.sampler.batch(step)])

    def _sample(self, draw: Draw) -> Sample:
        seed, record = self.sampler.seed, self.sources[draw.source][draw.row]
        text = choose(len(record.texts), seed=seed, draw=draw, purpose="text")
        if record.image is not None:
            view = choose(self.views, seed=seed, draw=draw, purpose="view")
            return Sample(record, target=record.texts[text], view=view)
        others = record.texts[:text] + record.texts[text + 1 :]
        seen = others[choose(len(others), seed=seed, draw=draw, purpose="seen")]
        noise = choose(2**62, seed=seed, draw=draw, purpose="noise")
        return Sample(record, target=record.texts[text], seen=seen, seed=noise)


def _picture(sample: Sample) -> Path:
    assert sample.record.image is not None
    return sample.record.image


def _identities(texts: list[str]) -> Tensor:
    """Integer per text, equal exactly for equal texts, the same in every process (64 bits of a hash)."""
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in digests])


def to_device(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Copy of a batch's tensors on another device."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
