"""The end of a program of several processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist


@contextmanager
def leaving_processes() -> Iterator[None]:
    """Take leave of the other processes at the end of a program, whatever that end is.

    Without it gloo's threads may still hold tensors while Python is being taken down, and now and then the process
    aborts after its work is done (https://github.com/pytorch/pytorch/pull/179291). Nothing can be trained afterwards.
    """
    try:
        yield
    finally:
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
