"""Clips of a run by step, with what is hidden of them: pure in (seed, step)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vljepa.configs import ClipView, RunConfig, SourceConfig, StillView, VJEPAConfig
from vljepa.data.collate import Group
from vljepa.data.images import visual_frames
from vljepa.data.records import Record, Visual
from vljepa.data.sampling import StepSampler, choose
from vljepa.data.shards import is_shards
from vljepa.data.sources import load_source
from vljepa.errors import ConfigError, ImageError, VideoError
from vljepa.methods.protocol import Inputs
from vljepa.models.types import Batch
from vljepa.models.video.masks import draw_roles
from vljepa.processing.clip_views import clip_view
from vljepa.processing.image import ImageTransform

_VIEWS = 2**31
"""Every visit to a clip is another view of it."""


class VideoBatches(torch.utils.data.Dataset[list[Group]]):
    """The batches of a run by step: `batches[step]` is a pure function of (seed, step).

    Args:
        sources: Records of each source.
        run: The recipe.
        model: Config of the model.
        shard: Number of this process and of all; each gets its share of the same global batch, masks included.

    Raises:
        ConfigError: A source gets no sample, or there are fewer samples than processes.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[Record]],
        *,
        run: RunConfig,
        model: VJEPAConfig,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        if run.train.batch_size < shard[1]:
            raise ConfigError(
                f"train.batch_size = {run.train.batch_size} is fewer than the {shard[1]} processes.", fix="raise it."
            )
        self.sources, self.model, self.shard = sources, model, shard
        self.seed, self.size = run.train.seed, run.train.batch_size
        self.sampler = StepSampler(
            [len(source) for source in sources],
            weights=[source.weight for source in run.data.train],
            names=[source.name for source in run.data.train],
            batch_size=self.size,
            seed=self.seed,
        )

    def __getitem__(self, step: int) -> list[Group]:
        number, count = self.shard
        rows = range(self.size * number // count, self.size * (number + 1) // count)
        draws = self.sampler.batch(step)
        clips: list[Tensor] = []
        kept: list[int] = []
        skipped: dict[Visual, str] = {}
        for row in rows:
            draw = draws[row]
            visual = self.sources[draw.source][draw.row].image
            assert visual is not None
            try:
                clips.append(self._pixels(visual, choose(_VIEWS, seed=self.seed, draw=draw, purpose="view")))
                kept.append(row)
            except (ImageError, VideoError) as error:
                skipped[visual] = error.message
        if not kept:
            return [Group(Batch(), skipped=skipped)]
        roles_BKN = draw_roles(self.model.masks, grid=self.model.grid, clips=self.size, seed=[self.seed, step])
        return [Group(Batch(pixels_BTCHW=torch.stack(clips), roles_BKN=roles_BKN[kept]), skipped=skipped)]

    def order(self) -> dict[str, Any]:
        """What the samples of a step depend on, as plain data: a resumed run must have it equal."""
        return {"seed": self.seed, "rows": list(self.sampler.sizes), "samples per step": list(self.sampler.quotas)}

    def _pixels(self, visual: Visual, view: int) -> Tensor:
        image = self.model.image
        images = visual_frames(visual, view=view, max_pixels=image.max_pixels)
        return clip_view(filled(images, self.model.frames), image, self.model.views, seed=view)


def plain_clip(visual: Visual, model: VJEPAConfig) -> Tensor:
    """Pixels [T, C, H, W] of a clip as validation and use see it.

    Raises:
        ImageError, VideoError: It cannot be read.
    """
    images = visual_frames(visual, max_pixels=model.image.max_pixels)
    transform = ImageTransform(model.image)
    return torch.stack([transform(one) for one in filled(images, model.frames)])


def filled(images: list[Any], frames: int) -> list[Any]:
    """An image as a clip in which nothing moves; a clip as it is."""
    return images * frames if len(images) == 1 else images


def prepare(run: RunConfig, *, model: VJEPAConfig, shard: tuple[int, int]) -> Inputs:
    """Read all training sources.

    Raises:
        DataError: A source is not usable.
        ConfigError: A source cannot be used by this method, or gets no sample.
    """
    check_sources(run, model)
    sources = [read(source, run) for source in run.data.train]
    batches = VideoBatches(sources, run=run, model=model, shard=shard)
    total = len({record.image for source in sources for record in source})
    return VideoInputs(batches=batches, workers=run.data.workers, images=total)


def read(source: SourceConfig, run: RunConfig) -> list[Record]:
    """Rows of a source; they need no text.

    Raises:
        DataError: It is not usable.
    """
    return load_source(source, root=run.data.root, texts="optional", max_skipped=run.data.max_skipped)


def check_sources(run: RunConfig, model: VJEPAConfig) -> None:
    """Refuse what V-JEPA cannot read.

    Raises:
        ConfigError: A source of texts, of another number of frames, or that is read shard by shard.
    """
    for source in [*run.data.train, *run.data.validation]:
        if source.view.name == "text" or is_shards(source.path):
            raise ConfigError(
                f"the source {source.name!r} is {'of texts' if source.view.name == 'text' else 'read shard by shard'}, "
                "and v_jepa reads clips and images that are there.",
                fix="give it a table or a folder of clips.",
            )
        if isinstance(source.view, ClipView | StillView) and source.frames != model.frames:
            raise ConfigError(
                f"the source {source.name!r} has clips of {source.frames} frames, and the model sees {model.frames}.",
                fix=f"set its `view: {{name: {source.view.name}, frames: {model.frames}}}`, or change model.frames.",
            )


class VideoInputs(Inputs):
    """What a run reads.

    Args:
        images: Different clips and images of the training sources.
    """

    def __init__(self, *, images: int, **given: Any) -> None:
        super().__init__(**given)
        self.images = images

    def tried(self, step: int) -> int:
        """Clips that may have been looked for up to a step, it included."""
        assert isinstance(self.batches, VideoBatches)
        return min(self.images, (step + 1) * self.batches.size)
