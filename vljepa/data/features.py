"""What the frozen X-Encoder makes of images and clips, computed once and kept on disk.

Images are known by the hash of their content: a file that is renamed or shared between sources costs nothing, one
that is changed is encoded anew; clips, by that of the video, their times and their number of frames. View 0 is the
plain image; view v > 0 is augmented, and of a clip has other frames, with a seed made of (cache seed, content, v).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vljepa.configs import CacheConfig
from vljepa.data.contents import content_of
from vljepa.data.filling import Encoded, fill_together
from vljepa.data.images import ImageBatch, visual_frames
from vljepa.data.long_work import long_work
from vljepa.data.processes import from_all_processes
from vljepa.data.progress import track
from vljepa.data.records import Clip, Still, Visual, frames_of
from vljepa.data.skips import check_skipped
from vljepa.data.store import Row, RowStore
from vljepa.data.workers import ignore_signals
from vljepa.errors import DataError, ImageError, VideoError
from vljepa.models.types import Latents
from vljepa.models.x_encoder import Encodes

if TYPE_CHECKING:
    from vljepa.processing.frames import FrameProcessor

FRAMES_PER_FORWARD = 32


@dataclass(frozen=True, slots=True)
class _Job:
    """One image or clip to encode: the views that the cache lacks.

    Args:
        visual: As it was asked for.
        encoded: What is encoded for it.
        content: Key of that.
        views: Missing views.
    """

    visual: Visual
    encoded: Visual
    content: str
    views: tuple[int, ...]


class FeatureCache:
    """Visual tokens and classifier logits of a frozen X-Encoder, as fp16 rows in a `RowStore`.

    Args:
        config: Folder, and how the augmented views are made.
        fingerprint: `VLJEPA.x_encoder_fingerprint()`: encoder, weights, preprocessing and token pooling.

    Raises:
        DataError: The folder was made with another encoder or other augmentation.
    """

    def __init__(self, config: CacheConfig, *, fingerprint: str) -> None:
        identity = {
            "format": 1,
            "x_encoder": fingerprint,
            "dtype": "float16",
            "seed": config.seed,
            "min_scale": config.min_scale,
            "flip": config.flip,
        }
        self.config = config
        self.contents: dict[Visual, str] = {}
        self._steps: dict[int, int] = {}
        self._joint = False
        self._store = RowStore(Path(config.folder) / "vision", identity=identity)

    def fill(
        self,
        views: Mapping[Visual, int],
        *,
        model: Encodes,
        processor: FrameProcessor,
        workers: int = 0,
        max_skipped: float = 0.01,
    ) -> dict[Visual, str]:
        """Encode what is not there yet; of several processes each its share, and all must call this together.

        Args:
            views: Wanted views per image, the same in all processes.
            model: Its X-Encoder is used, on the device where it is.
            processor: Opens images and makes views.
            workers: Processes that decode images.
            max_skipped: Share of unreadable images that is tolerated.

        Returns:
            Reason per image that could not be read.

        Raises:
            DataError: Too many images are unreadable, or the disk is full.
        """
        self._joint = model.x_encoder.backend.joint_frames
        self._steps |= {frames: model.x_encoder.steps(frames) for frames in {frames_of(visual) for visual in views}}
        with long_work(f"looking through {len(views):,} images"):  # which reads all of them once
            jobs, skipped = self._jobs(views)

        def on_skip(visual: Visual, reason: str) -> None:
            skipped[visual] = reason
            check_skipped(skipped, total=len(views), tolerated=max_skipped)

        check_skipped(skipped, total=len(views), tolerated=max_skipped)

        def encode(some: Sequence[_Job]) -> Iterator[Encoded]:
            for frames in sorted({frames_of(job.encoded) for job in some}):  # rows of one shape to a file
                alike = [job for job in some if frames_of(job.encoded) == frames]
                clips = _clips(alike, processor, self.config, workers=workers, on_skip=on_skip)
                rows = _encode(clips, model, at_once=max(1, FRAMES_PER_FORWARD // frames))
                yield from ((frames, key, row) for key, row in rows)

        def exchange() -> None:
            for others in from_all_processes(dict(skipped)):
                skipped.update(others)

        def is_missing(job: _Job) -> bool:
            return job.visual not in skipped and any(_key(job.content, view) not in self._store for view in job.views)

        fill_together(
            self._store,
            jobs,
            content=lambda job: job.content,
            is_missing=is_missing,
            encode=encode,
            after_round=exchange,
        )
        # The same broken content may stand under several names.
        bad = {self.contents[visual]: reason for visual, reason in skipped.items() if visual in self.contents}
        skipped |= {one: bad[content] for one, content in self.contents.items() if one in views and content in bad}
        check_skipped(skipped, total=len(views), tolerated=max_skipped)
        return skipped

    def _jobs(self, views: Mapping[Visual, int]) -> tuple[list[_Job], dict[Visual, str]]:
        """What the store lacks, one job per content, and the reason for each file that cannot be opened."""
        skipped: dict[Visual, str] = {}
        hashes: dict[Path, str] = {}
        jobs: list[_Job] = []
        for visual, count in views.items():
            try:
                encoded = self._encoded(visual)
                self.contents[visual] = content = content_of(encoded, hashes)
            except ImageError as error:
                skipped[visual] = error.message
                continue
            except OSError as error:
                skipped[visual] = error.strerror or type(error).__name__
                continue
            missing = tuple(view for view in range(count) if _key(content, view) not in self._store)
            jobs += [_Job(visual, encoded, content, missing)] if missing else []
        return _unique(jobs), skipped

    def read(self, images: Sequence[tuple[Visual, int]]) -> ImageBatch:
        """Features of (image, view) pairs, all of which `fill` has seen, in fp32; clips of equally many frames."""
        if not images:
            return ImageBatch(kept=[], skipped={})
        rows = [self._row(visual, view) for visual, view in images]
        latents = Latents(
            _stack(rows, "vision_tokens"),
            _stack(rows, "vision_mask").bool(),
            logits_BK=_stack(rows, "vision_logits") if "vision_logits" in rows[0] else None,
            pooled_BD=_stack(rows, "vision_pooled") if "vision_pooled" in rows[0] else None,
            steps=self._steps[frames_of(images[0][0])],
        )
        return ImageBatch(kept=list(range(len(rows))), skipped={}, latents=latents)

    def logits(self, images: Sequence[Visual]) -> Tensor:
        """Classifier logits [B, K] of plain images alone: their tokens, a hundred times as much, are not read."""
        return _stack([self._row(image, 0) for image in images], "vision_logits")

    def _encoded(self, visual: Visual) -> Visual:
        """What is kept: of a clip backwards the clip, of a still the image; each as it is where frames are joint."""
        if self._joint:
            return visual
        if isinstance(visual, Still):
            return visual.image
        return replace(visual, backwards=False) if isinstance(visual, Clip) and visual.backwards else visual

    def _row(self, visual: Visual, view: int) -> Row:
        row = self._store.row(_key(self.contents[visual], view))
        if self._encoded(visual) == visual:
            return row
        steps, names = self._steps[frames_of(visual)], ("vision_tokens", "vision_mask")
        if isinstance(visual, Still):
            return row | {name: np.concatenate([row[name]] * steps) for name in names}
        return row | {name: _turned(row[name], steps=steps) for name in names}


class _Decoder(torch.utils.data.Dataset[tuple[str, list[tuple[int, Tensor]], str]]):
    """Opens images and clips in loader processes; an unreadable one comes back as its reason."""

    def __init__(self, jobs: list[_Job], processor: FrameProcessor, config: CacheConfig) -> None:
        self.jobs, self.processor, self.config = jobs, processor, config
        self.max_pixels = processor.max_pixels

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: int) -> tuple[str, list[tuple[int, Tensor]], str]:
        job = self.jobs[index]
        try:
            return job.content, list(self._views(job)), ""
        except (ImageError, VideoError) as error:
            return job.content, [], error.message

    def _views(self, job: _Job) -> Iterator[tuple[int, Tensor]]:
        images: list[Image.Image] = []
        for view in job.views:
            packed = hashlib.blake2b(f"{self.config.seed}:{job.content}:{view}".encode(), digest_size=7).digest()
            seed = int.from_bytes(packed, "little") if view > 0 else 0
            if not images or isinstance(job.encoded, Clip):
                images = visual_frames(job.encoded, view=seed, max_pixels=self.max_pixels)
            yield view, self._pixels(images, seed)

    def _pixels(self, images: list[Image.Image], seed: int) -> Tensor:
        if seed == 0:
            return self.processor.frames(images)
        min_scale, flip = self.config.min_scale, self.config.flip
        return self.processor.frames_view(images, seed=seed, min_scale=min_scale, flip=flip)


def _clips(
    jobs: list[_Job],
    processor: FrameProcessor,
    config: CacheConfig,
    *,
    workers: int,
    on_skip: Callable[[Visual, str], None],
) -> Iterator[tuple[str, Tensor]]:
    """Key and pixels of every missing view of every readable image."""
    loader = torch.utils.data.DataLoader(
        _Decoder(jobs, processor, config),
        batch_size=None,
        num_workers=workers,
        generator=torch.Generator(),
        worker_init_fn=ignore_signals,
    )
    decoded = track(loader, what="encoding images", total=len(jobs))
    for (content, views, reason), job in zip(decoded, jobs, strict=True):
        if reason:
            on_skip(job.visual, reason)
        for view, pixels_TCHW in views:
            yield _key(content, view), pixels_TCHW


@torch.no_grad()
def _encode(clips: Iterator[tuple[str, Tensor]], model: Encodes, *, at_once: int) -> Iterator[tuple[str, Row]]:
    device = next(model.x_encoder.parameters()).device
    model.eval()
    while chunk := [clip for _, clip in zip(range(at_once), clips, strict=False)]:
        vision = model.encode_vision(torch.stack([pixels for _, pixels in chunk]).to(device))
        for index, (key, _) in enumerate(chunk):
            row = {
                "vision_tokens": _half(vision.tokens_BND[index], key),
                "vision_mask": vision.mask_BN[index].cpu().numpy().astype(np.uint8),
            }
            for name, values in (("vision_logits", vision.logits_BK), ("vision_pooled", vision.pooled_BD)):
                if values is not None:
                    row[name] = _half(values[index], key)
            yield key, row


def _half(values: Tensor, key: str) -> Any:
    array = values.float().cpu().numpy().astype(np.float16)
    if not np.isfinite(array).all():
        raise DataError(
            f"the X-Encoder's features of image {key} do not fit fp16.", fix="set data.cache=null to do without."
        )
    return array


def _stack(rows: list[Row], name: str) -> Tensor:
    return torch.from_numpy(np.stack([row[name] for row in rows])).float()


def _turned(values: Any, *, steps: int) -> Any:
    """The last step first."""
    return values.reshape(steps, -1, *values.shape[1:])[::-1].reshape(values.shape)


def _unique(jobs: list[_Job]) -> list[_Job]:
    """One job per content; the one with the most views."""
    by_content: dict[str, _Job] = {}
    for job in jobs:
        known = by_content.get(job.content)
        if known is None or len(known.views) < len(job.views):
            by_content[job.content] = job
    return list(by_content.values())


def _key(content: str, view: int) -> str:
    return f"{content}:{view}"
