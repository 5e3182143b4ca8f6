"""What one seed of the study is measured on, read from the prepared folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from eval.core.prepared import (
    CAPTION_SOURCES,
    QUESTION_SOURCES,
    Captioned,
    captions_by_image,
    read_captions,
    read_questions,
)
from eval.tasks import coco_classes
from eval.tasks.pools import Pool, source_pools
from vljepa.data.records import Record, Visual

PHOTO_VIEWS = 8


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one seed is measured on.

    Args:
        seed: Number of the split, and seed of the baselines.
        data: Prepared folder.
        model: Saved model.
        photos: Folder with `photos.jsonl`.
        captions: `image_id<TAB>caption` lines for the ridge, where the folder has no captions by image.
        sources: Captioned training sources of the baselines; must be those of the model.
        views: Stored views of each training image that the baselines see; of photos at least `PHOTO_VIEWS`.
        split: `test`, or `validation` while developing.
        cache: Feature cache; a training's own may be used.
    """

    seed: int
    data: Path
    model: str
    photos: Path
    captions: Path | None = None
    sources: tuple[str, ...] = CAPTION_SOURCES
    views: int = 1
    split: str = "test"
    cache: Path


class Inputs(NamedTuple):
    """Training images, pools of both splits, questions, photos by group, and captions by image."""

    train: dict[str, list[Captioned]]
    validation: dict[str, list[Pool]]
    measured: dict[str, list[Pool]]
    questions: dict[str, dict[str, list[Record]]]
    classes: dict[str, list[coco_classes.Photo]]
    groups: list[list[str]]

    def views(self, job: Job) -> dict[Visual, int]:
        """How many views of each image are wanted."""
        wanted: dict[Visual, int] = {}
        for path, count in self._wanted(job):
            wanted[path] = max(count, wanted.get(path, 0))
        return wanted

    def _wanted(self, job: Job) -> Iterator[tuple[Path, int]]:
        for source, items in self.train.items():
            yield from ((one.path, max(job.views, PHOTO_VIEWS) if source == "photos" else job.views) for one in items)
        for stage in (self.validation, self.measured):
            for name, several in stage.items():
                count = PHOTO_VIEWS if name == "photos" and stage is self.measured else 1
                yield from ((path, count) for pool in several for path in pool.paths)
        yield from ((photo.path, 1) for photos in self.classes.values() for photo in photos)
        records = [record for splits in self.questions.values() for record in splits[job.split]]
        yield from ((record.image, 1) for record in records if isinstance(record.image, Path))


def read_inputs(job: Job) -> Inputs:
    """Read everything that one seed needs; nothing is encoded."""
    splits, names = ("train", "validation", job.split), dict.fromkeys((*job.sources, "emoji", "photos"))
    captioned = {name: {split: read_captions(job.data, name, split) for split in splits} for name in names}
    pools = {
        split: {name: source_pools(name, captioned[name][split]) for name in ("emoji", "photos")}
        for split in splits[1:]
    }
    asked = {name: {split: read_questions(job.data, name, split) for split in splits} for name in QUESTION_SOURCES}
    photos = coco_classes.read_photos(job.photos)
    ids, trained = (
        {item.source_id.removeprefix("coco:") for item in captioned["photos"][split]} for split in (job.split, "train")
    )
    measured = [photo for photo in photos if photo.image_id in ids]
    classes = {f"{len(measured)} {job.split} photos": measured}
    if job.split == "test":
        val2017 = [photo for photo in photos if photo.split == "val2017"]
        seen = sum(photo.image_id in trained for photo in val2017)
        classes[f"{len(val2017)} val2017 photos ({seen} of them in training)"] = val2017
    return Inputs(
        train={source: captioned[source]["train"] for source in job.sources if captioned[source]["train"]},
        validation=pools["validation"],
        measured=pools[job.split],
        questions={source: rows for source, rows in asked.items() if rows["train"] and rows[job.split]},
        classes=classes,
        groups=captions_by_image(job.data, job.captions),
    )
