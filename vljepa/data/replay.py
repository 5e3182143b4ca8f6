"""Images that are replayed: on them a model that goes on training stays where its start was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vljepa.configs import ReplayConfig
from vljepa.data.formats.walking import images_below
from vljepa.data.paths import path_under
from vljepa.data.records import Record
from vljepa.data.sources import load_source
from vljepa.errors import DataError
from vljepa.parts.saved import replay_file


def load_replay(config: ReplayConfig, *, root: str | Path = ".", max_skipped: float = 0.01) -> list[Record]:
    """The images that are replayed, each once, without texts.

    Args:
        config: Where they are.
        root: Folder that its paths are relative to.
        max_skipped: Share of rows without an image that is tolerated.

    Raises:
        CheckpointError: They come with a model, and there is no such model, or it brings none along.
        DataError: As of `load_source`.
    """
    source, place = config.as_source(), replay_place(config, root)
    if place.is_dir():
        names = [str(image.relative_to(place)) for image in images_below(place)]
        files = [path_under(place.resolve(), name, where=str(place)) for name in names]
        records = [Record(image=file, texts=(), source_id=str(file), source=source.name) for file in files]
    else:
        found = source.model_copy(update={"path": str(place.absolute())})
        records = load_source(found, root=root, texts="optional", max_skipped=max_skipped)
    once = {record.image: replace(record, texts=(), query="", candidates=(), type="") for record in records}
    if not once:
        raise DataError(f"{str(place)!r} has no images to be replayed.", fix="check data.replay.path.")
    return list(once.values())


def replay_place(config: ReplayConfig, root: str | Path) -> Path:
    """Where they are: under the root, or in the folder of a model."""
    name = config.path.removesuffix(":replay")
    return Path(root) / config.path if name == config.path else replay_file(name)
