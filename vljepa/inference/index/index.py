"""Search over images and over the segments of videos, by text or by image: exact, or by faiss where there are many."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.data.long_work import long_work
from vljepa.data.processes import process_number
from vljepa.errors import ConfigError, DataError
from vljepa.inference.embed import Embedder, Rows
from vljepa.inference.index import approximate as approximation
from vljepa.inference.index.approximate import ApproximateIndex
from vljepa.inference.index.build import build, finish, help_build, kept_in, known_media
from vljepa.inference.index.engines import Engine, in_this_process
from vljepa.inference.index.exchange import read_rows
from vljepa.inference.index.files import Files, find_files
from vljepa.inference.index.filters import Among
from vljepa.inference.index.finding import find_by
from vljepa.inference.index.hit import Hit, check_limits
from vljepa.inference.index.lock import alone_in
from vljepa.inference.index.manifest import SHARDS, Manifest, check_place, prepare_folder, read_manifest
from vljepa.inference.index.matching import check_can_be_none, match_probabilities
from vljepa.inference.index.nearest import nearest
from vljepa.inference.index.removal import matching, without
from vljepa.inference.index.rows import Shards
from vljepa.inference.index.same_model import check_same_model, header_of
from vljepa.inference.index.shard import write_table
from vljepa.inference.index.units import Skipped
from vljepa.inference.query import Query, Weighted, query_row
from vljepa.inference.reading import Progress
from vljepa.inference.segments import segment_settings
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.processing.video_file import require_pyav

__all__ = ["Among", "Hit", "Index"]


class Index:
    """Embedded images and segments of videos, searched by text or image.

    Images are embedded by the Predictor under the model's caption prompt, text queries by the Y-Encoder; an image
    as query is embedded as the images are, so that its score is the cosine of two predictions. The frames of a video
    are embedded as images are, and become segments: stretches of one meaning, each with the mean of its frames.

    On the disk it is a folder of Arrow files, which are mapped into memory and not loaded. Search looks at every row
    up to 200,000 of them; beyond, faiss finds candidates, whose scores are exact.

    Make one with `Index.build` or `Index.load`.

    Attributes:
        entries: The indexed images and segments; each group of at most some 65,000 by path and time.
        manifest: What belongs to it.
        approximate: What finds candidates; None for exact search.
        place: Its folder on the disk; None for one in memory.
        skipped: After `build`: the files that could not be read, or only in part.
        passed_over: After `build`: the files in its folders that are neither images nor videos.
        unchanged: After `build`: how many files were taken over from earlier indexes as they were.
        moved: After `build`: how many were known under another name or time.
        gone: After `build`: how many files of earlier indexes it no longer has.

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
        manifest: Manifest,
        entries: Shards,
        approximate: ApproximateIndex | None = None,
        place: Path | None = None,
    ) -> None:
        self._embedder = embedder
        self.manifest, self.entries, self.approximate, self.place = manifest, entries, approximate, place
        self.skipped: list[Skipped] = []
        self.passed_over: list[str] = []
        self.unchanged = self.moved = self.gone = 0

    @classmethod
    def build(
        cls,
        model: VLJEPA,
        processor: VLJEPAProcessor,
        paths: str | Path | Sequence[str | Path] | Files,
        *,
        output: str | Path | None = None,
        threshold: float | None = None,
        known: Sequence[Self] = (),
        again: bool = False,
        engine: Engine | None = None,
        approximate: str | None = "auto",
        progress: Progress | None = None,
    ) -> Self:
        """Embed images and videos. What is broken is left out and listed in `skipped`.

        Videos are read one after the other. Without an `output` the rows are in memory, 4 bytes x D each.

        Args:
            model: A finished model.
            processor: The processor that belongs to it.
            paths: Files, folders (with all below them), glob patterns, data files, and indexes, which are taken over
                as they are; or one of these. Animated GIF, WebP, AVIF and PNG are videos. The images in a folder are
                images, also where they are the frames of something. Data files are as for training. Or what
                `find_files` has made of them.
            output: Folder to make the index in. Files that an index there has already, by path, size and time, or
                by content, are not embedded again, and of a build there that was broken off all that was done is
                taken over: after each unit of work (512 images, or a video) it is on the disk. The index that is
                there stays as it is until the new one is complete. None keeps the index in memory, for `save`.
            threshold: Ward distance above which neighbouring segments of a video stay apart: less makes more and
                shorter ones. By default what validation chose for the model's Y-Decoder.
            known: Other earlier indexes of this model whose files need not be embedded again. A file that has changed
                while it was being read will be.
            again: Embed unchanged files of `output`, too.
            engine: What embeds; None for this process.
            approximate: What faiss is to build: `auto` chooses by the number of rows and this machine's memory, and
                builds nothing where faiss is not installed; None is for exact search; `keep` leaves what is there,
                beside which new rows are searched exactly; else in the words of faiss' factory. An index in memory is
                searched exactly.
            progress: Called with the number of files done since the last call.

        Raises:
            ConfigError: `threshold` is below 0, or faiss knows no such `approximate`.
            DataError: No such path, nothing in it that can be read, or the output cannot be written.
            TextSpaceError: One of `known` was made by another model.
            VideoError: There are video files, and PyAV, which reads them, does not load.
        """
        output = None if output is None else Path(output)
        settings, embedder = segment_settings(model, threshold=threshold), Embedder(model, processor)
        engine = engine or in_this_process(embedder, settings, progress=progress)
        segments = f"{settings.fps:g} per second, {settings.offline_threshold:g}"
        if output is not None and process_number():
            with long_work("making the index"):
                help_build(engine, output)
            return cls.load(model, processor, output)
        with ExitStack() as held:
            if output is not None:
                held.enter_context(long_work("making the index"))
                check_place(output)
            if approximate not in (None, "auto", "keep"):
                approximation.check(approximate, model.config.embed_dim)
            if not isinstance(paths, Files):
                paths = find_files(paths, known=None if again or output is None else known_media(output))
            if paths.needs_pyav:
                require_pyav()
            header = header_of(model, folder=str(paths.folder), segments=segments)
            if output is not None:
                prepare_folder(output)
                held.enter_context(alone_in(output))
            built = build(
                header,
                paths,
                engine=engine,
                output=output,
                known=[(one.manifest.header, one.entries) for one in known],
                merged=[read_rows(one) for one in paths.indexes],
                again=again,
                progress=progress,
            )
            index = cls(embedder, manifest=built.manifest, entries=Shards(built.tables), place=output)
            index.skipped, index.passed_over = built.skipped, paths.others
            index.unchanged, index.moved, index.gone = built.unchanged, built.moved, built.gone
            if output is not None:
                index._finish(approximate)
        return index

    @classmethod
    def load(cls, model: VLJEPA, processor: VLJEPAProcessor, folder: str | Path) -> Self:
        """Open an index for the model that made it; its rows are read from the disk when they are needed.

        Args:
            model: The model that made it; its calibration may differ.
            processor: The processor that belongs to it.
            folder: As written by `save` or `build`. Without faiss it is searched exactly.

        Raises:
            DataError: Not a sound index.
            TextSpaceError: It was made by another model, or in another text space than the model's.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        while True:
            check_same_model(repr(str(folder)), manifest.header, header_of(model))
            try:
                return cls._open(Embedder(model, processor), folder, manifest)
            except DataError:
                before, manifest = manifest, read_manifest(folder)
                if manifest == before:
                    raise
                # A build has replaced it while it was being opened.

    @classmethod
    def _open(cls, embedder: Embedder, folder: Path, manifest: Manifest) -> Self:
        entries, about = Shards.open(folder, manifest.shards, width=manifest.header.width), manifest.approximate
        found = approximation.load(about, folder, entries) if about is not None and approximation.installed() else None
        return cls(embedder, manifest=manifest, entries=entries, approximate=found, place=folder)

    def save(self, folder: str | Path) -> None:
        """Write the index into a folder, in place of an index that is there; without what faiss has of it.

        Raises:
            DataError: The place cannot be written, something that is no index is there, or another process is at work
                in it.
        """
        folder = Path(folder)
        prepare_folder(folder)
        with alone_in(folder):
            for name, table in self.entries.tables.items():
                write_table(table, folder / SHARDS / name)
            finish(folder, replace(self.manifest, approximate=None))

    def remove(self, patterns: str | Sequence[str], *, approximate: str | None = "auto") -> int:
        """Take files out; their rows are gone from the disk, too, when this returns.

        The shards that had them are written anew, and what faiss has is built again. A build that was broken off is
        forgotten.

        Args:
            patterns: Names of files and folders, or paths below the index's folder, as of `Among.include`.
            approximate: What faiss builds: `auto` is what it had built; `keep` leaves that, with the removed rows in it
                (without their names, and never found), until the next build; else as of `build`.

        Returns:
            How many files were taken out.

        Raises:
            ConfigError: No pattern, or one that is none.
            DataError: A pattern that matches nothing, or all that the index holds; the place cannot be written, or
                another process has changed it meanwhile or is at work in it.
        """
        gone = matching(self.entries, [patterns] if isinstance(patterns, str) else patterns)
        count = len(self.entries.paths(gone))
        with nullcontext() if self.place is None else alone_in(self.place):
            if self.place is not None and read_manifest(self.place) != self.manifest:
                raise DataError(f"the index {str(self.place)!r} has changed meanwhile.", fix="open it again.")
            tables = without(self.entries, gone, store=kept_in(self.place, width=self.manifest.header.width))
            before, left = self.manifest.approximate, Shards(tables)
            as_before = None if before is None else before.factory
            factory = as_before if approximate == "auto" else approximate
            about, found = None, None
            if self.place is not None:
                about, found = find_by(self._embedder, left, self.place, factory, grow=False)
            manifest = replace(self.manifest, shards=left.counts(), approximate=about)
            if self.place is not None:
                finish(self.place, manifest)
            self.entries, self.approximate, self.manifest = left, found, manifest
        return count

    def _finish(self, factory: str | None) -> None:
        """Build what finds candidates, where there are many rows, and make it all the index; see `find_by`."""
        assert self.place is not None
        about, self.approximate = find_by(self._embedder, self.entries, self.place, factory, grow=True)
        self.manifest = replace(self.manifest, approximate=about)
        finish(self.place, self.manifest)

    @property
    def folder(self) -> Path:
        """The folder that all indexed files are in or below, where it was then."""
        return Path(self.manifest.header.folder)

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
        none: bool = False,
        among: Among | None = None,
    ) -> list[Hit]:
        """The `k` nearest images and segments, best first; equal scores in the order of paths and times.

        Args:
            query: A text (`str`), or an image: a `Path`, a PIL image, an array and so on (see `ImageInput`).
            plus: Texts or images that results are to be like, too; each by itself or with its weight, `("sea", 0.5)`.
            minus: Those that they are not to be like.
            k: How many; all, when there are fewer.
            per_video: At most so many segments of one video; the best ones.
            min_score: Only those whose cosine is at least this; which is enough depends on the model, and differs for
                texts and images.
            none: Leave out what is less likely than not to show what a text says; there is always a nearest one.
            among: Only files that are like this.

        Raises:
            ConfigError: `none` for more than one text, or of a model for which it was not fitted. An empty text or one
                that is not Unicode, neither a text nor an image, a weight that is not above 0, `k` or `per_video` below
                1, or `min_score` not from -1 to 1.
            ImageError: The image cannot be read.
        """
        if none:
            check_can_be_none(self._embedder, query, alone=not plus and not minus)
        row = query_row(self._embedder, query, plus=plus, minus=minus)
        places, scores, count = self._places(row, k=k, per_video=per_video, min_score=min_score, among=among)
        if none and len(places):
            rows_ND = self.entries.rows(places)
            keep = match_probabilities(self._embedder, str(query), rows_ND, scores, count=count) >= 0.5
            places, scores = places[keep], scores[keep]
        return self._hits(places, scores)

    def nearest(
        self,
        row: Rows,
        *,
        k: int = 10,
        per_video: int | None = None,
        min_score: float = -1.0,
        among: Among | None = None,
    ) -> list[Hit]:
        """The same for a query that is embedded already: `row`, [D], of unit length.

        Raises:
            ConfigError: A row of another shape, `k` or `per_video` below 1, or `min_score` not from -1 to 1.
        """
        places, scores, _ = self._places(row, k=k, per_video=per_video, min_score=min_score, among=among)
        return self._hits(places, scores)

    def _places(
        self, row: Rows, *, k: int, per_video: int | None, min_score: float, among: Among | None
    ) -> tuple[NDArray[np.intp], NDArray[np.float32], int]:
        """Places and scores of the nearest rows, and among how many they were looked for."""
        check_limits(k=k, per_video=per_video, min_score=min_score)
        if row.shape != (self.manifest.header.width,):
            raise ConfigError(f"the query has the shape {row.shape}.", fix="give one row as of `Embedder.texts`.")
        mask = among.mask(self.entries) if among else None
        found = nearest(self.entries, self.approximate, row, k=k, per_video=per_video, min_score=min_score, mask=mask)
        return found.places, found.scores, len(self) if mask is None else int(mask.sum())

    def _hits(self, places: NDArray[np.intp], scores: NDArray[np.float32]) -> list[Hit]:
        return [self._hit(place, score) for place, score in zip(places.tolist(), scores.tolist(), strict=True)]

    def _hit(self, place: int, score: float) -> Hit:
        entry = self.entries[place]
        return Hit(path=entry.path, score=score, start=entry.start, end=entry.end, time=entry.time)
