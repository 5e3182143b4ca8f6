"""Figures against samples seen: both arms with their seeds, the differences on the same images, and to no image."""

from __future__ import annotations

from typing import Any

from eval.core.charts import Line, lines
from eval.core.statistics import paired_bootstrap
from eval.studies.comparison.shared import ARMS

OWN, SHIPPED, TOKENS = "own decoder", "shipped decoder", "tokens"
READERS = {"ours": (OWN, SHIPPED), "vlm": (TOKENS,)}
METRICS = ("top1", "top5", "to_text", "to_image")
PMI = "pmi"
SCORINGS = {"ours": ("",), "vlm": ("", f"{PMI}/")}
RANKED = ("top1", "top5")
"""Metrics of the photos that the constant ranking has, too."""
PANELS = {"top1": "top-1, %", "top5": "top-5, %", "to_image": "R@1 text to image, %", "cider": "CIDEr-D"}
NAMES = {"ours": "embeddings (ours)", "vlm": "tokens (VLM)"}
CIDER = {
    "ours, own decoder": ("ours", f"cider/{OWN}", "-"),
    "ours, shipped decoder": ("ours", f"cider/{SHIPPED}", ":"),
    "VLM": ("vlm", f"cider/{TOKENS}", "-"),
}
Measured = dict[str, dict[int, list[dict[str, Any]]]]
Seeds = list[list[float]]
"""Values per image of every seed."""


def curves_of(batch_size: int, measured: Measured, ranking: dict[str, list[float]]) -> list[dict[str, Any]]:
    """By source and checkpoint: every metric of both arms with interval and seeds, and the paired differences.

    Args:
        batch_size: Samples of a step.
        measured: By arm and step, the values per image of every seed.
        ranking: Hits per photo of the constant ranking.
    """
    names = {arm: [f"{scoring}{name}" for scoring in SCORINGS[arm] for name in METRICS] for arm in ARMS}
    compared = {name: (name.removeprefix(f"{PMI}/"), name) for name in names["vlm"]}
    compared |= {f"cider/{reader}": (f"cider/{reader}", f"cider/{TOKENS}") for reader in READERS["ours"]}
    points = []
    for step in measured["ours"]:
        for source in ("emoji", "photos"):
            values: dict[str, dict[str, Seeds]] = {
                arm: {
                    name: [seen[source][name] for seen in measured[arm][step]]
                    for name in (*names[arm], *(f"cider/{reader}" for reader in READERS[arm]))
                }
                for arm in ARMS
            }
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
                    name: _interval(values["ours"][mine], minus=values["vlm"][other])
                    for name, (mine, other) in compared.items()
                },
            }
            if source == "photos":
                point["minus_constant"] = {
                    arm: {
                        f"{scoring}{name}": _interval(
                            (seeds := values[arm][f"{scoring}{name}"]), minus=[ranking[name]] * len(seeds)
                        )
                        for scoring in SCORINGS[arm]
                        for name in RANKED
                    }
                    for arm in ARMS
                }
            points.append(point)
    return points


def _interval(seeds: Seeds, *, minus: Seeds | None = None) -> dict[str, float]:
    """Mean and interval of images' values by seed, or of their differences image by image, seed by seed."""
    others = minus or [[0.0] * len(values) for values in seeds]
    pairs = [enumerate(zip(*pair, strict=True)) for pair in zip(seeds, others, strict=True)]
    found = paired_bootstrap([{str(item): value - other for item, (value, other) in one} for one in pairs])
    return {"mean": found["mean"], "low": found["low"], "high": found["high"]}


def plots(result: dict[str, Any]) -> dict[str, bytes]:
    """One row of panels per source: mean with interval over images, and the level of no image."""
    colours, constant = {"ours": "tab:blue", "vlm": "tab:orange"}, result["constant"]
    rows = []
    for source in result["pool"]:
        points, panels = [point for point in result["curves"] if point["source"] == source], []
        samples = [point["samples"] for point in points]
        levels = dict(constant["photos ranking"]) if source == "photos" else {}
        levels["cider"] = max(float(one["cider"]) for one in constant["captions"][source].values())
        for metric, title in PANELS.items():
            scale = 1 if metric == "cider" else 100
            shown = CIDER if metric == "cider" else {NAMES[arm]: (arm, metric, "-") for arm in NAMES}
            drawn = []
            for label, (arm, name, style) in shown.items():
                mean, low, high = ([scale * point["arms"][arm][name][end] for point in points] for end in
                                   ("mean", "low", "high"))  # fmt: skip
                drawn.append(Line(label, samples, mean, low, high, style=style, colour=colours[arm]))
            if metric in levels:
                flat = [scale * levels[metric]] * len(samples)
                drawn.append(Line("the same for all images", samples, flat, style="--", colour="0.6"))
            panels.append((f"{source}: {title}", "", drawn))
        rows.append(panels)
    return {"comparison.png": lines(rows, x="samples seen")}
