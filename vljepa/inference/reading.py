"""Images in batches of bounded memory, the next of which is read while the model works on this one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import torch

from vljepa.errors import ImageError
from vljepa.processing.processor import ImageInput

Progress: TypeAlias = Callable[[int], None]
OnBroken: TypeAlias = Callable[[ImageInput, ImageError], None]
Read: TypeAlias = Callable[[ImageInput], torch.Tensor]
_READERS = min(8, os.cpu_count() or 1)


def read_ahead(
    read: Read, images: Sequence[ImageInput], *, size: int, on_broken: OnBroken | None
) -> Iterator[tuple[int, list[ImageInput], list[torch.Tensor]]]:
    """For every batch: how many images it had, those that could be read, and their pixels [1, T, C, H, W].

    Args:
        read: Pixels of an image.
        images: Files, PIL images, arrays and so on.
        size: Of a batch.
        on_broken: Called for an image that cannot be read, which is then left out; without it, that is an error.

    Raises:
        ImageError: An image cannot be read and there is no `on_broken`.
    """
    chunks = [images[start : start + size] for start in range(0, len(images), size)]
    with ThreadPoolExecutor(_READERS) as pool:
        waiting = [pool.submit(read, image) for image in chunks[0]] if chunks else []
        for number, chunk in enumerate(chunks, start=1):
            following = chunks[number] if number < len(chunks) else []
            jobs, waiting = waiting, [pool.submit(read, image) for image in following]
            kept, pixels = _collect(chunk, jobs, on_broken)
            yield len(chunk), kept, pixels


def _collect(
    images: Sequence[ImageInput], jobs: list[Future[torch.Tensor]], on_broken: OnBroken | None
) -> tuple[list[ImageInput], list[torch.Tensor]]:
    """Images that could be read, and their [1, T, C, H, W] pixels."""
    kept: list[ImageInput] = []
    pixels: list[torch.Tensor] = []
    for image, job in zip(images, jobs, strict=True):
        try:
            pixels.append(job.result())
        except ImageError as error:
            if on_broken is None:
                raise
            on_broken(image, error)
        else:
            kept.append(image)
    return kept, pixels
