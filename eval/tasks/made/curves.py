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

UNIFORM = "uniform, exact"
Method = Callable[[Watched, float], Decodes]
Curves = dict[str, Curve]


def offline_methods() -> dict[str, Method]:
    """Every method that is given a rate, by the name that tables give it."""
    found: dict[str, Method] = {}
    for readout in ("exact", "mean"):
        for name, method in (
            ("uniform", methods.uniform),
            ("adaptive", methods.adaptive),
            ("oracle", methods.oracle),
            ("pixel difference", methods.pixel_difference),
        ):
            found[f"{name}, {readout}"] = partial(_at_rate, method, readout)
    found["random times"] = lambda one, rate: methods.random_times(one, rate=rate)
    return found


def _at_rate(method: Callable[..., Decodes], readout: str, one: Watched, rate: float) -> Decodes:
    return method(one, rate=rate, readout=readout)


def like_for_like(method: str) -> str:
    """Uniform decoding with the readout of a method."""
    return "uniform, mean" if method.endswith(", mean") else UNIFORM


def rate_curves(
    streams: Sequence[Watched],
    scorer: Scorer,
    method: Method,
    rates: Sequence[float],
    *,
    protocols: Sequence[str] = tuple(PROTOCOLS),
) -> Curves:
    """Curves of a method that is given how many decodes per second there are to be."""
    points = [[method(one, rate) for one in streams] for rate in sorted(rates)]
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
    protocols: Sequence[str] = tuple(PROTOCOLS),
) -> Curves:
    """Decode and score operating points, each of one `Decodes` per stream."""
    scorer.prepare([one for point in points for one in point])
    pairs = [list(zip(streams, point, strict=True)) for point in points]
    rates = np.array([[len(one.times) * FPS / len(seen.rows) for seen, one in pair] for pair in pairs])
    return {
        name: Curve(
            rates, np.array([[scorer.score(seen.stream, one, protocol=name) for seen, one in pair] for pair in pairs])
        )
        for name in protocols
    }


def summary(curves: dict[str, Curves], protocols: list[str], *, seeds: int) -> dict[str, Any]:
    """Quality of uniform decoding at 1 Hz, curves, and savings like for like and mixed."""

    def against(of: Callable[[str], str], methods: list[str]) -> dict[str, Any]:
        return {
            name: {one: saving(curves[name][one], uniform=curves[of(name)][one]) for one in protocols}
            for name in methods
        }

    mixed = [name for name in curves if like_for_like(name) != UNIFORM]
    return {
        "uniform_1hz": {
            name: {one: cider_at(curves[name][one], REFERENCE_RATE) for one in protocols}
            for name in (UNIFORM, "uniform, mean")
        },
        "curves": {
            name: {one: points(several[one], seeds=seeds) for one in protocols} for name, several in curves.items()
        },
        "savings": against(like_for_like, list(curves)),
        "savings_mixed": against(lambda name: UNIFORM, mixed),
    }


def points(curve: Curve, *, seeds: int = 1) -> list[dict[str, float]]:
    """Operating points: means over streams, and the standard deviation of the seeds' means."""
    by_seed = curve.cider.reshape(len(curve.cider), seeds, -1).mean(2)
    return [
        {
            "rate": float(rates.mean()),
            "cider": float(cider.mean()),
            "seed_std": float(spread.std(ddof=1)) if seeds > 1 else 0.0,
        }
        for rates, cider, spread in zip(curve.rates, curve.cider, by_seed, strict=True)
    ]
