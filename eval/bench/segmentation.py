"""Time of chain-connected Ward, ours against scikit-learn's, in one run: ``python -m eval.bench.segmentation``.

Processor seconds, medians, on seeded random walks through shots. Writes JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from eval.command import say
from eval.mini import provenance
from vljepa.inference.segmentation import ward_chain


def main() -> None:
    """Measure, and write."""
    parser = argparse.ArgumentParser(prog="python -m eval.bench.segmentation", description=__doc__)
    parser.add_argument("--rows", type=int, default=7200)
    parser.add_argument("--width", type=int, default=1536)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, default=Path("eval/results/segmentation.json"))
    given = parser.parse_args()
    random = np.random.default_rng(0)
    shots = np.repeat(random.normal(size=(given.rows // 16 + 1, given.width)), 16, axis=0)[: given.rows]
    rows = (shots + random.normal(size=shots.shape)).astype(np.float32)
    ours, theirs = [], []
    for _ in range(given.repeats):  # in turns, so that what else the machine does hits both
        ours.append(_seconds(lambda: ward_chain(rows)))
        theirs.append(_seconds(lambda: scikit_learn(rows, count=len(rows) // 16)))
    result: dict[str, Any] = {
        "task": "chain-connected Ward, whole dendrogram, CPU",
        **provenance.origin("eval.bench.segmentation"),
        "protocol": f"processor seconds, medians of {given.repeats} in turns; seed 0; scikit-learn for T / 16 segments",
        "rows": given.rows,
        "width": given.width,
        "ours_s": statistics.median(ours),
        "scikit_learn_s": statistics.median(theirs),
        "ratio": statistics.median(ours) / statistics.median(theirs),
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    say(f"ours {result['ours_s']:.2f} s, scikit-learn {result['scikit_learn_s']:.2f} s, ratio {result['ratio']:.2f}")
    say(f"written: {given.output}")


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


if __name__ == "__main__":
    main()
