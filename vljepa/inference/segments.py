"""Segments of a video: stretches of one meaning, each with one embedding, found by clustering its frames in time.

The frames are embedded as images are, and cut by Ward clustering in time (`segmentation`). Shapes: T frames, D width
of the shared space.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

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
    path: str | Path, embedder: Embedder, *, config: SelectiveConfig
) -> tuple[list[VideoSegment], VideoError | None]:
    """Segments of a video file, an animation, or a folder of frames.

    The next frames are read while the model works on these. Holds T x D floats, and a few batches of frames at the
    size that the model looks at.

    Args:
        path: As for `read_frames`.
        embedder: Model and processor; frames are embedded under the model's caption prompt.
        config: From `segment_settings`.

    Returns:
        The segments of what could be read, in the order of time, disjoint, and what went wrong, where something did.
    """
    limit = embedder.processor.config.x_encoder.image.max_pixels
    rows: list[Rows] = []
    times: list[float] = []
    failure: VideoError | None = None
    frames = read_frames(path, fps=config.fps, max_pixels=limit)
    readers = FrameReaders(
        [GivenFrames(frames)],
        prepare=lambda frame: embedder.processor.images([frame.image]),
        batch=embedder.batch_size,
    )
    with readers, closing(_full_batches(readers, size=embedder.batch_size, name=path)) as batches:
        try:
            for batch in batches:
                rows.append(embedder.pixels([look.item for look in batch]))
                times += [look.time for look in batch]
        except VideoError as error:
            failure = error
    if not rows:
        return [], failure
    return cut_segments(np.concatenate(rows), np.array(times), config=config), failure


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
    readers: FrameReaders[torch.Tensor], *, size: int, name: str | Path
) -> Generator[list[_Look], None, None]:
    """Batches of equal size but for the last, so that equal files have equal rows, however quickly they were read.

    Raises:
        VideoError: Of the source, after all that was read.
    """
    held: list[_Look] = []
    failure: Exception | None = None
    for part in readers:
        for _, thing in part:
            if isinstance(thing, Read):
                held.append(thing)
            elif isinstance(thing, Ended):
                failure = thing.error and as_file_error(thing.error, name, VideoError)
        while len(held) >= size:
            yield held[:size]
            held = held[size:]
    if held:
        yield held
    if failure is not None:
        raise failure
