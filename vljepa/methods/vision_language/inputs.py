"""From a recipe's data section to batches by step, validation tasks, and the caches behind both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import PromptsConfig, RunConfig, SourceConfig, TextView
from vljepa.data.collate import Collator, StepBatches
from vljepa.data.contents import known_by_content, repeated_contents
from vljepa.data.features import FeatureCache
from vljepa.data.images import ImageReader, LiveImages
from vljepa.data.records import Record, Visual
from vljepa.data.replay import load_replay
from vljepa.data.sampling import StepSampler
from vljepa.data.shards import is_shards
from vljepa.data.skips import check_skipped
from vljepa.data.sources import load_source
from vljepa.data.streaming import ShardStream
from vljepa.data.text_features import TextFeatures
from vljepa.data.text_only import PriorEstimate
from vljepa.errors import ConfigError
from vljepa.methods.protocol import Inputs
from vljepa.methods.vision_language.answers import count_answers
from vljepa.methods.vision_language.checks import check_run
from vljepa.models.residuals import LabelPrior
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.validation.encoder import Encoder
from vljepa.validation.naming import names_asked
from vljepa.validation.tasks import RetrievalTask, Task, VqaTask

Sources = list[list[Record]]
TrainSources = list[list[Record] | ShardStream]
_BATCHES_AHEAD = 2
"""Steps that each loader process prepares in advance, torch's default."""
_CLIP_SEEDS = 2**31
"""Without a cache every visit to a clip reads other frames of it."""


@dataclass(kw_only=True)
class VisionLanguageInputs(Inputs):
    """What a run reads.

    Args:
        tasks: Validation tasks.
        encoder: Reads images and texts for them.
        images: Number of training and validation images that were looked for, those of streams not counted.
        overlap: Validation images that are also training images; those of streams are not known.
        answers: Rows per answer of the training questions, those of streams not counted.
        train: Training rows, those of streams left out.
    """

    batches: StepBatches
    tasks: list[Task]
    encoder: Encoder
    images: int
    overlap: int
    answers: dict[str, int]
    train: Sources

    def tried(self, step: int) -> int:
        """Images up to a step, it included: those that were looked for, and those that came in shards."""
        quotas = ((stream, self.batches.quota_of(stream.source)) for stream in self.streams)
        return self.images + sum(stream.rows((step + 1) * quota) for stream, quota in quotas)

    def between_batches(self, call: Callable[[], None]) -> None:
        """See `Inputs`."""
        self.encoder.pause = call

    def close(self) -> None:
        """See `Inputs`: the last shards may go."""
        for stream in self.streams:
            stream.close()

    @property
    def streams(self) -> list[ShardStream]:
        """Training sources that are read shard by shard."""
        return [source for source in self.batches.sources if isinstance(source, ShardStream)]


def prepare(
    run: RunConfig, *, model: VLJEPA, processor: VLJEPAProcessor, shard: tuple[int, int] = (0, 1)
) -> VisionLanguageInputs:
    """Read all sources and fill the caches.

    Args:
        run: The recipe.
        model: The model, whose frozen encoders fill the caches.
        processor: Of the model.
        shard: Number of this process and of all.

    Raises:
        DataError: A source is not usable, or too many images are unreadable.
        ConfigError: A source gets no sample, or the recipe asks for what the model cannot do.
    """
    data = run.data
    check_run(run, model.config)
    sources = _open_training(run)
    train = [[] if isinstance(source, ShardStream) else source for source in sources]
    validation = [load_source(source, root=data.root, max_skipped=data.max_skipped) for source in data.validation]
    replayed = [load_replay(data.replay, root=data.root, max_skipped=data.max_skipped)] if data.replay else []
    views = data.cache.views if data.cache is not None else 1
    wanted = dict.fromkeys(_images(validation), 1)
    for config, records in zip(data.seen, [*train, *replayed], strict=True):
        for path in _images([records]):
            wanted[path] = max(wanted.get(path, 1), config.views or views)
    reader, skipped = _reader(run, wanted, _images(validation), model=model, processor=processor)
    repeated = repeated_contents(reader.contents) if isinstance(reader, FeatureCache) else {}
    train, validation, replayed = (_readable(one, skipped, repeated) for one in (train, validation, replayed))
    tasks = _tasks(data.validation, validation, caption_prompt=model.config.prompts.caption)
    texts: TextFeatures | None = None
    if data.cache is not None and model.config.y_encoder.target == "frozen":
        texts = TextFeatures(data.cache.folder, config=model.config.y_encoder)
        texts.fill(_texts(train, tasks, model.config.prompts), model=model, processor=processor)
    sources = [was if isinstance(was, ShardStream) else now for was, now in zip(sources, train, strict=True)]
    sources += replayed
    sampler = step_sampler(run, [None if isinstance(source, ShardStream) else len(source) for source in sources])
    estimates = _estimates(run, model, reader, texts, train)
    answers = count_answers(train)
    numbers = _answer_numbers(answers) if run.objective.answers > 0 else None
    collator = Collator(processor, images=reader, texts=texts, estimates=estimates, answers=numbers)
    return VisionLanguageInputs(
        batches=StepBatches(
            sources,
            configs=data.seen,
            sampler=sampler,
            collator=collator,
            views=views,
            clip_views=_CLIP_SEEDS if data.cache is None else None,
            shard=shard,
        ),
        tasks=tasks,
        encoder=Encoder(model, processor, images=reader, texts=texts),
        images=len(wanted),
        skipped=skipped,
        workers=data.workers if data.cache is None else 0,
        overlap=_overlap(train, validation, reader),
        answers=answers,
        train=train,
    )


def _answer_numbers(answers: Mapping[str, int]) -> dict[str, int]:
    if len(answers) < 2:
        raise ConfigError(
            f"objective.answers is a softmax over the answers of the training questions, and there are {len(answers)}.",
            fix="train on rows with a `query`, or set objective.answers=0.",
        )
    return {answer: number for number, answer in enumerate(answers)}


def _open_training(run: RunConfig) -> TrainSources:
    data = run.data
    quotas = step_sampler(run, [None] * len(data.seen)).quotas
    # Processes are at most a step apart, and each may be preparing as many more as its loaders take in advance.
    apart = 2 * (_BATCHES_AHEAD * data.workers + 2)
    return [
        ShardStream(
            source,
            number=number,
            seed=run.train.seed,
            folder=_shard_folder(run, number),
            root=data.root,
            reach=apart * quotas[number],
            max_skipped=data.max_skipped,
        )
        if is_shards(source.path)
        else load_source(source, root=data.root, max_skipped=data.max_skipped)
        for number, source in enumerate(data.train)
    ]


def _shard_folder(run: RunConfig, number: int) -> Path:
    """Of one source of one run: another that read the same address would delete what this one has in hand."""
    output = Path(run.train.output).absolute()
    digest = hashlib.blake2b(str(output).encode(), digest_size=4).hexdigest()
    return Path(run.data.shards) / f"{output.name}-{digest}" / str(number)


def step_sampler(run: RunConfig, sizes: Sequence[int | None]) -> StepSampler:
    """The order of a run's samples.

    Args:
        run: The recipe.
        sizes: Rows of its training sources, and of what is replayed; None for one that is read shard by shard.

    Raises:
        ConfigError: A source would get no sample.
    """
    data, size = run.data, run.train.batch_size
    return StepSampler(
        sizes,
        weights=[source.weight for source in data.seen],
        names=[source.name for source in data.seen],
        batch_size=size if data.replay is None else size + round(size * data.replay.share),
        seed=run.train.seed,
    )


def _reader(
    run: RunConfig,
    wanted: dict[Visual, int],
    validation: Sequence[Visual],
    *,
    model: VLJEPA,
    processor: VLJEPAProcessor,
) -> tuple[ImageReader, dict[Visual, str]]:
    """Where images come from, ready, and the reason for each that cannot be read; `wanted` are views by image."""
    data = run.data
    if data.cache is None:
        live = LiveImages(processor)
        # Validation images are tried now, so that every validation measures the same ones.
        skipped = live.unreadable(validation)
        check_skipped(skipped, total=len(wanted), tolerated=data.max_skipped)
        return live, skipped
    cache = FeatureCache(data.cache, fingerprint=model.x_encoder_fingerprint())
    skipped = cache.fill(wanted, model=model, processor=processor, workers=data.workers, max_skipped=data.max_skipped)
    return cache, skipped


def _texts(train: Sources, tasks: Sequence[Task], prompts: PromptsConfig) -> list[str]:
    """What the frozen Y-Encoder is asked for."""
    validated = [text for task in tasks for text in task.texts()]
    needed = [text for source in train for record in source for text in record.texts] + validated
    named = [name for task in tasks if isinstance(task, RetrievalTask) for name in names_asked(task)]
    return needed + prompts.named(named + validated)  # of calibration


def _images(sources: Sources) -> list[Visual]:
    """Different images of some sources, in order."""
    paths = (record.image for source in sources for record in source)
    return list(dict.fromkeys(path for path in paths if path is not None))


def _readable(sources: Sources, skipped: dict[Visual, str], repeated: dict[Visual, str]) -> Sources:
    return [[known_by_content(one, repeated) for one in source if one.image not in skipped] for source in sources]


def _tasks(configs: Sequence[SourceConfig], sources: Sources, *, caption_prompt: str) -> list[Task]:
    tasks: list[Task] = []
    for config, records in zip(configs, sources, strict=True):
        if not records:
            raise ConfigError(f"the source {config.name!r} has no readable rows.", fix="remove it.")
        if config.task == "vqa":
            tasks.append(VqaTask(config.name, records))
        else:
            tasks.append(RetrievalTask(config.name, records, caption_prompt=caption_prompt))
    return tasks


def _overlap(train: Sources, validation: Sources, reader: ImageReader) -> int:
    """Validation images whose content (file, when there is no cache) or whose `source_id` is in the training data.

    Bare numbers do not count as ids: every file may count its images from 0.
    """
    contents = reader.contents if isinstance(reader, FeatureCache) else {}
    seen = {contents.get(path, path) for path in _images(train)}
    ids = {record.source_id for source in train for record in source}
    found = {
        record.image
        for source in validation
        for record in source
        if record.image is not None
        and (contents.get(record.image, record.image) in seen or (record.source_id in ids and not record.numbered))
    }
    return len(found)


def _estimates(
    run: RunConfig, model: VLJEPA, reader: ImageReader, texts: TextFeatures | None, train: Sources
) -> dict[str, PriorEstimate]:
    """What stands in for images, for each source that has none."""
    estimates: dict[str, PriorEstimate] = {}
    by_name = {config.name: _images([records]) for config, records in zip(run.data.train, train, strict=True)}
    for config, records in zip(run.data.train, train, strict=True):
        if not isinstance(config.view, TextView):
            continue
        assert isinstance(reader, FeatureCache), "refused without data.cache"
        images = by_name.get(config.view.like, [])
        if not images:
            raise ConfigError(
                f"view.like = {config.view.like!r} of the source {config.name!r} names no images.",
                fix=f"name a training source with images: {', '.join(name for name in by_name if by_name[name])}.",
            )
        assert isinstance(model.residual, LabelPrior)
        assert texts is not None
        logits_BK = reader.logits(images)
        real_BE = model.residual.of_logits(logits_BK.to(model.log_scale.device))
        sample = [text for record in records for text in record.texts]
        estimates[config.name] = PriorEstimate(
            config.view, texts=texts, prior=model.residual, real_BE=real_BE, sample=sample
        )
    return estimates
