"""A suite: what is measured on which files, where those come from, and under which licence.

`eval/suites/NAME.yaml` is one suite. Its files are looked for in DATA/FOLDER, where DATA is one of the folders given by
the user, or `data` and `tests/assets` of the clone, and FOLDER the suite's own name unless it says otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from eval.core.provenance import ROOT, digest_files
from vljepa.configs import SourceConfig
from vljepa.data.formats import Found as FoundRows
from vljepa.data.formats import find_data, sound_rows
from vljepa.data.paths import path_under
from vljepa.data.records import Record
from vljepa.data.sources import load_source
from vljepa.errors import ConfigError, DataError

SUITES, PROTOCOLS = ROOT / "eval" / "suites", ROOT / "eval" / "protocols.yaml"
OWN_DATA = (ROOT / "data", ROOT / "tests" / "assets")


class Suite(BaseModel):
    """One YAML file.

    Args:
        name: Of the file.
        title: What tables call it.
        task: Function of `eval/tasks` that measures it.
        source: Where the official files come from.
        version: Of the files.
        licence: Of the files, and of the images where it is another.
        split: Which part of the data it is.
        folder: Where the files are, under a data folder; the suite's name when empty.
        files: By role; of a list, the first that is there.
        media: Folder of the images or videos under the suite's folder.
        rows: How many rows the official files have; another number is said in the result.
        protocol: How it is measured: in a sentence, or as named notes, those of the task in `eval/protocols.yaml` among
            them.
        overlap: What is known, beside what is counted, of test data that the shipped model, or a part of it, was
            trained on.
        minutes: About how long it takes on two cores.
        trains: A study that trains models of its own: not one of `all`.
        settings: Keyword arguments of the task.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    task: str
    source: str
    version: str = "as downloaded"
    licence: str
    split: str
    folder: str = ""
    files: dict[str, str | list[str]] = Field(default_factory=dict)
    media: str = ""
    rows: int | None = None
    protocol: str | dict[str, str]
    overlap: str
    minutes: float = 1
    trains: bool = False
    settings: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Fields:
    """A row of a suite's file, whose fields must be there."""

    found: Found
    role: str
    number: int
    row: Any

    def __getitem__(self, key: str) -> Any:
        """A field.

        Raises:
            DataError: The row has no such field.
        """
        row = self.row
        if not isinstance(row, dict) or row.get(key) in (None, ""):
            has = ", ".join(sorted(map(str, row))) if isinstance(row, dict) else type(row).__name__
            raise self.wrong(f"has no {key!r}, only {has}")
        return row[key]

    def text(self, key: str) -> str:
        """A field as text."""
        return str(self[key])

    def texts(self, key: str) -> list[str]:
        """A field that is a text or a list of texts."""
        given = self[key]
        return [given] if isinstance(given, str) else list(map(str, given))

    def file(self, key: str, *, name: str = "{}") -> Path:
        """The file of the media folder that a field names; `{}` is what it says."""
        return self.found.file_name(name.replace("{}", self.text(key)), role=self.role)

    def wrong(self, why: str) -> DataError:
        """The error that the row is not what it should be."""
        return self.found.wrong(self.role, f"row {self.number} {why}")


@dataclass(frozen=True)
class Found:
    """A suite whose files are there."""

    suite: Suite
    folder: Path
    files: dict[str, Path]

    @property
    def media(self) -> Path:
        """Folder of the images or videos, resolved."""
        return (self.folder / self.suite.media).resolve()

    def digest(self) -> str:
        """Hash of the annotations' contents, and of the names and sizes of all files in the media folder."""
        hashed = hashlib.sha256(digest_files(list(self.files.values())).encode())
        seen = sorted(path for path in self.media.rglob("*") if path.is_file()) if self.media.is_dir() else []
        for path in seen:
            hashed.update(f"{path.relative_to(self.media)}\0{path.stat().st_size}\n".encode())
        return hashed.hexdigest()[:16]

    def rows(self, role: str, *, kind: str | None = None) -> Iterator[Fields]:
        """Rows of a CSV, TSV, JSON Lines or Parquet file, or of a JSON list or COCO captions, numbered from 1.

        Args:
            role: Of the file.
            kind: A format of training data that it has whatever its suffix, such as `jsonl`.
        """
        file = self.files[role]
        try:
            for number, row in sound_rows(find_data(file) if kind is None else FoundRows(kind, file)):
                yield Fields(self, role, number, row)
        except DataError as error:
            raise self.wrong(role, error.message) from error

    def table(self, role: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """As `rows`, as numbers and plain rows."""
        return ((one.number, one.row) for one in self.rows(role))

    def listed(self, role: str, kind: type[list[Any]] | type[dict[Any, Any]] = list) -> list[Fields]:
        """Items of a JSON list, or values of a JSON object, numbered from 0."""
        content = self.json(role, kind)
        items = content.values() if isinstance(content, dict) else content
        return [Fields(self, role, number, one) for number, one in enumerate(items)]

    def records(self, role: str, *, task: Literal["retrieval", "vqa"]) -> list[Record]:
        """Rows of data of one's own, in any form and with the columns that training takes."""
        source = SourceConfig(name=role, path=str(self.files[role]), root=str(self.media), task=task)
        return load_source(source, root=self.folder, max_skipped=0.0)  # a test set is measured whole

    def file_name(self, name: object, *, role: str = "rows") -> Path:
        """A file of the media folder that a row names; never outside of it."""
        return path_under(self.media, str(name), where=str(self.files[role]))

    def json(self, role: str, kind: type = object) -> Any:
        """Content of a JSON file, which must be a list or an object where the task says so."""
        try:
            content = json.loads(self.files[role].read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise self.wrong(role, f"no readable JSON: {error}") from error
        if not isinstance(content, kind):
            raise self.wrong(role, f"it is not a JSON {'list' if kind is list else 'object'}")
        return content

    def wrong(self, role: str, why: str) -> DataError:
        """The error that a file is not what it should be."""
        return DataError(
            f"{str(self.files[role])!r} is not the file of {self.suite.title}: {why}.",
            fix=f"take it from {self.suite.source} (licence: {self.suite.licence}).",
        )

    def value(self, row: Any, key: str, role: str, number: int) -> Any:
        """A field of a row, as of `Fields`."""
        return Fields(self, role, number, row)[key]


def suite_names() -> list[str]:
    """Every suite that `eval/run.py` runs, in alphabetic order."""
    return sorted(path.stem for path in SUITES.glob("*.yaml"))


def read_suite(name: str) -> Suite:
    """One suite.

    Raises:
        ConfigError: There is none of that name, or its file is wrong.
    """
    content = _content(SUITES / f"{name}.yaml") if name.isidentifier() else {}
    if "task" not in content:
        raise ConfigError(f"there is no suite {name!r}.", fix=f"use one of: all, {', '.join(suite_names())}.")
    notes = _content(PROTOCOLS).get(content["task"])
    if notes is not None:
        content["protocol"] = notes | content.get("protocol", {})
    try:
        return Suite(name=name, **content)
    except ValidationError as error:
        raise ConfigError(f"eval/suites/{name}.yaml: {error}.", fix="see eval/core/suite.py.") from error


def find(suite: Suite, folders: Sequence[Path], *, alone: bool) -> Found:
    """The suite's files.

    Args:
        suite: Of which.
        folders: Where the user keeps data.
        alone: The files may also lie in a folder itself: the user asked for this suite alone.

    Raises:
        DataError: Some are not there: which, where they come from, and under which licence.
    """
    own = suite.folder or suite.name
    roots = [*folders, *OWN_DATA]
    places = [place for folder in roots for place in _places(folder, own, alone and folder in folders)]
    lacking: list[str] = []
    for place in places:
        files, lacks = _files(suite, place, roots)
        if not lacks:
            return Found(suite, place, files)
        if place.is_dir() and (not lacking or len(lacks) < len(lacking)):
            lacking = lacks
    wanted = lacking or _files(suite, places[0], roots)[1]
    where = " or ".join(dict.fromkeys(str(place) for place in places))
    raise DataError(
        f"{suite.title}: {', '.join(wanted)} not in {where}.",
        fix=f"get them from {suite.source} (licence: {suite.licence}), and give the folder with --data.",
    )


def _places(folder: Path, own: str, alone: bool) -> list[Path]:
    return [folder / own, folder] if alone else [folder / own]


def _files(suite: Suite, place: Path, roots: Sequence[Path]) -> tuple[dict[str, Path], list[str]]:
    """What is there and what is not; a name with a folder of its own may also lie directly under a data folder."""
    found: dict[str, Path] = {}
    lacking: list[str] = []
    for role, names in suite.files.items():
        several = [names] if isinstance(names, str) else names
        tried = [place / name for name in several] + [root / name for root in roots for name in several if "/" in name]
        there = next((path for path in tried if path.exists()), None)
        if there is None:
            lacking.append(" or ".join(several))
        else:
            found[role] = there
    if suite.media and not (place / suite.media).is_dir():
        lacking.append(f"the folder {suite.media}")
    return found, lacking


def _content(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return loaded
