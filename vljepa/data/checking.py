"""Looking at data before training on it: what it is, what is wrong with it, and how to train on it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from vljepa.configs import SourceConfig
from vljepa.data.baselines import Blind
from vljepa.data.columns import columns_of, source_of
from vljepa.data.contents import content_of
from vljepa.data.formats import DATA_FILES, HELD_OUT, find_data
from vljepa.data.pictures import visual_frames
from vljepa.data.progress import track
from vljepa.data.records import Record, Visual
from vljepa.data.shards import fetch_shard, is_shards, shard_addresses, shard_kind
from vljepa.data.sources import load_source
from vljepa.errors import ImageError, VideoError

SAMPLES = 3
_ASIDE = 5
FRAMES = 8
"""Frames of a clip in the training that is proposed."""


@dataclass(frozen=True)
class DataReport:
    """What `check_data` found.

    Args:
        place: The file or folder that holds the rows, or the address of shards.
        shards: Number of shards behind an address, of which the first was fetched and is what is reported; else None.
        kind: Of the data, such as `csv`, `json`, `tars`, `dataset` or `classes`.
        columns: Meaning to column, as guessed.
        rows: Number of rows.
        pictures: Number of different pictures or clips that are named.
        texts: Number of different texts.
        queries: Number of rows with a question.
        samples: A first, a middle and the last row, as they are understood.
        same_pictures: Pictures whose very content stands under another name already.
        same_rows: Rows that say what an earlier one says.
        broken: Reason per picture or clip that cannot be read.
        opened: Pictures and clips that were tried.
        validation: The validation data, if there is any.
        overlap: Validation pictures whose content is among those opened here.
        same_ids: Other validation pictures whose `source_id` is among the rows; bare numbers do not count, since every
            file may count its pictures from 0.
        blind: Accuracy on the validation questions, or on a fifth of the pictures where there are none, that needs no
            picture; empty without questions.
        source: Entry of `data.train` in a recipe.
        command: Command that trains on it.
    """

    place: str
    shards: int | None
    kind: str
    columns: dict[str, str]
    rows: int
    pictures: int
    texts: int
    queries: int
    samples: list[dict[str, Any]]
    same_pictures: int
    same_rows: int
    broken: dict[str, str]
    opened: int
    validation: str | None
    overlap: int | None
    same_ids: int | None
    blind: dict[str, float]
    source: dict[str, Any]
    command: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def check_data(
    path: str,
    *,
    root: Path | None = None,
    validation: str | None = None,
    max_pixels: int,
    limit: int | None = None,
) -> DataReport:
    """Read all rows and open all pictures, and say what there is.

    Args:
        path: As of a source in a recipe.
        root: Folder that paths of pictures are relative to; by default the data's own.
        validation: Validation data; by default a file `validation`, `valid` or `val` (`.csv`, `.json` or the like)
            beside the data, or a folder of such a name beside a folder `train`.
        max_pixels: Cap on a picture's width x height.
        limit: Most pictures to open; None for all.

    Raises:
        DataError: No data, of no known kind, without a picture or text column, or with a row that does not fit.
    """
    with TemporaryDirectory() as room:
        return _check(path, Path(room), root=root, validation=validation, max_pixels=max_pixels, limit=limit)


def _check(
    path: str, room: Path, *, root: Path | None, validation: str | None, max_pixels: int, limit: int | None
) -> DataReport:
    addresses = shard_addresses(path) if is_shards(path) else None
    local = path
    if addresses is not None:
        local = str(room / f"first{shard_kind(addresses[0])}")
        fetch_shard(addresses[0], Path(local))
    kind, place = find_data(local)
    columns = columns_of(kind, place, needed=("image", "text"))
    source = source_of("data", path, place, columns=columns, root=root, frames=FRAMES)
    records = load_source(source.model_copy(update={"path": local}))
    if validation is None and addresses is None:
        validation = _beside(place)
    held_out = None
    if validation is not None:
        kind_of_it, place_of_it = find_data(validation)
        found = columns_of(kind_of_it, place_of_it, needed=("image", "text"))
        held_out = source_of("held_out", validation, place_of_it, columns=found, root=root, frames=FRAMES)
    visuals = _visuals(records)[:limit]
    contents, broken = _look(visuals, max_pixels=max_pixels)
    validated = [] if held_out is None else load_source(held_out)
    same, alike = (None, None) if held_out is None else _overlap(validated, contents.values(), records)
    counted = Counter(contents.values())
    return DataReport(
        place=path if addresses is not None else str(place),
        shards=None if addresses is None else len(addresses),
        kind=kind,
        columns=columns,
        rows=len(records),
        pictures=len(_visuals(records)),
        texts=len({text for record in records for text in record.texts}),
        queries=sum(bool(record.query) for record in records),
        samples=[_shown(record) for record in _spread(records)],
        same_pictures=sum(count - 1 for count in counted.values()),
        same_rows=len(records) - len({(str(one.image), one.query, one.texts) for one in records}),
        broken={str(visual): reason for visual, reason in broken.items()},
        opened=len(visuals),
        validation=validation,
        overlap=same,
        same_ids=alike,
        blind=_blind(records, validated),
        source=_entry(source),
        command=_command(source, held_out, asks=any(record.query for record in records)),
    )


def _beside(place: Path | str) -> str | None:
    if isinstance(place, str):
        return None
    folder = place if place.is_dir() else place.parent
    named = [folder / f"{name}{suffix}" for name in HELD_OUT for suffix in DATA_FILES]
    found = [file for file in named if file.is_file()]
    if place.is_dir() and place.name == "train":
        found += [place.with_name(name) for name in HELD_OUT if place.with_name(name).is_dir()]
    return next((str(one) for one in found if one != place), None)


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
    for visual in track(visuals, what="opening pictures", total=len(visuals)):
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
    """Held-out pictures with the content of a training picture, and others with the `source_id` of one."""
    known, same, hashes = set(contents), set[Visual](), dict[Path, str]()
    for visual in _visuals(held_out):
        with suppress(OSError, ImageError):
            if content_of(visual, hashes) in known:
                same.add(visual)
    ids = {record.source_id for record in records}
    alike = _visuals(record for record in held_out if record.source_id in ids and not record.numbered)
    return len(same), len(set(alike) - same)


def _blind(records: Sequence[Record], validated: Sequence[Record]) -> dict[str, float]:
    """Baselines that do not look, on validation questions; without these every fifth picture is put aside for it."""
    train, rows = ([one for one in some if one.query] for some in (records, validated))
    if not rows:
        aside = set(sorted({one.source_id for one in train})[::_ASIDE])
        rows = [one for one in train if one.source_id in aside]
        train = [one for one in train if one.source_id not in aside]
    return Blind(train).measure(rows) if train and rows else {}


def _shown(record: Record) -> dict[str, Any]:
    shown = {"picture": str(record.image), "query": record.query, "text": list(record.texts)}
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
