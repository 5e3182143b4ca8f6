"""Looking at data before training on it: what it is, what is wrong with it, and how to train on it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from vljepa.configs import SourceConfig
from vljepa.data.baselines import Blind
from vljepa.data.columns import columns_of, source_of
from vljepa.data.contents import content_of
from vljepa.data.formats import DATA_FILES, HELD_OUT, find_data
from vljepa.data.images import visual_frames
from vljepa.data.progress import track
from vljepa.data.records import Record, Visual
from vljepa.data.report import DataReport
from vljepa.data.shards import fetch_shard, is_shards, shard_addresses, shard_kind
from vljepa.data.sources import SPLIT, SourceRows, read_source
from vljepa.data.warning_signs import notes_on
from vljepa.errors import ImageError, VideoError

SAMPLES = 3
_ASIDE = 5
FRAMES = 8
"""Frames of a clip in the training that is proposed."""


def check_data(
    path: str,
    *,
    root: Path | None = None,
    split: str | None = None,
    validation: str | None = None,
    candidates: Sequence[str] | None = None,
    max_pixels: int,
    limit: int | None = None,
) -> DataReport:
    """Read all rows and open all images, and say what there is.

    Args:
        path: As of a source in a recipe.
        root: Folder that paths of images are relative to; by default the data's own.
        split: Which split, where there are several; by default that for training.
        validation: Validation data; by default a split `validation`, `valid` or `val`, a file of such a name (`.csv`,
            `.json` or the like) beside the data, or a folder of such a name beside a folder `train`.
        candidates: Answers that all validation questions choose from, where rows do not have their own.
        max_pixels: Cap on an image's width x height.
        limit: Most images to open; None for all.

    Raises:
        DataError: No data, of no known kind, without an image or text column, or with a row that does not fit.
    """
    with TemporaryDirectory() as room:
        addresses = shard_addresses(path) if is_shards(path) else None
        local = path
        if addresses is not None:
            local = str(Path(room) / f"first{shard_kind(addresses[0])}")
            fetch_shard(addresses[0], Path(local))
        found = find_data(local, split=split)
        columns = columns_of(found, needed=("image", "text"))
        source = source_of("data", path, found, columns=columns, root=root, frames=FRAMES)
        rows = read_source(source.model_copy(update={"path": local, "split": split}))
        if validation is not None:
            beside: tuple[str, str | None] | None = (validation, None)
        else:
            beside = None if addresses is not None else _validation_of(path, rows, split=split)
        held_out = None if beside is None else _held_out(*beside, root=root, candidates=candidates)
        return _report(path, rows, source, held_out, beside, addresses, max_pixels=max_pixels, limit=limit)


def _held_out(
    path: str, split: str | None, *, root: Path | None, candidates: Sequence[str] | None
) -> tuple[SourceConfig, SourceRows]:
    found = find_data(path, split=split)
    columns = columns_of(found, needed=("image", "text"))
    chosen = list(candidates) if candidates else None
    source = source_of("held_out", path, found, columns=columns, root=root, frames=FRAMES, candidates=chosen)
    return source, read_source(source)


def _report(
    path: str,
    rows: SourceRows,
    source: SourceConfig,
    held_out: tuple[SourceConfig, SourceRows] | None,
    beside: tuple[str, str | None] | None,
    addresses: Sequence[str] | None,
    *,
    max_pixels: int,
    limit: int | None,
) -> DataReport:
    records = rows.records
    visuals = _visuals(records)
    opened = visuals[:limit]
    contents, broken = _look(opened, max_pixels=max_pixels)
    validated = [] if held_out is None else held_out[1].records
    same, alike = (None, None) if held_out is None else _overlap(validated, contents.values(), records)
    columns = {name: getattr(source.columns, name) for name in type(source.columns).model_fields}
    columns = {name: column for name, column in columns.items() if column in rows.columns}
    return DataReport(
        place=path if addresses is not None else str(rows.found.place),
        shards=None if addresses is None else len(addresses),
        kind=rows.found.kind,
        split=rows.found.split,
        columns=columns,
        unused=[column for column in rows.columns if column not in {*columns.values(), SPLIT}],
        passed_over=[*rows.found.passed_over, *(f"{count:,} {what}" for what, count in rows.passed_over.items())],
        skipped=rows.skipped,
        rows=len(records),
        images=len(visuals),
        texts=len({text for record in records for text in record.texts}),
        queries=sum(bool(record.query) for record in records),
        samples=[_shown(record) for record in _spread(records)],
        same_images=sum(count - 1 for count in Counter(contents.values()).values()),
        same_rows=len(records) - len({(str(one.image), one.query, one.texts) for one in records}),
        broken={str(visual): reason for visual, reason in broken.items()},
        opened=len(opened),
        validation=None if beside is None else _named(*beside),
        overlap=same,
        same_ids=alike,
        blind=_blind(records, validated),
        source=_entry(source),
        command=_command(source, None if held_out is None else held_out[0], asks=any(one.query for one in records)),
        notes=notes_on(rows, broken, opened=len(opened)),
    )


def _named(path: str, split: str | None) -> str:
    return path if split is None else f"{path}, split {split}"


def _validation_of(path: str, rows: SourceRows, *, split: str | None) -> tuple[str, str | None] | None:
    """Validation data that belongs to data: a split of it, or what lies beside."""
    found = rows.found
    names = found.splits or (tuple(rows.splits) if found.kind == "json" or split is not None else ())
    for name in names:
        if name.lower() in HELD_OUT and name != (split or found.split):
            return path, name
    if not isinstance(found.place, Path):
        return None
    place = found.place
    folder = place if place.is_dir() else place.parent
    files = [folder / f"{name}{suffix}" for name in HELD_OUT for suffix in DATA_FILES]
    beside = [file for file in files if file.is_file()]
    if place.is_dir() and place.name == "train":
        beside += [place.with_name(name) for name in HELD_OUT if place.with_name(name).is_dir()]
    return next(((str(one), None) for one in beside if one != place), None)


def _spread(records: Sequence[Record]) -> list[Record]:
    """Records from the whole of them: neighbours often look alike."""
    last = len(records) - 1
    return [records[place] for place in sorted({round(last * part / (SAMPLES - 1)) for part in range(SAMPLES)})]


def _visuals(records: Iterable[Record]) -> list[Visual]:
    return list(dict.fromkeys(record.image for record in records if record.image is not None))


def _look(visuals: Sequence[Visual], *, max_pixels: int) -> tuple[dict[Visual, str], dict[Visual, str]]:
    """Content of what can be read, and the reason for what cannot."""
    contents: dict[Visual, str] = {}
    broken: dict[Visual, str] = {}
    hashes: dict[Path, str] = {}
    for visual in track(visuals, what="opening images", total=len(visuals)):
        try:
            content = content_of(visual, hashes)
            visual_frames(visual, max_pixels=max_pixels)
            contents[visual] = content
        except (ImageError, VideoError) as error:
            broken[visual] = error.message
        except OSError as error:
            broken[visual] = error.strerror or type(error).__name__
    return contents, broken


def _overlap(held_out: Sequence[Record], contents: Iterable[str], records: Sequence[Record]) -> tuple[int, int]:
    """Held-out images with the content of a training image, and others with the `source_id` of one."""
    known, same, hashes = set(contents), set[Visual](), dict[Path, str]()
    for visual in _visuals(held_out):
        with suppress(OSError, ImageError):
            if content_of(visual, hashes) in known:
                same.add(visual)
    ids = {record.source_id for record in records}
    alike = _visuals(record for record in held_out if record.source_id in ids and not record.numbered)
    return len(same), len(set(alike) - same)


def _blind(records: Sequence[Record], validated: Sequence[Record]) -> dict[str, float]:
    """Baselines that do not look, on validation questions; without these every fifth image is put aside for it."""
    train, rows = ([one for one in some if one.query] for some in (records, validated))
    if not rows:
        aside = set(sorted({one.source_id for one in train})[::_ASIDE])
        rows = [one for one in train if one.source_id in aside]
        train = [one for one in train if one.source_id not in aside]
    return Blind(train).measure(rows) if train and rows else {}


def _shown(record: Record) -> dict[str, Any]:
    shown = {"image": str(record.image), "query": record.query, "text": list(record.texts)}
    return {name: value for name, value in shown.items() if value}


def _entry(source: SourceConfig) -> dict[str, Any]:
    return source.model_dump(mode="json", exclude_defaults=True)


def _command(source: SourceConfig, held_out: SourceConfig | None, *, asks: bool) -> str:
    recipe = "lora_vqa" if asks else "lora_retrieval"
    train, validation = [_entry(source)], [_entry(held_out)] if held_out is not None else []
    words = [f"data.train={_flow(train)}", f"data.validation={_flow(validation)}"]
    if is_shards(source.path):
        words.append("data.cache=null")
    return " ".join(["vljepa", "train", recipe, *map(shlex.quote, words)])


def _flow(value: Any) -> str:
    """YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=1_000_000, sort_keys=False).strip()
