"""Images and frames to the pixels that an X-Encoder wants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vljepa.configs import ImageConfig
from vljepa.processing.given import ImageInput, as_rgb
from vljepa.processing.image import ImageTransform


class FrameProcessor:
    """Opens images and makes them what an encoder sees.

    Args:
        config: Of the encoder's preprocessing; nothing may be left open.
    """

    def __init__(self, config: ImageConfig) -> None:
        self.max_pixels = config.max_pixels
        self.transform = ImageTransform(config)

    def images(self, images: Sequence[ImageInput]) -> Tensor:
        """Images as clips of one frame, [B, 1, C, H, W]."""
        # In NumPy: torch would start threads of its own in every thread that reads images.
        pixels_BCHW = np.stack([self.transform(self._open(image)).numpy() for image in images])
        return torch.from_numpy(pixels_BCHW).unsqueeze(1)

    def image_view(self, image: ImageInput, *, seed: int, min_scale: float, flip: bool) -> Tensor:
        """Augmented view of one image, [1, C, H, W]; a pure function of image and seed."""
        return self.transform.view(self._open(image), seed=seed, min_scale=min_scale, flip=flip).unsqueeze(0)

    def frames(self, images: Sequence[ImageInput]) -> Tensor:
        """Frames of one clip, [T, C, H, W]."""
        return self.images(images)[:, 0]

    def frames_view(self, images: Sequence[ImageInput], *, seed: int, min_scale: float, flip: bool) -> Tensor:
        """Augmented view of one clip, [T, C, H, W]: every frame cut and mirrored alike."""
        views = [self.image_view(image, seed=seed, min_scale=min_scale, flip=flip) for image in images]
        return torch.cat(views)

    def _open(self, image: ImageInput) -> Image.Image:
        return as_rgb(image, max_pixels=self.max_pixels)
