"""From a decoder recipe's data section to batches by step, held-out texts and validation images' predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import (
    DecoderRunConfig,
    DecoderSourceConfig,
    TextView,
)
from vljepa.data.decoder_rows import DecoderBatches, EstimateRows, ImageRows, Rows, TextRows
from vljepa.data.features import FeatureCache
from vljepa.data.processes import process_count, process_number
from vljepa.data.records import Record, Visual
from vljepa.data.sampling import StepSampler
from vljepa.data.skips import check_skipped
from vljepa.data.sources import load_source
from vljepa.data.text_features import TextFeatures
from vljepa.data.text_only import PriorEstimate
from vljepa.errors import ConfigError
from vljepa.models.jepa import JEPA
from vljepa.models.residuals import LabelPrior
from vljepa.models.types import Entities
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.processing.words import DecoderTokenizer, train_lexicon, train_vocabulary
from vljepa.training.decoder_config import default_noise
from vljepa.training.decoder_texts import Sources, read_texts
from vljepa.training.entities import Naming, names_of
from vljepa.training.gap import Gap, measure_gap
from vljepa.validation.encoder import Encoder


@dataclass
class ImageTask:
    """Validation images with captions.

    Args:
        name: Of the source.
        predictions_ND: What the model predicts for them.
        texts: Right texts of each.
        entities: Names of what the encoder sees in them, for a decoder that reads them.
        classes_NK: What the X-Encoder's own classifier says of them, probabilities; None without one.
        queries: The question about each; empty for captions.
    """

    name: str
    predictions_ND: Tensor
    texts: list[tuple[str, ...]]
    entities: Entities | None = None
    classes_NK: NDArray[np.float32] | None = None
    queries: list[str] = field(default_factory=list)


@dataclass
class DecoderInputs:
    """What a run reads.

    Args:
        batches: Training batches by step.
        held_out: Texts that are not trained on.
        tasks: Validation images.
        encoder: Embeds texts.
        tokenizer: Of the decoder.
        vocabulary: Serialised vocabulary of a decoder from scratch.
        lexicon: Words of the training texts, of a decoder that reads entities.
        naming: Of a decoder that reads entities.
        phrases: Short texts that are captions by themselves.
        memory: Texts onto which predictions are projected.
        gap: How predictions of the validation images lie to their texts; None without such images.
        dropped: Training rows that `data.exclude` took out, by source.
        skipped: Reason per unreadable image.
    """

    batches: DecoderBatches
    held_out: list[str]
    tasks: list[ImageTask]
    encoder: Encoder
    tokenizer: DecoderTokenizer
    vocabulary: bytes | None
    lexicon: tuple[str, ...]
    naming: Naming | None
    phrases: list[str]
    memory: list[str]
    gap: Gap | None
    dropped: dict[str, int]
    skipped: dict[Visual, str] = field(default_factory=dict)

    def between_batches(self, call: Callable[[], None]) -> None:
        """As of `vljepa.methods.Inputs`."""
        self.encoder.pause = call


def prepare_decoder(
    run: DecoderRunConfig, *, model: VLJEPA, processor: VLJEPAProcessor, vocabulary: bytes | None
) -> DecoderInputs:
    """Read all sources, fill the caches, and learn the vocabulary of a decoder from scratch.

    Args:
        run: The recipe.
        model: The frozen model whose text space the decoder reads.
        processor: Of the model.
        vocabulary: Of the run that is gone on with; None learns it from the training texts.

    Raises:
        DataError: A source is not usable, or too many images are unreadable.
        ConfigError: A source asks for what the model cannot do.
    """
    data = run.data
    train, held_texts, dropped = read_texts(data)
    validation = [load_source(source, root=data.root, max_skipped=data.max_skipped) for source in data.validation]
    reader, skipped = _images(run, model, processor, train + validation)
    train = [[record for record in source if record.image not in skipped] for source in train]
    validation = [[record for record in source if record.image not in skipped] for source in validation]

    texts = TextFeatures(data.cache.folder, config=model.config.y_encoder)
    needed = [text for source in train + validation for record in source for text in record.texts]
    names = [] if run.decoder.entities is None else names_of(run.decoder.entities)
    texts.fill([*needed, *held_texts, *names, *model.config.prompts.named(names)], model=model, processor=processor)
    encoder = Encoder(model, processor, images=reader, texts=texts)
    naming = None if run.decoder.entities is None else Naming(run.decoder.entities, encoder=encoder, reader=reader)
    tasks = [
        _task(source.name, records, encoder, naming)
        for source, records in zip(data.validation, validation, strict=True)
    ]
    gap = measure_gap(
        [(task.predictions_ND, task.texts) for task in tasks], embed=lambda some: torch.from_numpy(encoder.texts(some))
    )
    seen = [text for source in train for record in source for text in record.texts]
    slots = 0 if run.decoder.entities is None else run.decoder.entities.count
    if run.decoder.part.source == "random" and vocabulary is None:
        vocabulary = train_vocabulary(list(dict.fromkeys([*seen, *names])), size=run.vocabulary, slots=slots)
    images = {
        source.name: list(dict.fromkeys(record.image for record in records if record.image is not None))
        for source, records in zip(data.train, train, strict=True)
    }
    tokenizer = DecoderTokenizer.of(run.decoder, vocabulary=vocabulary)
    batches = DecoderBatches(
        [
            _rows(
                source,
                records,
                run=run,
                images=images,
                encoder=encoder,
                reader=reader,
                texts=texts,
                gap=gap,
                naming=naming,
            )
            for source, records in zip(data.train, train, strict=True)
        ],
        sampler=StepSampler(
            [len(source) for source in train],
            weights=[source.weight for source in data.train],
            names=[source.name for source in data.train],
            batch_size=run.train.batch_size,
            seed=run.train.seed,
        ),
        tokenizer=tokenizer,
        max_tokens=run.decoder.generation.max_new_tokens,
        shard=(process_number(), process_count()),
    )
    # Of data of one's own few texts are there, and a word of one of them is meant.
    least = 2 if run.start is None else 1
    lexicon = () if naming is None else train_lexicon(_counted(train), naming.words, least=least)
    firsts = [rows for source, rows in zip(data.train, train, strict=True) if source.name in data.phrases]
    phrases = list(dict.fromkeys(row.texts[0] for rows in firsts for row in rows))
    return DecoderInputs(
        batches=batches,
        held_out=held_texts,
        tasks=tasks,
        encoder=encoder,
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        lexicon=lexicon,
        naming=naming,
        phrases=phrases,
        memory=[] if run.decoder.memory is None else sampled(seen, run.decoder.memory.size, seed=run.train.seed),
        gap=gap,
        dropped=dropped,
        skipped=skipped,
    )


def _counted(train: Sources) -> list[str]:
    """Texts whose words make the lexicon: each caption once, answers as often as they are right."""
    rows = ((record, text) for source in train for record in source for text in record.texts)
    return [
        text for _, text in dict.fromkeys((record.source_id if record.query else "", text) for record, text in rows)
    ]


def sampled(texts: Sequence[str], size: int, *, seed: int) -> list[str]:
    """So many different texts at most, drawn from all."""
    different = list(dict.fromkeys(texts))
    if len(different) <= size:
        return different
    return [different[one] for one in sorted(np.random.default_rng(seed).permutation(len(different))[:size])]


def _images(
    run: DecoderRunConfig, model: VLJEPA, processor: VLJEPAProcessor, sources: Sources
) -> tuple[FeatureCache, dict[Visual, str]]:
    """Cache with every image of some sources, the training ones in all views."""
    data = run.data
    wanted: dict[Visual, int] = {}
    views = {source.name: source.views or data.cache.views for source in data.train}
    for source in sources:
        for record in source:
            if record.image is not None:
                wanted[record.image] = max(wanted.get(record.image, 1), views.get(record.source, 1))
    reader = FeatureCache(data.cache, fingerprint=model.x_encoder_fingerprint())
    skipped = reader.fill(wanted, model=model, processor=processor, max_skipped=data.max_skipped)
    check_skipped(skipped, total=max(1, len(wanted)), tolerated=data.max_skipped)
    return reader, skipped


def _task(name: str, records: list[Record], encoder: Encoder, naming: Naming | None) -> ImageTask:
    prompt = encoder.model.config.prompts.caption
    pairs = [(record.image, record.query or prompt) for record in records if record.image is not None]
    texts = [record.texts for record in records]
    rows_ND, classes_NK = encoder.seen(pairs)
    predictions_ND = torch.from_numpy(rows_ND)
    entities = None if naming is None else naming.of_images([image for image, _ in pairs], predictions_ND)
    return ImageTask(name, predictions_ND, texts, entities, classes_NK, [record.query for record in records])


def _rows(
    source: DecoderSourceConfig,
    records: list[Record],
    *,
    run: DecoderRunConfig,
    images: Mapping[str, list[Visual]],
    encoder: Encoder,
    reader: FeatureCache,
    texts: TextFeatures,
    gap: Gap | None,
    naming: Naming | None,
) -> Rows:
    everything = [record.texts for record in records]
    name = None if naming is None else naming.estimate
    if source.see == "picture":
        views = source.views or run.data.cache.views
        visuals = [record.image for record in records if record.image is not None]
        predictions = _views(records, views, encoder, name=source.name)
        named = None if naming is None else naming.of_images(visuals, torch.stack([one[0] for one in predictions]))
        return ImageRows(everything, predictions, named)
    if source.see == "estimate":
        estimate = _estimate(source, records, images, model=encoder.model, reader=reader, texts=texts)
        return EstimateRows(everything, estimate, name)
    noise = run.data.noise
    if noise == "gap":
        noise = default_noise(encoder.model.config.embed_dim) if gap is None else gap.noise
    return TextRows(everything, lambda some: torch.from_numpy(encoder.texts(some)), noise, name)


def _views(records: list[Record], views: int, encoder: Encoder, *, name: str) -> list[Tensor]:
    """Per record, the predictions [V, D] of its image's stored views."""
    prompt = encoder.model.config.prompts.caption
    pairs = [(record.image, record.query or prompt) for record in records if record.image is not None]
    by_view = [encoder.predictions(pairs, view=view, progress=f"predicting {name}") for view in range(views)]
    return list(torch.from_numpy(np.stack(by_view, axis=1)))


def _estimate(
    source: DecoderSourceConfig,
    records: list[Record],
    images: Mapping[str, list[Visual]],
    *,
    model: JEPA,
    reader: FeatureCache,
    texts: TextFeatures,
) -> Callable[[Sequence[str], Sequence[int]], Tensor]:
    """Predicted embeddings of texts that stand for images."""
    view, prior = source.view, model.residual
    if not isinstance(view, TextView) or not isinstance(prior, LabelPrior):
        raise ConfigError(
            f"the source {source.name!r} estimates what images would give, which needs a view of text and a model "
            "with a label prior.",
            fix="set see: text, or give `view: {name: text, like: NAME}`.",
        )
    like = images.get(view.like, [])
    if not like:
        raise ConfigError(
            f"view.like = {view.like!r} of the source {source.name!r} names no training source with images.",
            fix="name one with see: picture.",
        )
    logits_BK = reader.logits(like)
    sample = [text for record in records for text in record.texts]
    estimates = PriorEstimate(view, texts=texts, prior=prior, real_BE=prior.of_logits(logits_BK), sample=sample)

    @torch.no_grad()
    def estimate(seen: Sequence[str], seeds: Sequence[int]) -> Tensor:
        return model.predict_from_prior(estimates(seen, seeds=seeds)).float().cpu()

    return estimate
