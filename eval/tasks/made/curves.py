"""Curves of quality against decodes per second, and what they save against uniform decoding.

Every saving is against uniform decoding's own first crossing of its quality at 1 Hz: like for like with the same
readout (exact with exact, mean with mean), and the mixed number (mean against exact) beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from eval.tasks.made import methods
from eval.tasks.made.methods import Decodes, Watched
from eval.tasks.made.scoring import PROTOCOLS, Scorer
from eval.tasks.made.streams import FPS
from vljepa.configs import SelectiveConfig
from vljepa.metrics.selective import REFERENCE_RATE, Curve, cider_at, saving

UNIFORM, UNIFORM_MEAN = "uniform, exact", "uniform, mean"
Curves = dict[str, Curve]
OFFLINE: dict[str, Callable[..., Decodes]] = {
    f"{name}, {readout}": partial(method, readout=readout)
    for readout in ("exact", "mean")
    for name, method in (
        ("uniform", methods.uniform),
        ("adaptive", methods.adaptive),
        ("oracle", methods.oracle),
        ("pixel difference", methods.pixel_difference),
    )
} | {"random times": methods.random_times}
"""Every method that is given a rate, by the name that tables give it."""


def like_for_like(method: str) -> str:
    """Uniform decoding with the readout of a method."""
    return UNIFORM_MEAN if method.endswith(", mean") else UNIFORM


def rate_curves(
    streams: Sequence[Watched],
    scorer: Scorer,
    name: str,
    rates: Sequence[float],
    *,
    protocols: Sequence[str] = PROTOCOLS,
) -> Curves:
    """Curves of a method of `OFFLINE`, which is given how many decodes per second there are to be."""
    points = [[OFFLINE[name](one, rate=rate) for one in streams] for rate in sorted(rates)]
    return score_points(points, streams, scorer, protocols=protocols)


def online_curves(streams: Sequence[Watched], scorer: Scorer, name: str, plan: dict[str, Any]) -> Curves:
    """Curves of an online score over its thresholds, the highest first."""
    points = []
    for threshold in sorted(plan["thresholds"], reverse=True):
        config = SelectiveConfig.model_validate(
            {"method": name, "window": plan["window"], "threshold": threshold, "fps": FPS, "readout": "mean"}
        )
        points.append([methods.online(one, config=config) for one in streams])
    return score_points(points, streams, scorer)


def score_points(
    points: Sequence[Sequence[Decodes]],
    streams: Sequence[Watched],
    scorer: Scorer,
    *,
    protocols: Sequence[str] = PROTOCOLS,
) -> Curves:
    """Decode and score operating points, each of one `Decodes` per stream."""
    scorer.prepare([one for point in points for one in point])
    pairs = [list(zip(streams, point, strict=True)) for point in points]
    rates = np.array([[len(one.times) * FPS / len(seen.rows) for seen, one in pair] for pair in pairs])
    return {
        name: Curve(rates, np.array([[scorer.score(*each, protocol=name) for each in pair] for pair in pairs]))
        for name in protocols
    }


def summary(curves: dict[str, Curves], protocols: Sequence[str], *, seeds: int) -> dict[str, Any]:
    """Quality of uniform decoding at 1 Hz, curves, and savings like for like and mixed."""

    def against(uniform: str, name: str) -> dict[str, Any]:
        return {one: saving(curves[name][one], uniform=curves[uniform][one]) for one in protocols}

    return {
        "uniform_1hz": {
            name: {one: cider_at(curves[name][one], REFERENCE_RATE) for one in protocols}
            for name in (UNIFORM, UNIFORM_MEAN)
        },
        "curves": {
            name: {one: points(several[one], seeds=seeds) for one in protocols} for name, several in curves.items()
        },
        "savings": {name: against(like_for_like(name), name) for name in curves},
        "savings_mixed": {name: against(UNIFORM, name) for name in curves if like_for_like(name) != UNIFORM},
    }


def points(curve: Curve, *, seeds: int = 1) -> list[dict[str, float]]:
    """Operating points: means over streams, and the standard deviation of the seeds' means."""
    by_seed = curve.cider.reshape(len(curve.cider), seeds, -1).mean(2)
    deviations = by_seed.std(axis=1, ddof=1) if seeds > 1 else np.zeros(len(by_seed))
    columns = zip(curve.rates.mean(1), curve.cider.mean(1), deviations, strict=True)
    return [
        {"rate": float(rate), "cider": float(cider), "seed_std": float(deviation)} for rate, cider, deviation in columns
    ]
