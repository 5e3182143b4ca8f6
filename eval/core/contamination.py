"""Train-test contamination: what of a suite's test data the measured model was trained on, counted for each result.

The training data are known where the user names them, and of the models that we ship where they lie in a data folder:
their recipes say which files those are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from eval.core import suite
from eval.core.console import log
from eval.core.provenance import ROOT, digest_files, shortened, text_digest
from vljepa.data.overlap import TrainingSet, read_records
from vljepa.data.records import Record

RECIPES = {
    "mini": ("mini.yaml", "mini_clips.yaml", "mini_decoder.yaml"),
}
"""What the models that we ship were trained by; all read one folder, which recipes/mini/prepare.py writes."""
FOLDER = "mini"


class Training:
    """Training data of a model, opened once for all suites.

    Args:
        origin: Who says that these are its training data.
        place: Folder that `files` are in; None where they are paths of their own.
        files: Data as for `vljepa data overlap`.
        lacking: What it was trained on too and is not at hand.
    """

    UNKNOWN = "what was measured on is not listed"

    def __init__(
        self, origin: str, *, files: Sequence[str] = (), lacking: Sequence[str] = (), place: Path | None = None
    ) -> None:
        self.origin, self._files, self._lacking, self._place = origin, list(files), list(lacking), place

    @cached_property
    def digest(self) -> str | None:
        """Hash of the listings, and of the names and sizes in folders; None without training data."""
        if not self._files:
            return None
        parts = [self.origin, *self._lacking]
        for name, path in zip(self._files, self._paths, strict=True):
            parts.append(name)
            if Path(path).is_file():
                parts.append(digest_files([Path(path)]))
            else:
                below = sorted(one for one in Path(path).rglob("*") if one.is_file())
                parts += [f"{one.relative_to(path)}\0{one.stat().st_size}" for one in below]
        return text_digest("\n".join(parts))

    def open(self) -> None:
        """Read them, if there are any and that has not been done.

        Raises:
            DataError: They cannot be read, or ImageHash is not installed.
        """
        if self.digest is not None:
            _ = self._known

    def overlap(self, examined: Iterable[Record] | None, *, note: str) -> dict[str, Any]:
        """What a result says: the counts, of how many, in what; or that nobody has looked.

        Args:
            examined: Images and texts that were measured on; None where that is not known.
            note: What the suite knows beside.

        Raises:
            DataError: As `open`.
        """
        if self.digest is None or examined is None:
            why = self.UNKNOWN if examined is None else self.origin
            return {"looked_at": False, "why": why, "note": note}
        found = self._known.overlap(examined).as_dict()
        # Tasks give no identities: images are compared by themselves.
        del found["source_id"], found["test"]["source_ids"], found["train"]["source_ids"]
        del found["examples"]["source_id"]
        for kind in ("exact", "near"):
            found["examples"][kind] = [[_shown(one) for one in pair] for pair in found["examples"][kind]]
        names = self._files if self._place is not None else [shortened(name) for name in self._files]
        found["train"] |= {"origin": self.origin, "files": names, "lacking": self._lacking, "sha256": self.digest}
        return {"looked_at": True, "note": note, **found}

    @cached_property
    def _known(self) -> TrainingSet:
        log(f"reading training data: {', '.join(self._files)}")
        return TrainingSet(record for path in self._paths for record in read_records(path))

    @property
    def _paths(self) -> list[str]:
        return self._files if self._place is None else [str(self._place / name) for name in self._files]


def training_of(model: str, *, given: Sequence[str], folders: Sequence[Path]) -> Training:
    """Training data of a model.

    Args:
        model: Preset, folder or repository.
        given: What the user names; empty for those of a model that we ship.
        folders: Where data are kept: those of our models are in one of them or in its folder `mini`.
    """
    if given:
        return Training("named with --train", files=given)
    if model not in RECIPES:
        return Training("no training data were named with --train")
    origin = " and ".join(f"recipes/{name}" for name in RECIPES[model])
    wanted = list(dict.fromkeys(path for name in RECIPES[model] for path in _trained_on(ROOT / "recipes" / name)))
    places = [place for folder in [*folders, *suite.OWN_DATA] for place in (folder / FOLDER, folder)]
    place = max(places, key=lambda one: sum((one / name).is_file() for name in wanted))
    files = [name for name in wanted if (place / name).is_file()]
    if not files:
        return Training(f"the training data of {model} ({origin}) are not in a folder given with --data")
    return Training(origin, files=files, lacking=[name for name in wanted if name not in files], place=place)


def _trained_on(recipe: Path) -> list[str]:
    """Paths of a recipe's training sources, in all its stages."""
    content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    parts = [content, *content.get("stages", {}).values()]
    return [source["path"] for part in parts for source in part.get("data", {}).get("train", [])]


def _shown(image: str) -> str:
    """An image's name without the folders of this machine."""
    return "/".join(Path(image).parts[-3:])
