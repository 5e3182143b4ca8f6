"""Exact search over pictures and over the moments of videos, by text or by picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vljepa.configs import SelectiveConfig
from vljepa.errors import ConfigError, DataError, TextSpaceError
from vljepa.inference.embed import Embedder, Progress, Rows
from vljepa.inference.index_file import Entry, IndexHeader, read_index, write_index
from vljepa.inference.media import Media, find_media
from vljepa.inference.moments import moment_settings, read_moments
from vljepa.inference.pictures import SUFFIXES
from vljepa.models.modeling import VLJEPA
from vljepa.processing.processor import Picture, VLJEPAProcessor
from vljepa.processing.video_file import require_pyav


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One search result: a picture, or a moment of a video.

    Args:
        path: Of the file, relative to the index's folder.
        score: Cosine between the query and the picture or moment, from -1 to 1.
        start: Of a moment, in seconds from the start of its video; None for a picture, as the next two.
        end: Of a moment, not included.
        time: Of the moment's best frame.
    """

    path: str
    score: float
    start: float | None = None
    end: float | None = None
    time: float | None = None


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """One file that could not be indexed, or not all of it.

    Args:
        path: Relative to the index's folder.
        reason: Why, in a sentence.
        partly: A damaged video of which the moments that could be read are in the index.
    """

    path: str
    reason: str
    partly: bool = False


class _Skip(Protocol):
    def __call__(self, file: Picture, error: DataError, *, partly: bool = False) -> None: ...


class Index:
    """Embedded pictures and moments of videos, searched exactly.

    Pictures are embedded by the Predictor under the model's caption prompt, text queries by the Y-Encoder; a picture
    as query is embedded as the pictures are, so that its score is the cosine of two predictions. The frames of a video
    are embedded as pictures are, and become moments: stretches of one meaning, each with the mean of its frames.

    Make one with `Index.build` or `Index.load`.

    Attributes:
        entries: The indexed pictures and moments, in the order of their paths and times.
        skipped: After `build`: the files that could not be read, or only in part.

    Example:
        >>> model = VLJEPA.from_pretrained("mini")  # doctest: +SKIP
        >>> processor = VLJEPAProcessor.from_pretrained("mini")  # doctest: +SKIP
        >>> index = Index.build(model, processor, ["pictures", "clip.mp4"])  # doctest: +SKIP
        >>> index.save("my.index")  # doctest: +SKIP
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
        paths: str | Path | Sequence[str | Path],
        *,
        threshold: float | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Embed pictures and videos. What is broken is left out and listed in `skipped`.

        Videos are read one after the other, so that memory does not grow with their number, but for the rows: 4 bytes
        x D for each picture and moment.

        Args:
            model: A finished model.
            processor: The processor that belongs to it.
            paths: Files, folders (with all below them) and glob patterns; or one of these. Animated GIF and WebP are
                videos. The pictures in a folder are pictures, also where they are the frames of something.
            threshold: Ward distance above which neighbouring moments of a video stay apart: less makes more and shorter
                ones. By default what validation chose for the model's Y-Decoder.
            progress: Called with the number of files done since the last call.

        Raises:
            ConfigError: `threshold` is below 0.
            DataError: No such path, or nothing in it that can be read.
            VideoError: There are video files, and PyAV, which reads them, does not load.
        """
        media = find_media(paths)
        if any(video.suffix.lower() not in SUFFIXES for video in media.videos):
            require_pyav()
        settings = moment_settings(model, threshold=threshold)
        embedder = Embedder(model, processor)
        skipped: list[Skipped] = []

        def skip(file: Picture, error: DataError, *, partly: bool = False) -> None:
            skipped.append(Skipped(path=_name(Path(str(file)), media.folder), reason=error.message, partly=partly))

        pictures = _pictures(media, embedder, progress=progress, skip=skip)
        moments = _moments(media, embedder, settings, progress=progress, skip=skip)
        entries: list[Entry] = []
        rows: list[Rows] = []
        for some in (pictures, moments):
            for named, embedded in some:
                entries += named
                rows.append(embedded)
        if not entries:
            raise DataError(
                f"none of the {len(media)} files in {str(media.folder)!r} can be read; the first: {skipped[0].reason}",
                fix="check that they are pictures or videos.",
            )
        order = sorted(range(len(entries)), key=lambda place: entries[place].path)  # moments stay in the order of time
        header = IndexHeader(
            model=_describe(model),
            fingerprint=model.fingerprint(),
            text_space=model.text_space_hash(),
            folder=str(media.folder),
        )
        return cls(
            embedder,
            header=header,
            entries=[entries[place] for place in order],
            rows=np.concatenate(rows)[order],
            skipped=sorted(skipped, key=lambda one: one.path),
        )

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
        """The folder that all indexed files are in or below, where it was then."""
        return Path(self._header.folder)

    def __len__(self) -> int:
        return len(self.entries)

    def search(self, query: str | Path | Image.Image, *, k: int = 10, per_video: int | None = None) -> list[Hit]:
        """The `k` nearest pictures and moments, best first; equal scores in the order of paths and times.

        Args:
            query: A text (`str`), or a picture (`Path` or PIL image).
            k: How many; all, when there are fewer.
            per_video: At most so many moments of one video; the best ones.

        Raises:
            ConfigError: An empty text, or `k` or `per_video` below 1.
            ImageError: The picture cannot be read.
        """
        for name, count in (("k", k), ("per_video", per_video)):
            if count is not None and count < 1:
                raise ConfigError(f"{name} is {count}.", fix="ask for at least 1.")
        if isinstance(query, str):
            if not query.strip():
                raise ConfigError("the query is empty.", fix='say what to look for, such as "a red fish".')
            row = self._embedder.texts([query])[0]
        else:
            row = self._embedder.images([query])[0]
        scores = self._rows @ row
        best = np.argsort(-scores, kind="stable")
        return [self._hit(place, scores) for place in self._chosen(best, k=k, per_video=per_video)]

    def _chosen(self, best: NDArray[np.intp], *, k: int, per_video: int | None) -> list[int]:
        places: list[int] = best.tolist()
        if per_video is None:
            return places[:k]
        chosen: list[int] = []
        seen: Counter[str] = Counter()
        for place in places:
            entry = self.entries[place]
            if entry.start is None or seen[entry.path] < per_video:
                seen[entry.path] += 1
                chosen.append(place)
            if len(chosen) == k:
                break
        return chosen

    def _hit(self, place: int, scores: Rows) -> Hit:
        entry = self.entries[place]
        return Hit(path=entry.path, score=float(scores[place]), start=entry.start, end=entry.end, time=entry.time)


def _pictures(
    media: Media, embedder: Embedder, *, progress: Progress | None, skip: _Skip
) -> Iterator[tuple[list[Entry], Rows]]:
    for kept, embedded in embedder.batches(media.pictures, progress=progress, on_broken=skip):
        yield [_entry(Path(str(picture)), media.folder) for picture in kept], embedded


def _moments(
    media: Media, embedder: Embedder, settings: SelectiveConfig, *, progress: Progress | None, skip: _Skip
) -> Iterator[tuple[list[Entry], Rows]]:
    for video in media.videos:
        moments, failure = read_moments(video, embedder, config=settings)
        if failure is not None:
            skip(video, failure, partly=bool(moments))
        if moments:
            whole = _entry(video, media.folder)
            yield (
                [replace(whole, start=one.start, end=one.end, time=one.time) for one in moments],
                np.stack([one.row_D for one in moments]),
            )
        if progress is not None:
            progress(1)


def _entry(file: Path, folder: Path) -> Entry:
    path = _name(file, folder)
    try:
        status = file.stat()
    except OSError:  # removed since it was read; that must not cost the whole index
        return Entry(path=path, size=0, mtime=0.0)
    return Entry(path=path, size=status.st_size, mtime=status.st_mtime)


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _describe(model: VLJEPA) -> str:
    config = model.config
    return f"{config.x_encoder.part}, {config.predictor.part}, {config.y_encoder.part}"
