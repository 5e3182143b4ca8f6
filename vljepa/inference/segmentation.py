"""Ward clustering of a stream in time: the whole dendrogram at once, and every partition read off it.

Only neighbours in time may merge, so a cluster is a segment. Shapes: T rows, D width of the shared space, K segments.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa.errors import ConfigError, DataError


@dataclass(frozen=True)
class Dendrogram:
    """All merges of T rows, from T segments down to one.

    Args:
        joints: Per merge, in order, the first row of its right-hand segment: the boundary that it takes away, [T-1].
        heights: Per merge, the Ward distance of the two segments, sqrt(2 n m / (n + m)) |mean - mean|, [T-1]. With the
            chain as a constraint a merge can be lower than an earlier one.
    """

    joints: NDArray[np.int64]
    heights: NDArray[np.float64]

    def __len__(self) -> int:
        """Number of rows, T."""
        return len(self.joints) + 1

    def boundaries(self, count: int) -> NDArray[np.int64]:
        """First rows of `count` segments, ascending, the first of them 0.

        Raises:
            DataError: Not between 1 and T segments.
        """
        if not 1 <= count <= len(self):
            raise DataError(f"{len(self)} rows cannot be {count} segments.", fix=f"ask for 1 to {len(self)}.")
        left = self.joints[len(self) - count :]
        return np.concatenate([[0], np.sort(left)])

    def labels(self, count: int) -> NDArray[np.int64]:
        """Segment of each row, 0 to count - 1, in time order, [T]."""
        marks = np.zeros(len(self), dtype=np.int64)
        marks[self.boundaries(count)[1:]] = 1
        return np.cumsum(marks)

    def count_at(self, threshold: float) -> int:
        """Number of segments when merging stops before the first merge that is higher than `threshold`.

        A lower merge after it does not count: partitions are read in merge order, so that they stay nested.

        Raises:
            ConfigError: `threshold` is negative or not a number.
        """
        if not threshold >= 0:
            raise ConfigError(f"no Ward distance is below threshold = {threshold}.", fix="give 0 or more.")
        higher = np.flatnonzero(self.heights > threshold)
        return len(self) - int(higher[0]) if len(higher) else 1


def ward_chain(rows_TD: NDArray[np.floating]) -> Dendrogram:
    """Ward linkage with chain connectivity, by a heap over neighbouring segments: O(T D + T log T) time.

    The same partition as scikit-learn's agglomerative clustering with that linkage and connectivity. Of equally near
    pairs the earliest in time merges first.

    Args:
        rows_TD: A stream's embeddings, at least one.

    Raises:
        DataError: No rows, or one that is not finite.
    """
    if rows_TD.ndim != 2 or len(rows_TD) == 0:
        raise DataError(f"a stream of shape {rows_TD.shape} has no segments.", fix="give rows [T, D], T at least 1.")
    with np.errstate(invalid="ignore"):  # infinities are refused below
        steps_TD = np.subtract(rows_TD[1:], rows_TD[:-1], dtype=np.float64)
    gaps = 0.5 * np.vecdot(steps_TD, steps_TD)
    if not np.isfinite(gaps).all() or not np.isfinite(rows_TD[0]).all():
        raise DataError("an embedding of the stream is not a number.", fix="look for the frame that was encoded to it.")
    total = len(rows_TD)
    # By first row: from the mean of that segment to the mean of the next. Views, taken once, and no more than six calls
    # per merge, for it is the number of calls that takes the time.
    steps = list(steps_TD)
    moved = np.empty(rows_TD.shape[1])
    counts = [1] * total
    after = list(range(1, total + 1))  # first row of the next segment, by first row
    before = list(range(-1, total - 1))
    version = [0] * total  # of the pair of the segment that starts here and the next; other heap entries are stale
    heap = [(gap, place, 0) for place, gap in enumerate(gaps.tolist())]
    heapq.heapify(heap)
    joints: list[int] = []
    heights: list[float] = []
    while len(joints) < total - 1:
        gap, left, seen = heapq.heappop(heap)
        if seen != version[left]:
            continue
        right = after[left]
        joints.append(right)
        heights.append(gap)
        share = counts[right] / (counts[left] + counts[right])  # how far the left mean moves towards the right one
        counts[left] += counts[right]
        version[left] += 1
        version[right] = -1
        previous, following = before[left], after[right]
        after[left] = following
        if previous >= 0:
            step = steps[previous]
            np.add(step, np.multiply(steps[left], share, moved), step)
            version[previous] += 1
            heapq.heappush(heap, (_gap(step, counts[previous], counts[left]), previous, version[previous]))
        if following < total:
            before[following] = left
            step = steps[right]
            np.add(step, np.multiply(steps[left], 1 - share, moved), step)
            steps[left] = step
            heapq.heappush(heap, (_gap(step, counts[left], counts[following]), left, version[left]))
    return Dendrogram(np.array(joints, dtype=np.int64), np.sqrt(2 * np.array(heights, dtype=np.float64)))


def _gap(step_D: NDArray[np.float64], n: int, m: int) -> float:
    """Increase of the inertia when two neighbouring segments merge: n m / (n + m) |mean - mean|^2."""
    return n * m / (n + m) * float(step_D.dot(step_D))
