"""Exact search over images and over the segments of videos, by text or by image."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.errors import ConfigError, DataError, TextSpaceError
from vljepa.inference.embed import Embedder, Rows
from vljepa.inference.index_file import Entry, IndexHeader, read_index, write_index
from vljepa.inference.indexing import Draft, Skipped
from vljepa.inference.known_files import IndexPart, KnownFiles
from vljepa.inference.media import find_media
from vljepa.inference.query import Query, Weighted, query_row
from vljepa.inference.reading import Progress
from vljepa.inference.segments import segment_settings
from vljepa.processing.image_sequence import is_moving
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.processing.video_file import require_pyav


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One search result: an image, or a segment of a video.

    Args:
        path: Of the file, relative to the index's folder.
        score: Cosine between the query and the image or segment, from -1 to 1.
        start: Of a segment, in seconds from the start of its video; None for an image, as the next two.
        end: Of a segment, not included.
        time: Of the segment's best frame.
    """

    path: str
    score: float
    start: float | None = None
    end: float | None = None
    time: float | None = None


_KEEP_EVERY = 60.0
"""Seconds between two calls of `keep`."""


class Index:
    """Embedded images and segments of videos, searched exactly.

    Images are embedded by the Predictor under the model's caption prompt, text queries by the Y-Encoder; an image
    as query is embedded as the images are, so that its score is the cosine of two predictions. The frames of a video
    are embedded as images are, and become segments: stretches of one meaning, each with the mean of its frames.

    Make one with `Index.build` or `Index.load`.

    Attributes:
        entries: The indexed images and segments, in the order of their paths and times.
        skipped: After `build`: the files that could not be read, or only in part.
        passed_over: After `build`: the files in its folders that are neither images nor videos.
        unchanged: After `build`: how many files were taken over from earlier indexes.
        unfinished: Whether it is one that `keep` was given; its file says so.

    Example:
        >>> model = VLJEPA.from_pretrained("mini")  # doctest: +SKIP
        >>> processor = VLJEPAProcessor.from_pretrained("mini")  # doctest: +SKIP
        >>> index = Index.build(model, processor, ["images", "clip.mp4"])  # doctest: +SKIP
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
        passed_over: Sequence[str] = (),
        unchanged: int = 0,
        unfinished: bool = False,
    ) -> None:
        self._embedder = embedder
        self._header = header
        self._rows = rows
        self.entries = list(entries)
        self.skipped = list(skipped)
        self.passed_over = list(passed_over)
        self.unchanged = unchanged
        self.unfinished = unfinished

    @classmethod
    def build(
        cls,
        model: VLJEPA,
        processor: VLJEPAProcessor,
        paths: str | Path | Sequence[str | Path],
        *,
        threshold: float | None = None,
        known: Sequence[Self] = (),
        keep: Callable[[Self], object] | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Embed images and videos. What is broken is left out and listed in `skipped`.

        Videos are read one after the other, so that memory does not grow with their number, but for the rows: 4 bytes
        x D for each image and segment.

        Args:
            model: A finished model.
            processor: The processor that belongs to it.
            paths: Files, folders (with all below them) and glob patterns; or one of these. Animated GIF, WebP, AVIF
                and PNG are videos. The images in a folder are images, also where they are the frames of something.
            threshold: Ward distance above which neighbouring segments of a video stay apart: less makes more and
                shorter ones. By default what validation chose for the model's Y-Decoder.
            known: Earlier indexes of this model: files whose size and time are as they were are not read again. A file
                that has changed while it was being read will be.
            keep: Called with the index so far about every minute, between two files, and when the build is interrupted:
                one that was saved and is `known` to the next build makes that go on from there. The video that is
                being read then is not in it.
            progress: Called with the number of files done since the last call.

        Raises:
            ConfigError: `threshold` is below 0.
            DataError: No such path, or nothing in it that can be read.
            TextSpaceError: One of `known` was made by another model.
            VideoError: There are video files, and PyAV, which reads them, does not load.
        """
        media = find_media(paths)
        if not all(map(is_moving, media.videos)):
            require_pyav()
        settings = segment_settings(model, threshold=threshold)
        segments = f"{settings.fps:g} per second, {settings.offline_threshold:g}"
        header = _header(model, folder=str(media.folder), segments=segments)
        for one in known:
            _check_same_model("an index of `known`", one._header, header)
        draft = Draft(media, known=KnownFiles([one._part() for one in known], segments=header.segments))
        embedder, kept = Embedder(model, processor), time.monotonic()
        whole = partial(cls, embedder, header=header)
        try:
            for _ in draft.embed(embedder, settings, progress=progress):
                if keep is not None and draft and time.monotonic() - kept > _KEEP_EVERY:
                    keep(whole(**draft.sorted(), unfinished=True))
                    kept = time.monotonic()
        except KeyboardInterrupt:
            if keep is not None and draft:
                keep(whole(**draft.sorted(), unfinished=True))
            raise
        if not draft:
            raise DataError(
                f"none of the {len(media)} files in {str(media.folder)!r} can be read; the first: "
                f"{draft.skipped[0].reason}",
                fix="check that they are images or videos.",
            )
        return whole(**draft.sorted())

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
        _check_same_model(repr(str(file)), header, _header(model))
        if rows.shape[1] != model.config.embed_dim:
            raise DataError(
                f"{str(file)!r} is not a sound index: its rows have {rows.shape[1]} numbers, and those of its model "
                f"have {model.config.embed_dim}.",
                fix="make the index again with `vljepa index PATH -o FILE`.",
            )
        return cls(Embedder(model, processor), header=header, entries=entries, rows=rows)

    def save(self, file: str | Path) -> None:
        """Write the index into one file, whole or not at all.

        Raises:
            DataError: The place cannot be written, or a file that is no index is there.
        """
        write_index(Path(file), header=self._header, entries=self.entries, rows=self._rows, unfinished=self.unfinished)

    def _part(self) -> IndexPart:
        return IndexPart(self._header, self.entries, self._rows)

    @property
    def folder(self) -> Path:
        """The folder that all indexed files are in or below, where it was then."""
        return Path(self._header.folder)

    def __len__(self) -> int:
        return len(self.entries)

    def search(
        self,
        query: Query,
        *,
        plus: Sequence[Weighted] = (),
        minus: Sequence[Weighted] = (),
        k: int = 10,
        per_video: int | None = None,
        min_score: float = -1.0,
        only: Callable[[str], bool] | None = None,
    ) -> list[Hit]:
        """The `k` nearest images and segments, best first; equal scores in the order of paths and times.

        Args:
            query: A text (`str`), or an image: a `Path`, a PIL image, an array and so on (see `ImageInput`).
            plus: Texts or images that results are to be like, too; each by itself or with its weight, `("sea", 0.5)`.
            minus: Those that they are not to be like.
            k: How many; all, when there are fewer.
            per_video: At most so many segments of one video; the best ones.
            min_score: Only those whose cosine is at least this. There is always a nearest one, also when nothing is
                like the query; which cosine is enough depends on the model, and differs for texts and images.
            only: Of the files, by their paths below the index's folder, those for which it is true.

        Raises:
            ConfigError: An empty text or one that is not Unicode, neither a text nor an image, a weight that is not
                above 0, `k` or `per_video` below 1, or `min_score` not from -1 to 1.
            ImageError: The image cannot be read.
        """
        _check_limits(k=k, per_video=per_video, min_score=min_score)
        row = query_row(self._embedder, query, plus=plus, minus=minus)
        return self.nearest(row, k=k, per_video=per_video, min_score=min_score, only=only)

    def nearest(
        self,
        row: Rows,
        *,
        k: int = 10,
        per_video: int | None = None,
        min_score: float = -1.0,
        only: Callable[[str], bool] | None = None,
    ) -> list[Hit]:
        """The same for a query that is embedded already.

        Args:
            row: [D], of unit length.
            k: As for `search`.
            per_video: As for `search`.
            min_score: As for `search`.
            only: As for `search`.

        Raises:
            ConfigError: `k` or `per_video` below 1, or `min_score` not from -1 to 1.
        """
        _check_limits(k=k, per_video=per_video, min_score=min_score)
        scores = self._rows @ row
        best = np.argsort(-scores, kind="stable")
        best = best[scores[best] >= min_score]
        if only is not None:
            best = np.array([place for place in best if only(self.entries[place].path)], dtype=np.intp)
        return [self._hit(place, scores) for place in self._chosen(best, k=k, per_video=per_video)]

    def _chosen(self, best: NDArray[np.intp], *, k: int, per_video: int | None) -> list[int]:
        places: list[int] = best.tolist()
        if per_video is None:
            return places[:k]
        chosen: list[int] = []
        seen: Counter[str] = Counter()
        for place in places:
            path = self.entries[place].path  # of an image there is one row
            if seen[path] < per_video:
                seen[path] += 1
                chosen.append(place)
            if len(chosen) == k:
                break
        return chosen

    def _hit(self, place: int, scores: Rows) -> Hit:
        entry = self.entries[place]
        return Hit(path=entry.path, score=float(scores[place]), start=entry.start, end=entry.end, time=entry.time)


def _check_limits(*, k: int, per_video: int | None, min_score: float) -> None:
    for name, count in (("k", k), ("per_video", per_video)):
        if count is not None and count < 1:
            raise ConfigError(f"{name} is {count}.", fix="ask for at least 1.")
    if not -1 <= min_score <= 1:
        raise ConfigError(f"min_score is {min_score}, and a cosine is from -1 to 1.", fix="give such a number.")


def _header(model: VLJEPA, *, folder: str = "", segments: str = "") -> IndexHeader:
    config = model.config
    return IndexHeader(
        model=f"{config.x_encoder.part}, {config.predictor.part}, {config.y_encoder.part}",
        fingerprint=model.fingerprint(),
        text_space=model.text_space_hash(),
        folder=folder,
        segments=segments,
    )


def _check_same_model(name: str, theirs: IndexHeader, ours: IndexHeader) -> None:
    """Raise TextSpaceError unless an index was made by our model."""
    if theirs.text_space != ours.text_space:
        raise TextSpaceError(
            f"{name} was made by another model ({theirs.model}, text space {theirs.text_space}) than this one "
            f"({ours.model}, text space {ours.text_space}).",
            fix="use the model that made it, or make the index again with this one.",
        )
    if theirs.fingerprint != ours.fingerprint:
        raise TextSpaceError(
            f"{name} was made by another model ({theirs.fingerprint}) than this one ({ours.fingerprint}) in the same "
            "text space; its scores would be wrong.",
            fix="build the index again with `vljepa index`, or use the model that made it.",
        )
