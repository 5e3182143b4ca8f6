"""The order of samples: every batch is a pure function of (seed, step), so a restart at any step goes on exactly."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vljepa.errors import ConfigError


class Draw(NamedTuple):
    """One sample of a batch.

    Args:
        source: Position of the source.
        row: Row within the source; of one with an order of its own, the position in that.
        epoch: How often the source has been gone through before; 0 where that is its own business.
    """

    source: int
    row: int
    epoch: int


class StepSampler:
    """Mixes sources by fixed quotas; each source is gone through in a new order per epoch, every row once.

    Args:
        sizes: Rows per source; None for one that has its own endless order.
        weights: Share of each source, relative to the others.
        names: Names of the sources, for errors.
        batch_size: Samples per step.
        seed: Of the orders.

    Raises:
        ConfigError: A source would get no sample at this batch size.

    Example:
        >>> sampler = StepSampler([10, 4], weights=[3.0, 1.0], names=["a", "b"], batch_size=4, seed=0)
        >>> sampler.quotas
        (3, 1)
        >>> sampler.batch(7) == sampler.batch(7)
        True
    """

    def __init__(
        self, sizes: Sequence[int | None], *, weights: Sequence[float], names: Sequence[str], batch_size: int, seed: int
    ) -> None:
        assert len(sizes) == len(weights) == len(names) > 0
        self.sizes = tuple(sizes)
        self.seed = seed
        self.quotas = _quotas(weights, batch_size)
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}  # of the epoch at hand of each source, no more
        for name, size, quota in zip(names, sizes, self.quotas, strict=True):
            if quota == 0 or size == 0:
                what = "has no readable rows" if size == 0 else f"gets no sample in a batch of {batch_size}"
                raise ConfigError(
                    f"the source {name!r} {what}.",
                    fix="remove the source." if size == 0 else "raise its weight or train.batch_size.",
                )

    def batch(self, step: int) -> list[Draw]:
        """Samples of one step, source after source."""
        draws: list[Draw] = []
        for source, (size, quota) in enumerate(zip(self.sizes, self.quotas, strict=True)):
            for position in range(step * quota, (step + 1) * quota):
                if size is None:
                    draws.append(Draw(source, position, 0))
                    continue
                epoch, place = divmod(position, size)
                draws.append(Draw(source, int(self._order(source, epoch, size)[place]), epoch))
        return draws

    def _order(self, source: int, epoch: int, size: int) -> NDArray[np.int64]:
        """Order of a source in the epoch that it is in: those of all others can be had again."""
        if self._orders.get(source, (-1,))[0] != epoch:
            self._orders[source] = epoch, row_order(self.seed, source, epoch, size)
        return self._orders[source][1]


def choose(count: int, *, seed: int, draw: Draw, purpose: str) -> int:
    """Pick one of `count` things for a sample: a pure function of (seed, draw, purpose).

    Args:
        count: How many there are to pick from.
        seed: The run's seed.
        draw: The sample, with its epoch, so that each visit picks anew.
        purpose: What is picked, such as "view" or "text", so that picks are independent of each other.
    """
    packed = struct.pack("<4q", seed, *draw) + purpose.encode()
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little") % count


def _quotas(weights: Sequence[float], batch_size: int) -> tuple[int, ...]:
    """Split the batch by weight, largest remainder first; equal remainders go to the earlier source."""
    shares = [batch_size * weight / sum(weights) for weight in weights]
    quotas = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda source: quotas[source] - shares[source])
    for source in by_remainder[: batch_size - sum(quotas)]:
        quotas[source] += 1
    return tuple(quotas)


def row_order(seed: int, source: int, epoch: int, size: int) -> NDArray[np.int64]:
    """Order of the rows 0 to `size` - 1 of a source in one epoch, a pure function of all four; made anew each time."""
    return np.random.Generator(np.random.Philox([seed, source, epoch])).permutation(size)
