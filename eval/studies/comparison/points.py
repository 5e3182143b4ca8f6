"""Figures against samples seen: both arms with their seeds, the differences on the same images, and to no image."""

from __future__ import annotations

from typing import Any

from eval.core.statistics import paired_bootstrap
from eval.studies.comparison.shared import ARMS, MARGINAL

OWN, SHIPPED, TOKENS = "own decoder", "shipped decoder", "tokens"
READERS = {"ours": (OWN, SHIPPED), "vlm": (TOKENS,)}
METRICS = ("top1", "top5", "to_text", "to_image")
PMI = "pmi"
SCORINGS = {"ours": ("",), "vlm": ("", f"{PMI}/")}
RANKED = ("top1", "top5")
"""Metrics of the photos that the constant ranking has, too."""
PROTOCOL = {
    "emoji": "one picture per concept, style as in the suite; classes and texts are the names of all test concepts",
    "photos": "classes are the 80 COCO names, right when among the annotated objects; texts are the first captions",
    "scores": "ours: cosine of prediction and text; token VLM: mean log-likelihood per token of the text as the whole "
    "caption, the end mark included; the same candidates; ties count against the learner",
    "PMI": "the token VLM's log-likelihood of the text given the picture minus the text's own, the log of its mean "
    f"likelihood over {MARGINAL} validation pictures: what the picture adds; R@1 to the picture is the same by either",
    "to_text, to_image": "R@1 in both directions",
    "captions": "greedy; CIDEr-D against the picture's captions (emoji: its name), weights from this test set",
    "weights": "moving average of each checkpoint; the learning rate is constant after the warm-up, so that every "
    "checkpoint is what a run of that length would give",
    "interval": "95%, 10000 resamples of pictures, the seeds' values of a picture drawn together; the seeds' own means "
    "stand beside it",
    "constant": "one caption for all pictures: the most frequent of the training captions, that of the source, and the "
    "training caption that is best for all validation pictures at once; one ranking for all photos: the classes by "
    "their frequency in the training photos, with which both arms are compared picture by picture",
}
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
