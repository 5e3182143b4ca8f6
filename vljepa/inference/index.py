"""Exact search over a folder of pictures, by text or by picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from vljepa.errors import ConfigError, DataError, ImageError, TextSpaceError
from vljepa.inference.embed import Embedder, Progress, Rows
from vljepa.inference.index_file import Entry, IndexHeader, read_index, write_index
from vljepa.inference.pictures import walk
from vljepa.models.modeling import VLJEPA
from vljepa.processing.processor import Picture, VLJEPAProcessor


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One search result.

    Args:
        path: Of the picture, relative to the indexed folder.
        score: Cosine between the query and the picture, from -1 to 1.
    """

    path: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """One picture that could not be indexed.

    Args:
        path: Relative to the indexed folder.
        reason: Why, in a sentence.
    """

    path: str
    reason: str


class Index:
    """Embedded pictures of a folder, searched exactly.

    Pictures are embedded by the Predictor under the model's caption prompt, text queries by the Y-Encoder; a picture
    as query is embedded as the pictures are, so that its score is the cosine of two predictions.

    Make one with `Index.build` or `Index.load`.

    Attributes:
        entries: The indexed pictures, in the order of their paths.
        skipped: After `build`: the pictures that could not be read.

    Example:
        >>> model = VLJEPA.from_pretrained("mini")  # doctest: +SKIP
        >>> processor = VLJEPAProcessor.from_pretrained("mini")  # doctest: +SKIP
        >>> index = Index.build(model, processor, "pictures")  # doctest: +SKIP
        >>> index.save("pictures.index")  # doctest: +SKIP
        >>> index.search("a red fish", k=5)  # doctest: +SKIP
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        header: IndexHeader,
        entries: Sequence[Entry],
        rows: Rows,
        skipped: Sequence[Skipped] = (),
    ) -> None:
        self._embedder = embedder
        self._header = header
        self._rows = rows
        self.entries = list(entries)
        self.skipped = list(skipped)

    @classmethod
    def build(
        cls,
        model: VLJEPA,
        processor: VLJEPAProcessor,
        folder: str | Path,
        *,
        progress: Progress | None = None,
    ) -> Self:
        """Embed every picture in `folder` and below it. Broken ones are left out and listed in `skipped`.

        Args:
            model: A finished model.
            processor: The processor that belongs to it.
            folder: Folder of pictures.
            progress: Called with the number of pictures done since the last call.

        Raises:
            DataError: No such folder, or no readable picture in it.
        """
        folder = Path(folder)
        files = walk(folder)
        skipped: list[Skipped] = []

        def skip(picture: Picture, error: ImageError) -> None:
            skipped.append(Skipped(path=Path(str(picture)).relative_to(folder).as_posix(), reason=error.message))

        embedder = Embedder(model, processor)
        entries: list[Entry] = []
        rows: list[Rows] = []
        for kept, embedded in embedder.batches(files, progress=progress, on_broken=skip):
            entries += [_entry(Path(str(picture)), folder) for picture in kept]
            rows.append(embedded)
        if not entries:
            raise DataError(
                f"none of the {len(files)} pictures in {str(folder)!r} can be read; the first: {skipped[0].reason}",
                fix="check that the files are pictures.",
            )
        header = IndexHeader(
            model=_describe(model),
            fingerprint=model.fingerprint(),
            text_space=model.text_space_hash(),
            folder=str(folder.resolve()),
        )
        return cls(embedder, header=header, entries=entries, rows=np.concatenate(rows), skipped=skipped)

    @classmethod
    def load(cls, model: VLJEPA, processor: VLJEPAProcessor, file: str | Path) -> Self:
        """Load an index for the model that made it.

        Args:
            model: The model that made it; its calibration may differ.
            processor: The processor that belongs to it.
            file: As written by `save`.

        Raises:
            DataError: Not a sound index file.
            TextSpaceError: It was made by another model, or in another text space than the model's.
        """
        file = Path(file)
        header, entries, rows = read_index(file)
        if header.text_space != model.text_space_hash() or rows.shape[1] != model.config.embed_dim:
            raise TextSpaceError(
                f"{str(file)!r} was made by another model ({header.model}, text space {header.text_space}) than this "
                f"one ({_describe(model)}, text space {model.text_space_hash()}).",
                fix="search it with the model that made it, or make it again with this one.",
            )
        if header.fingerprint != model.fingerprint():
            raise TextSpaceError(
                f"{str(file)!r} was made by another model ({header.fingerprint}) than this one "
                f"({model.fingerprint()}) in the same text space; its scores would be wrong.",
                fix="build the index again with `vljepa index`, or search it with the model that made it.",
            )
        return cls(Embedder(model, processor), header=header, entries=entries, rows=rows)

    def save(self, file: str | Path) -> None:
        """Write the index into one file, whole or not at all.

        Raises:
            DataError: The place cannot be written, or a file that is no index is there.
        """
        write_index(Path(file), header=self._header, entries=self.entries, rows=self._rows)

    @property
    def folder(self) -> Path:
        """The folder that was indexed, where it was then."""
        return Path(self._header.folder)

    def __len__(self) -> int:
        return len(self.entries)

    def search(self, query: str | Path | Image.Image, *, k: int = 10) -> list[Hit]:
        """The `k` nearest pictures, best first; equal scores in the order of paths.

        Args:
            query: A text (`str`), or a picture (`Path` or PIL image).
            k: How many; all, when there are fewer.

        Raises:
            ConfigError: An empty text, or k below 1.
            ImageError: The picture cannot be read.
        """
        if k < 1:
            raise ConfigError(f"k is {k}.", fix="ask for at least 1 picture.")
        if isinstance(query, str):
            if not query.strip():
                raise ConfigError("the query is empty.", fix='say what to look for, such as "a red fish".')
            row = self._embedder.texts([query])[0]
        else:
            row = self._embedder.images([query])[0]
        scores = self._rows @ row
        best = np.argsort(-scores, kind="stable")[:k]
        return [Hit(path=self.entries[i].path, score=float(scores[i])) for i in best]


def _entry(picture: Path, folder: Path) -> Entry:
    path = picture.relative_to(folder).as_posix()
    try:
        status = picture.stat()
    except OSError:  # removed since it was read; that must not cost the whole index
        return Entry(path=path, size=0, mtime=0.0)
    return Entry(path=path, size=status.st_size, mtime=status.st_mtime)


def _describe(model: VLJEPA) -> str:
    config = model.config
    return f"{config.x_encoder.part}, {config.predictor.part}, {config.y_encoder.part}"
