"""The plot of the comparison."""

from __future__ import annotations

from typing import Any

from eval.core.charts import Line, lines
from eval.studies.comparison.points import OWN, SHIPPED, TOKENS

NAMES = {"ours": "embeddings (ours)", "vlm": "tokens (VLM)"}
PANELS = (("top1", "top-1, %"), ("top5", "top-5, %"), ("to_image", "R@1 text to picture, %"), ("cider", "CIDEr-D"))
CIDER = {
    "ours, own decoder": ("ours", f"cider/{OWN}", "-"),
    "ours, shipped decoder": ("ours", f"cider/{SHIPPED}", ":"),
    "VLM": ("vlm", f"cider/{TOKENS}", "-"),
}
Found = dict[str, Any]


def plots(result: Found) -> dict[str, bytes]:
    """One row of panels per source: mean with interval over images, and the level of no image."""
    colours = {"ours": "tab:blue", "vlm": "tab:orange"}
    rows = []
    for source in result["pool"]:
        points, panels = [point for point in result["curves"] if point["source"] == source], []
        samples = [point["samples"] for point in points]
        for metric, title in PANELS:
            scale = 1 if metric == "cider" else 100
            shown = CIDER if metric == "cider" else {NAMES[arm]: (arm, metric, "-") for arm in NAMES}
            drawn = []
            for label, (arm, name, style) in shown.items():
                mean, low, high = ([scale * point["arms"][arm][name][end] for point in points] for end in
                                   ("mean", "low", "high"))  # fmt: skip
                drawn.append(Line(label, samples, mean, low, high, style=style, colour=colours[arm]))
            level = _without_image(result["constant"], source, metric)
            if level is not None:
                flat = [scale * level] * len(samples)
                drawn.append(Line("the same for all pictures", samples, flat, style="--", colour="0.6"))
            panels.append((f"{source}: {title}", "", drawn))
        rows.append(panels)
    return {"comparison.png": lines(rows, x="samples seen")}


def _without_image(constant: Found, source: str, metric: str) -> float | None:
    """What the best caption for all images, or the ranking of classes for all, reaches."""
    if metric == "cider":
        return max(float(one["cider"]) for one in constant["captions"][source].values())
    ranking: dict[str, float] = constant["photos ranking"] if source == "photos" else {}
    return ranking.get(metric)
