"""Images in groups of bounded memory, the next of which are read while the model works on these."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeAlias

import torch

from vljepa.errors import ImageError
from vljepa.processing.processor import ImageInput

Progress: TypeAlias = Callable[[int], None]
OnBroken: TypeAlias = Callable[[ImageInput, ImageError], None]
Read: TypeAlias = Callable[[ImageInput], torch.Tensor]
_READERS = min(8, os.cpu_count() or 1)
GROUP = 64
"""Images to read before the model sets to work, where nobody waits for the first. On a CPU readers and model share the
cores: each is quicker while the other rests, and of many short turns much is lost."""
_GROUP_BYTES = 64 * 2**20
"""Of pixels, at which a group is full: clips are large."""


def read_ahead(
    read: Read, images: Sequence[ImageInput], *, size: int, ahead: int, on_broken: OnBroken | None
) -> Iterator[tuple[int, list[ImageInput], list[torch.Tensor]]]:
    """For every group: how many images it had, those that could be read, and their pixels [1, T, C, H, W].

    Which images make a group depends on them alone and not on the clock, so that embeddings come out the same again.

    Args:
        read: Pixels of an image.
        images: Files, PIL images, arrays and so on.
        size: Of a group, at most; it is full, too, when its pixels take 64 MB.
        ahead: How many are read while the model works on a group.
        on_broken: Called for an image that cannot be read, which is then left out; without it, that is an error.

    Raises:
        ImageError: An image cannot be read and there is no `on_broken`.
    """
    pool, remaining = ThreadPoolExecutor(_READERS), iter(images)
    jobs: deque[tuple[ImageInput, Future[torch.Tensor]]] = deque()

    def fill() -> None:
        jobs.extend((image, pool.submit(read, image)) for image in islice(remaining, ahead - len(jobs)))

    try:
        fill()
        while jobs:
            count, kept, pixels, held = 0, list[ImageInput](), list[torch.Tensor](), 0
            while jobs and count < size and held < _GROUP_BYTES:
                image, job = jobs.popleft()
                fill()
                count += 1
                found = _result(image, job, on_broken)
                if found is not None:
                    kept.append(image)
                    pixels.append(found)
                    held += found.nbytes
            yield count, kept, pixels
    finally:
        pool.shutdown(cancel_futures=True)  # what is being read is read to its end, the others are left


def _result(image: ImageInput, job: Future[torch.Tensor], on_broken: OnBroken | None) -> torch.Tensor | None:
    """Pixels of an image; None where it cannot be read and that is no error."""
    try:
        return job.result()
    except ImageError as error:
        if on_broken is None:
            raise
        on_broken(image, error)
        return None
