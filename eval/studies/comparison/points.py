"""Figures against samples seen: both arms with their seeds, the differences on the same images, and to no image."""

from __future__ import annotations

from typing import Any

from eval.core.statistics import paired_bootstrap
from eval.studies.comparison.shared import ARMS

OWN, SHIPPED, TOKENS = "own decoder", "shipped decoder", "tokens"
READERS = {"ours": (OWN, SHIPPED), "vlm": (TOKENS,)}
METRICS = ("top1", "top5", "to_text", "to_image")
PMI = "pmi"
SCORINGS = {"ours": ("",), "vlm": ("", f"{PMI}/")}
RANKED = ("top1", "top5")
"""Metrics of the photos that the constant ranking has, too."""
Measured = dict[str, dict[int, list[dict[str, Any]]]]


def curves_of(batch_size: int, measured: Measured, ranking: dict[str, list[float]]) -> list[dict[str, Any]]:
    """By source and checkpoint: every metric of both arms with interval and seeds, and the paired differences.

    Args:
        batch_size: Samples of a step.
        measured: By arm and step, the values per picture of every seed.
        ranking: Hits per photo of the constant ranking.
    """
    points = []
    for step in measured["ours"]:
        for source in ("emoji", "photos"):
            values = {
                arm: {name: [seen[source][name] for seen in measured[arm][step]] for name in _names(arm)}
                for arm in ARMS
            }
            against = {name: (name, name) for name in METRICS}
            against |= {f"{PMI}/{name}": (name, f"{PMI}/{name}") for name in METRICS}
            against |= {f"cider/{reader}": (f"cider/{reader}", f"cider/{TOKENS}") for reader in READERS["ours"]}
            point: dict[str, Any] = {
                "step": step,
                "samples": step * batch_size,
                "source": source,
                "arms": {
                    arm: {
                        name: {**_interval(seeds), "seeds": [sum(one) / len(one) for one in seeds]}
                        for name, seeds in several.items()
                    }
                    for arm, several in values.items()
                },
                "ours_minus_vlm": {
                    name: _interval(_minus(values["ours"][mine], values["vlm"][other]))
                    for name, (mine, other) in against.items()
                },
            }
            if source == "photos":
                point["minus_constant"] = {
                    arm: {
                        f"{scoring}{name}": _interval(
                            _minus(values[arm][f"{scoring}{name}"], [ranking[name]] * len(measured[arm][step]))
                        )
                        for scoring in SCORINGS[arm]
                        for name in RANKED
                    }
                    for arm in ARMS
                }
            points.append(point)
    return points


def _names(arm: str) -> tuple[str, ...]:
    scored = (f"{scoring}{name}" for scoring in SCORINGS[arm] for name in METRICS)
    return (*scored, *(f"cider/{reader}" for reader in READERS[arm]))


def _minus(ours: list[list[float]], theirs: list[list[float]]) -> list[list[float]]:
    """Differences picture by picture, seed by seed."""
    return [[mine - other for mine, other in zip(*pair, strict=True)] for pair in zip(ours, theirs, strict=True)]


def _interval(seeds: list[list[float]]) -> dict[str, float]:
    """Mean and interval of items' values, by seed."""
    found = paired_bootstrap([{str(item): value for item, value in enumerate(values)} for values in seeds])
    return {"mean": found["mean"], "low": found["low"], "high": found["high"]}
