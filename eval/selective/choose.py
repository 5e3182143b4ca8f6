"""What `SelectiveConfig` should be, from streams of the validation photos."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from eval.selective.measure import (
    ADAPTIVE,
    UNIFORM,
    Setting,
    build_world,
    decoding_embedder,
    offline_ways,
    online_curves,
    rate_curves,
    scorer_of,
)
from eval.selective.methods import Watched
from eval.selective.protocol import MAIN
from eval.selective.streams import FPS
from vljepa.metrics.selective import REFERENCE_RATE, Curve, cider_at

Say = Callable[[str], None]


def choose(setting: Setting, *, say: Say) -> dict[str, Any]:
    """Method and thresholds.

    The online method is the one that needs the fewest decodes for the quality of uniform decoding at 1 Hz; each
    threshold is the highest that keeps that quality, or the one with the best quality where none does.
    """
    embedder = decoding_embedder(setting, next(iter(setting.decoders.values())))
    world = build_world(setting, "photos", "validation", embedder, say=say)
    scorer, ways = scorer_of(setting, world, embedder), offline_ways()
    wanted = cider_at(rate_curves(world.watched, scorer, setting, ways[UNIFORM])[MAIN], REFERENCE_RATE)
    online = {name: online_curves(world.watched, scorer, setting, name)[MAIN] for name in setting.suite["online"]}
    best = min(online, key=lambda name: online[name].rate_at(wanted))
    adaptive = rate_curves(world.watched, scorer, setting, ways[ADAPTIVE])[MAIN]
    rate = adaptive.rate_at(wanted)
    if not np.isfinite(rate):
        rate = float(adaptive.rates.mean(1)[int(adaptive.cider.mean(1).argmax())])
    plan = setting.suite["online"][best]
    return {
        "uniform_1hz": wanted,
        "online_rates": {name: curve.rate_at(wanted) for name, curve in online.items()},
        "online_best": {name: float(curve.cider.mean(1).max()) for name, curve in online.items()},
        "method": best,
        "window": plan["window"],
        "threshold": _threshold_at(online[best], sorted(plan["thresholds"], reverse=True), wanted),
        "offline_rate": rate,
        "offline_threshold": offline_threshold(world.watched, rate=rate),
    }


def offline_threshold(streams: list[Watched], *, rate: float) -> float:
    """Highest Ward distance, of a fine grid, at which the streams have at least `rate` segments per second."""
    seconds = sum(len(one.rows) for one in streams) / FPS
    for threshold in np.linspace(3.0, 0.0, 301):
        if sum(one.tree.count_at(float(threshold)) for one in streams) >= rate * seconds:
            return float(threshold)
    return 0.0


def _threshold_at(curve: Curve, thresholds: list[float], wanted: float) -> float:
    """The curve's points go by descending threshold."""
    quality = curve.cider.mean(1)
    reached = np.flatnonzero(quality >= wanted)
    return thresholds[int(reached[0]) if len(reached) else int(quality.argmax())]
