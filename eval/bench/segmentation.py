"""Time of chain-connected Ward, ours against scikit-learn's, in one run: ``python eval/run.py bench.segmentation``.

Processor seconds, medians, on seeded random walks through shots.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from vljepa.inference.segmentation import ward_chain


def measure(*, rows: int = 7200, width: int = 1536, repeats: int = 5) -> dict[str, Any]:
    """Both in turns, on one stream."""
    random = np.random.default_rng(0)
    shots = np.repeat(random.normal(size=(rows // 16 + 1, width)), 16, axis=0)[:rows]
    stream = (shots + random.normal(size=shots.shape)).astype(np.float32)
    ours, theirs = [], []
    for _ in range(repeats):  # in turns, so that what else the machine does hits both
        ours.append(_seconds(lambda: ward_chain(stream)))
        theirs.append(_seconds(lambda: scikit_learn(stream, count=rows // 16)))
    return {
        "task": "chain-connected Ward, whole dendrogram, CPU",
        "protocol": f"processor seconds, medians of {repeats} in turns; seed 0; scikit-learn for T / 16 segments",
        "rows": rows,
        "width": width,
        "ours_s": statistics.median(ours),
        "scikit_learn_s": statistics.median(theirs),
        "ratio": statistics.median(ours) / statistics.median(theirs),
    }


def scikit_learn(rows: np.ndarray, *, count: int) -> np.ndarray:
    """Labels of scikit-learn's Ward with chain connectivity."""
    from scipy.sparse import diags_array
    from sklearn.cluster import AgglomerativeClustering

    ones = np.ones(len(rows) - 1)
    chain = diags_array([ones, ones], offsets=[1, -1]).tocsr()
    labels: np.ndarray = AgglomerativeClustering(n_clusters=count, connectivity=chain, linkage="ward").fit_predict(rows)
    return labels


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
