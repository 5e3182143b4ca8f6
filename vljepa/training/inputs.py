"""From a recipe's data section to batches by step, validation tasks, and the caches behind both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vljepa.configs import RunConfig, SourceConfig
from vljepa.data.collate import Collator, StepBatches
from vljepa.data.features import FeatureCache, TextFeatures
from vljepa.data.pictures import LivePictures, PictureReader
from vljepa.data.records import Record
from vljepa.data.sampling import StepSampler
from vljepa.data.skips import check_skipped
from vljepa.data.sources import load_source
from vljepa.data.text_only import LabelGuess
from vljepa.errors import ConfigError
from vljepa.models.modeling import VLJEPA
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.training.encoding import Encoder
from vljepa.training.validation import RetrievalTask, Task, VqaTask

Sources = list[list[Record]]


@dataclass
class Inputs:
    """What a run reads.

    Args:
        batches: Training batches by step.
        tasks: Validation tasks.
        encoder: Reads pictures and texts for them.
        pictures: Number of training and validation pictures that were looked for.
        skipped: Reason per unreadable picture.
        workers: Loader processes that make sense for these batches.
        overlap: Validation pictures that are also training pictures.
    """

    batches: StepBatches
    tasks: list[Task]
    encoder: Encoder
    pictures: int
    skipped: dict[Path, str]
    workers: int
    overlap: int


def prepare(run: RunConfig, *, model: VLJEPA, processor: VLJEPAProcessor) -> Inputs:
    """Read all sources and fill the caches.

    Raises:
        DataError: A source is not usable, or too many pictures are unreadable.
        ConfigError: A source gets no sample, or the recipe asks for what the model cannot do.
    """
    data = run.data
    _check_text_only(run)
    train = [load_source(source, root=data.root) for source in data.train]
    validation = [load_source(source, root=data.root) for source in data.validation]
    views = data.cache.views if data.cache is not None else 1
    wanted = dict.fromkeys(_images(train), views)
    for path in _images(validation):
        wanted.setdefault(path, 1)

    reader: PictureReader
    texts: TextFeatures | None = None
    if data.cache is None:
        reader = LivePictures(processor)
        # Validation pictures are tried now, so that every validation measures the same ones.
        skipped = reader.unreadable(_images(validation))
        check_skipped(skipped, total=len(wanted), tolerated=data.max_skipped)
    else:
        reader = FeatureCache(data.cache, fingerprint=model.x_encoder_fingerprint())
        skipped = reader.fill(
            wanted, model=model, processor=processor, workers=data.workers, max_skipped=data.max_skipped
        )
        if not run.model.y_encoder.trainable:
            texts = TextFeatures(data.cache.folder, config=model.config.y_encoder)

    train, validation = _readable(train, skipped), _readable(validation, skipped)
    tasks = _tasks(data.validation, validation, caption_prompt=run.model.prompts.caption)
    if texts is not None:
        needed = [text for source in train for record in source for text in record.texts]
        needed += [text for task in tasks for text in task.texts()]
        texts.fill(needed, model=model, processor=processor)
    sampler = StepSampler(
        [len(source) for source in train],
        weights=[source.weight for source in data.train],
        names=[source.name for source in data.train],
        batch_size=run.train.batch_size,
        seed=run.train.seed,
    )
    guess = _guess(run, model, reader, texts, train)
    collator = Collator(processor, pictures=reader, texts=texts, guess=guess)
    return Inputs(
        batches=StepBatches(train, sampler=sampler, collator=collator, views=views),
        tasks=tasks,
        encoder=Encoder(model, processor, pictures=reader, texts=texts),
        pictures=len(wanted),
        skipped=skipped,
        workers=data.workers if data.cache is None else 0,
        overlap=_overlap(train, validation, reader),
    )


def _images(sources: Sources) -> list[Path]:
    """Different pictures of some sources, in order."""
    paths = (record.image for source in sources for record in source)
    return list(dict.fromkeys(path for path in paths if path is not None))


def _readable(sources: Sources, skipped: dict[Path, str]) -> Sources:
    return [[record for record in source if record.image not in skipped] for source in sources]


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


def _overlap(train: Sources, validation: Sources, reader: PictureReader) -> int:
    """Validation pictures whose content, or whose file when there is no cache, is in the training data."""
    contents = reader.contents if isinstance(reader, FeatureCache) else {}
    seen = {contents.get(path, path) for path in _images(train)}
    return sum(contents.get(path, path) in seen for path in _images(validation))


def _check_text_only(run: RunConfig) -> None:
    for source in run.data.validation:
        if source.text_only:
            raise ConfigError(f"the validation source {source.name!r} is text_only.", fix="validate on pictures.")
    names = [source.name for source in run.data.train if source.text_only]
    if not names:
        return
    prior = run.model.predictor.label_prior
    lacking = {
        "model.predictor.label_prior with token": prior is not None and prior.token,
        "model.y_encoder.trainable=false": not run.model.y_encoder.trainable,
        "data.cache": run.data.cache is not None,
    }
    for what, there in lacking.items():
        if not there:
            raise ConfigError(f"the text_only source {names[0]!r} needs {what}.", fix="set it, or remove the source.")


def _guess(
    run: RunConfig, model: VLJEPA, reader: PictureReader, texts: TextFeatures | None, train: Sources
) -> LabelGuess | None:
    if not any(source.text_only for source in run.data.train):
        return None
    assert model.label_prior is not None
    assert texts is not None
    images = _images(train)
    tokens = reader.read([(images[0], 0)]).tensors["vision_tokens"].shape[1:] if images else (1, model.x_encoder.width)
    return LabelGuess(
        texts,
        label_features_KE=model.label_prior.label_features_KE,
        temperature=model.label_prior.config.temperature,
        tokens_ND=(int(tokens[0]), int(tokens[1])),
    )
