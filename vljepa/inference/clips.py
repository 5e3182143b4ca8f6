"""Images and clips for the Predictor: an image is a clip of one frame, a video is sampled evenly."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from vljepa.configs import ClipsConfig
from vljepa.errors import ConfigError, ImageError, VideoError
from vljepa.inference.images import media_type, still_or_video
from vljepa.processing.file_errors import naming_file
from vljepa.processing.given import describe
from vljepa.processing.processor import ImageInput, VLJEPAProcessor
from vljepa.processing.video import even_shares, read_clip


@dataclass(frozen=True)
class ReadImage:
    """An image that a `VisualReader` has read already; it stands for the image wherever that reader would read it.

    Args:
        pixels: [1, T, C, H, W].
    """

    pixels: Tensor


class VisualReader:
    """Reads images and, for a model that knows time, clips.

    The content of a file says whether it is a video. To a model without `clips` an animated GIF, WebP, AVIF or PNG is
    its first frame, as any image, and a video is refused: it has learned from single images, and would answer about
    several as if they were one.

    Args:
        processor: Of the model.
        clips: `VLJEPAConfig.clips` of the model.
        frames: Frames of each clip, one of each equal part of it; None for as many as the model was trained with.

    Raises:
        ConfigError: `frames` is given for such a model, or is not from 2 to `clips.max_frames`.
    """

    def __init__(self, processor: VLJEPAProcessor, *, clips: ClipsConfig | None, frames: int | None = None) -> None:
        self.processor = processor
        if frames is not None:
            if clips is None:
                raise ConfigError(f"frames = {frames} is for a model of clips, and this is one of images.", fix=_FIX)
            if not 2 <= frames <= clips.max_frames:
                raise ConfigError(
                    f"frames = {frames} is not from 2 to {clips.max_frames}, the places that the model has in time.",
                    fix=f"leave it out for {clips.frames}.",
                )
        self.frames = frames if frames is not None or clips is None else clips.frames

    def __call__(self, image: ImageInput | ReadImage) -> Tensor:
        """Pixels [1, T, C, H, W] of an image or a video of one frame (T = 1), or of a clip.

        Raises:
            ImageError: Missing, broken or too large; a video that the model cannot take.
        """
        if isinstance(image, ReadImage):
            return image.pixels
        with naming_file(describe(image), ImageError):
            return self._read(image)

    def together(self, images: Sequence[ImageInput]) -> Tensor:
        """Pixels [1, T, C, H, W] of images that make one clip.

        Raises:
            ConfigError: The model has learned from single images.
            ImageError: One is missing, broken or too large.
        """
        if self.frames is None:
            raise ConfigError(f"{len(images)} images as one clip are for a model of clips.", fix=_FIX)
        return self.processor.frames(list(images)).unsqueeze(0)

    def _read(self, image: ImageInput) -> Tensor:
        if not isinstance(image, str | os.PathLike) or not self._is_clip(Path(image)):
            return self.processor.images([image])
        if self.frames is None:
            raise ImageError(f"{str(image)!r} is a video, and this model has learned from images.", fix=_FIX)
        limit = self.processor.config.x_encoder.image.max_pixels
        try:
            frames = read_clip(image, shares=even_shares(self.frames), max_pixels=limit)
        except VideoError as error:
            raise ImageError(error.message, fix=error.fix) from error
        if all(frame is frames[0] for frame in frames):
            return self.processor.images(frames[:1])  # the video is one frame
        return self.processor.frames(frames).unsqueeze(0)

    def _is_clip(self, path: Path) -> bool:
        if not path.is_file():
            return False
        return (still_or_video(path) if self.frames is None else media_type(path)) in ("video", "animation")


_FIX = "use --model mini, train with `clips`, or caption it over time with `vljepa stream`."
