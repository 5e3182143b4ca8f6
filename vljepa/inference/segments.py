"""Segments of a video: stretches of one meaning, each with one embedding, found by clustering its frames in time.

The frames are embedded as images are, and cut by Ward clustering in time (`segmentation`). Shapes: T frames, D width
of the shared space.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import SelectiveConfig
from vljepa.configs.loading import validate
from vljepa.errors import VideoError
from vljepa.inference.embed import Embedder, Rows
from vljepa.inference.frame_reader import Ended, FrameReaders, Read
from vljepa.inference.frame_sources import GivenFrames
from vljepa.inference.selective import SelectiveDecoder
from vljepa.processing.file_errors import as_file_error
from vljepa.processing.video import read_frames

_Look: TypeAlias = Read[torch.Tensor]
"""A frame with its pixels [1, 1, C, H, W]."""


PIECE = 512
"""Frames that are kept together: a multiple of every batch size, so that a video that is continued has equal rows."""


@dataclass(frozen=True, kw_only=True)
class KeptFrames:
    """Some frames of a video, embedded.

    Args:
        rows_TD: Unit length.
        times_T: Seconds.
        digest: Hash of the pixels of the last one.
    """

    rows_TD: Rows
    times_T: NDArray[np.float64]
    digest: bytes


class FramePieces(Protocol):
    """Keeps pieces of one video's frames."""

    def load(self) -> list[KeptFrames]:
        """All pieces from the first on, in order, without a gap."""
        ...

    def keep(self, number: int, frames: KeptFrames) -> None:
        """Keep piece `number`."""
        ...

    def forget(self) -> None:
        """Remove all pieces."""
        ...


@dataclass(frozen=True, kw_only=True)
class VideoSegment:
    """A stretch of a video.

    Args:
        start: Seconds, inclusive.
        end: Seconds, exclusive.
        time: Seconds; of the frame whose embedding is nearest to the segment's.
        row_D: Mean of the embeddings of its frames, at unit length.
    """

    start: float
    end: float
    time: float
    row_D: Rows


def segment_settings(model: VLJEPA, *, threshold: float | None = None) -> SelectiveConfig:
    """How a model's videos are cut: as its Y-Decoder's validation chose, with the mean as what is kept.

    Args:
        model: A finished model; one without a Y-Decoder has the defaults of `SelectiveConfig`, which nothing chose.
        threshold: Instead of `offline_threshold`: the Ward distance above which neighbouring segments stay apart.

    Raises:
        ConfigError: `threshold` is below 0 or not a number.
    """
    chosen = SelectiveConfig() if model.y_decoder is None else model.y_decoder.config.selective
    asked = {} if threshold is None else {"offline_threshold": threshold}
    return validate(SelectiveConfig, {**chosen.model_dump(), "readout": "mean", **asked}, where="index")


def read_segments(
    path: str | Path, embedder: Embedder, *, config: SelectiveConfig, parts: FramePieces | None = None
) -> tuple[list[VideoSegment], VideoError | None]:
    """Segments of a video file, an animation, or a folder of frames.

    The next frames are read while the model works on these. Holds T x D floats, and a few batches of frames at the
    size that the model looks at.

    Args:
        path: As for `read_frames`.
        embedder: Model and processor; frames are embedded under the model's caption prompt.
        config: From `segment_settings`.
        parts: Where pieces of 512 frames are kept as soon as they are embedded, and from where a video is gone on with;
            what comes out is the same. Damage of the pieces that were there already is not reported again.

    Returns:
        The segments of what could be read, in the order of time, disjoint, and what went wrong, where something did.
    """
    found = _Frames(path, embedder, fps=config.fps, parts=parts)
    try:
        failure = found.read()
    except _OtherVideoError:
        assert parts is not None
        parts.forget()
        found = _Frames(path, embedder, fps=config.fps, parts=parts)
        failure = found.read()
    if not found.rows:
        return [], failure
    return cut_segments(np.concatenate(found.rows), np.array(found.times), config=config), failure


class _OtherVideoError(Exception):
    """What was kept is not of this video, or its frames cannot be found again from the middle."""


class _Frames:
    """Rows and times of the frames of a video, some of which may be known already."""

    def __init__(self, path: str | Path, embedder: Embedder, *, fps: float, parts: FramePieces | None) -> None:
        self._path, self._embedder, self._fps, self._parts = path, embedder, fps, parts
        known = parts.load() if parts is not None else []
        self._kept = self._loose = len(known)
        self._digest = known[-1].digest if known else None
        self.rows: list[Rows] = [one.rows_TD for one in known]
        self.times: list[float] = [time for one in known for time in one.times_T.tolist()]

    def read(self) -> VideoError | None:
        """Read and embed the frames that are not known.

        Raises:
            _OtherVideoError: The last one that is known looks otherwise now.
        """
        processor, size = self._embedder.processor, self._embedder.batch_size
        limit = processor.config.x_encoder.image.max_pixels
        start = self.times[-1] if self.times else 0.0  # of the last one that is known, to see whether it is the same
        readers = FrameReaders(
            [GivenFrames(read_frames(self._path, fps=self._fps, start=start, max_pixels=limit))],
            prepare=lambda frame: processor.images([frame.image]),
            batch=size,
        )
        batches = _full_batches(readers, size=size, name=self._path, known=self._digest)
        with readers, closing(batches):
            try:
                for batch in batches:
                    self.rows.append(self._embedder.pixels([look.item for look in batch]))
                    self.times += [round(look.time * self._fps) / self._fps for look in batch]
                    self._keep(_digest(batch[-1].item))
            except VideoError as error:
                return error
        return None

    def _keep(self, digest: bytes) -> None:
        """Keep a piece when it is full, up to the first gap: what comes after one depends on all that is before it."""
        first, last = self._kept * PIECE, len(self.times)
        if self._parts is None or last - first < PIECE or round(self.times[-1] * self._fps) != last - 1:
            return
        if last % PIECE == 0:
            rows, times = np.concatenate(self.rows[self._loose :]), np.array(self.times[first:last])
            self._parts.keep(self._kept, KeptFrames(rows_TD=rows, times_T=times, digest=digest))
            self._kept, self._loose = self._kept + 1, len(self.rows)


def cut_segments(
    rows_TD: Rows, times_T: Sequence[float] | NDArray[np.floating], *, config: SelectiveConfig
) -> list[VideoSegment]:
    """Segments of embedded frames.

    Args:
        rows_TD: Embeddings, unit length.
        times_T: Their times in seconds, ascending.
        config: From `segment_settings`.
    """
    times = np.asarray(times_T, dtype=np.float64)
    segments = []
    for found in SelectiveDecoder(config=config).offline(rows_TD, times):
        first, last = np.searchsorted(times, [found.start, found.end])
        best = first + int((rows_TD[first:last] @ found.embedding).argmax())
        segments.append(VideoSegment(start=found.start, end=found.end, time=float(times[best]), row_D=found.embedding))
    return segments


def _full_batches(
    readers: FrameReaders[torch.Tensor], *, size: int, name: str | Path, known: bytes | None
) -> Generator[list[_Look], None, None]:
    """Batches of equal size but for the last, so that equal files have equal rows, however quickly they were read.

    Args:
        readers: Of one source.
        size: Of a batch.
        name: Of the source.
        known: Digest that the first frame has to have, which is then left out.

    Raises:
        VideoError: Of the source, after all that was read.
        _OtherVideoError: The first frame is another one.
    """
    held: list[_Look] = []
    failure: Exception | None = None
    for part in readers:
        for _, thing in part:
            if isinstance(thing, Read):
                if known is None:
                    held.append(thing)
                elif _digest(thing.item) != known:
                    raise _OtherVideoError
                known = None
            elif isinstance(thing, Ended):
                failure = thing.error and as_file_error(thing.error, name, VideoError)
        while len(held) >= size:
            yield held[:size]
            held = held[size:]
    if known is not None:
        raise failure or _OtherVideoError
    if held:
        yield held
    if failure is not None:
        raise failure


def _digest(pixels: torch.Tensor) -> bytes:
    return blake2b(pixels.contiguous().numpy().tobytes(), digest_size=16).digest()
