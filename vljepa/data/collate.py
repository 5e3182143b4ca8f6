"""From records to the batch that the model takes, and the batches of a training run by step."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vljepa.configs import ClipView, SourceConfig
from vljepa.data.images import ImageReader
from vljepa.data.records import Record, Visual
from vljepa.data.sampling import Draw, StepSampler, choose
from vljepa.data.streaming import ShardStream
from vljepa.data.text_features import TextFeatures
from vljepa.data.text_only import PriorEstimate
from vljepa.errors import ConfigError
from vljepa.models.types import Batch, Tokens
from vljepa.objectives import NO_ANSWER
from vljepa.processing.text import normalise_text

if TYPE_CHECKING:
    from vljepa.processing.processor import VLJEPAProcessor


@dataclass(frozen=True, slots=True)
class Sample:
    """One visit to a record.

    Args:
        record: The row.
        target: The text to predict; empty where the row has none, which not every method needs.
        view: View of the image or clip.
        seen: For a row of text alone, the text that stands for the image; else empty.
        seed: Of whatever else is random about this visit.
    """

    record: Record
    target: str
    view: int = 0
    seen: str = ""
    seed: int = 0


@dataclass
class Group:
    """One group's samples of one step, each other's negatives.

    Args:
        batch: What the model takes; nothing about targets where a sample has none.
        skipped: Reason per image that could not be read; its samples are left out.
    """

    batch: Batch
    skipped: dict[Visual, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Samples."""
        return self.batch.size


class Collator:
    """Makes batches.

    Args:
        processor: Tokenizes queries and targets.
        images: Where images or their features come from.
        texts: Features of the targets, when the Y-Encoder is frozen; None tokenizes them.
        estimates: By source, what stands in for the images of rows of text alone.
        answers: Numbers of the training answers, in normal form, for an objective that asks for them.
    """

    def __init__(
        self,
        processor: VLJEPAProcessor,
        *,
        images: ImageReader,
        texts: TextFeatures | None = None,
        estimates: Mapping[str, PriorEstimate] | None = None,
        answers: Mapping[str, int] | None = None,
    ) -> None:
        self.processor = processor
        self.images = images
        self.texts = texts
        self.estimates = estimates or {}
        self.answers = answers
        self.caption_prompt = processor.config.prompts.caption

    def __call__(self, samples: Sequence[Sample], *, gate_only: bool = False) -> Group:
        """Group of samples, all with images or all without; those whose image cannot be read are left out.

        A record without a query gets the caption prompt of the model's config, so that training and use agree.
        """
        if samples[0].record.image is None:
            return Group(Batch(prior_BE=self._estimate(samples), **self._targets(samples), gate_only=gate_only))
        read = self.images.read([(_image(sample), sample.view) for sample in samples])
        kept = [samples[position] for position in read.kept]
        if not kept:
            return Group(Batch(), skipped=read.skipped)
        batch = Batch(
            pixels_BTCHW=read.pixels_BTCHW,
            latents=read.latents,
            query=self._queries([sample.record.query or self.caption_prompt for sample in kept]),
            gate_only=gate_only,
            **self._targets(kept),
        )
        return Group(batch, skipped=read.skipped)

    def _estimate(self, samples: Sequence[Sample]) -> Tensor:
        pieces = []
        for source, run in groupby(samples, key=lambda sample: sample.record.source):
            rows = list(run)
            pieces.append(self.estimates[source]([row.seen for row in rows], seeds=[row.seed for row in rows]))
        return torch.cat(pieces)

    def _answer(self, sample: Sample, answers: Mapping[str, int]) -> int:
        return answers.get(normalise_text(sample.target), NO_ANSWER) if sample.record.query else NO_ANSWER

    def _queries(self, queries: list[str]) -> Tokens | None:
        return self.processor.queries(queries) if any(queries) else None

    def _targets(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Targets, and what tells which of them are right."""
        texts = [sample.target for sample in samples]
        targets: dict[str, Any] = {"pair_ids_B": _identities([_pair(one.record) for one in samples])}
        if not all(texts):
            return targets  # of a method without texts
        targets["text_ids_B"] = _identities([normalise_text(text) for text in texts])
        if self.texts is None:
            targets["target"] = self.processor.targets(texts)
        else:
            targets["target_features_BE"] = self.texts.read(texts)
        if self.answers is not None:
            targets["answer_ids_B"] = torch.tensor([self._answer(sample, self.answers) for sample in samples])
        return targets


class StepBatches(torch.utils.data.Dataset[list[Group]]):
    """The batches of a run by step, one per group: `batches[step]` is a pure function of (seed, step).

    Args:
        sources: Records of each source; a stream gives them by position.
        configs: Config of each source.
        sampler: Order of the samples.
        collator: Makes the batches.
        views: Stored views per image, for sources that do not say.
        clip_views: Views to draw from per clip of a video; None for as many as of an image.
        shard: Number of this process and of all; each gets its share of every group of the same global batch.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[Record] | ShardStream],
        *,
        configs: Sequence[SourceConfig],
        sampler: StepSampler,
        collator: Collator,
        views: int,
        clip_views: int | None = None,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        self.sources = sources
        self.configs = configs
        self.sampler = sampler
        self.collator = collator
        self.views = views
        self.clip_views = clip_views
        self.shard = shard
        for group, quota in self._quotas().items():
            if quota < shard[1]:
                raise ConfigError(
                    f"the group {group!r} has {quota} samples per step, fewer than the {shard[1]} processes.",
                    fix="raise train.batch_size or the weights of its sources, or start fewer processes.",
                )

    def __getitem__(self, step: int) -> list[Group]:
        groups: dict[str, list[Sample]] = {}
        gate_only: dict[str, bool] = {}
        for draw in self.sampler.batch(step):
            config = self.configs[draw.source]
            groups.setdefault(config.group, []).append(self._sample(draw))
            gate_only[config.group] = config.gate_only
        return [self.collator(self._share(samples), gate_only=gate_only[group]) for group, samples in groups.items()]

    def order(self) -> dict[str, Any]:
        """What the samples of a step depend on, as plain data: a resumed run must have it equal."""
        return {
            "seed": self.sampler.seed,
            "rows": list(self.sampler.sizes),
            "samples per step": list(self.sampler.quotas),
            "views": [self._views(config) for config in self.configs],
            "groups": [config.group for config in self.configs],
            "first_text": [config.first_text for config in self.configs],
        }

    def quota_of(self, source: SourceConfig) -> int:
        """Samples of a source in each step."""
        return self.sampler.quotas[list(self.configs).index(source)]

    def _share(self, samples: list[Sample]) -> list[Sample]:
        number, count = self.shard
        return samples[len(samples) * number // count : len(samples) * (number + 1) // count]

    def _quotas(self) -> dict[str, int]:
        """Samples per step of each group."""
        quotas: dict[str, int] = {}
        for config, quota in zip(self.configs, self.sampler.quotas, strict=True):
            quotas[config.group] = quotas.get(config.group, 0) + quota
        return quotas

    def _views(self, config: SourceConfig) -> int:
        if isinstance(config.view, ClipView) and self.clip_views is not None:
            return self.clip_views
        return config.views or self.views

    def _sample(self, draw: Draw) -> Sample:
        seed, record, config = self.sampler.seed, self.sources[draw.source][draw.row], self.configs[draw.source]
        if not record.texts:
            return Sample(record, "", view=choose(self._views(config), seed=seed, draw=draw, purpose="view"))
        text = choose(len(record.texts), seed=seed, draw=draw, purpose="text")
        if choose(2**32, seed=seed, draw=draw, purpose="first text") < config.first_text * 2**32:
            text = 0
        if record.image is not None:
            view = choose(self._views(config), seed=seed, draw=draw, purpose="view")
            return Sample(record, target=record.texts[text], view=view)
        others = record.texts[:text] + record.texts[text + 1 :]
        seen = others[choose(len(others), seed=seed, draw=draw, purpose="seen")]
        noise = choose(2**62, seed=seed, draw=draw, purpose="noise")
        return Sample(record, target=record.texts[text], seen=seen, seed=noise)


def _image(sample: Sample) -> Visual:
    assert sample.record.image is not None
    return sample.record.image


def _pair(record: Record) -> str:
    """What is asked about which image; a bare number is another image in every source."""
    source = record.source if record.numbered else ""
    return "\0".join((source, record.source_id, record.query))


def _identities(texts: list[str]) -> Tensor:
    """Integer per text, equal exactly for equal texts, the same in every process (64 bits of a hash)."""
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in digests])
