"""The plot and the tables of a result of `eval.comparison`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.command import write_tables

NAMES = {"ours": "embeddings (ours)", "vlm": "tokens (VLM)"}
COLOURS = {"ours": "tab:blue", "vlm": "tab:orange"}
METRICS = {"top1": "top-1", "top5": "top-5", "to_text": "R@1 to text", "to_image": "R@1 to picture"}
PANELS = (("top1", "top-1, %"), ("top5", "top-5, %"), ("to_image", "R@1 text to picture, %"), ("cider", "CIDEr-D"))
OWN, SHIPPED, TOKENS = "cider/own decoder", "cider/shipped decoder", "cider/tokens"
SHOWN = ("emoji/top5", "emoji/to_image", "photos/to_image", "photos/top5")
LINES = {
    "ours, own decoder": ("ours", OWN, "-"),
    "ours, shipped decoder": ("ours", SHIPPED, ":"),
    "VLM": ("vlm", TOKENS, "-"),
}


def write_report(result: Path, *, tables: Path | None, plot: Path | None) -> None:
    """Write the tables into a file, or print them; and draw the curves."""
    loaded = json.loads(result.read_text(encoding="utf-8"))
    write_tables(as_markdown(loaded), tables)
    if plot is not None:
        draw(loaded, plot)


def as_markdown(result: dict[str, Any]) -> str:
    """All tables."""
    last = max(point["step"] for point in result["curves"])
    parts = [
        "# Embeddings against tokens: the controlled comparison\n",
        "Written by `python -m eval.comparison report eval/results/comparison.json --tables docs/comparison.md "
        "--plot docs/comparison.png`. What follows from it: [LOG.md](LOG.md).\n",
        "![CIDEr-D, top-k and R@1 against samples seen](comparison.png)\n",
        f"`{result['command']}`: commit {result['commit'][:12]}, {result['date']}, {result['hardware']}. Runs: "
        "`python -m eval.comparison eval/suites/comparison.yaml`, the same arguments.\n",
        *(f"- {name}: {text}." for name, text in result["protocol"].items()),
    ]
    for source, pool in result["pool"].items():
        points = [point for point in result["curves"] if point["source"] == source]
        parts.append(
            f"\n## {source}: {pool['pictures']} pictures, {pool['classes']} classes\n\nAfter "
            f"{_last(points, last)['samples']:,} samples; mean of {len(result['suite']['seeds'])} seeds [95%], and "
            "the difference on the same pictures.\n"
        )
        parts += _last_table(_last(points, last))
        parts.append("\nAgainst samples seen, ours / VLM (CIDEr-D: own decoder / VLM):\n")
        parts += _curve_table(points)
        parts.append(
            "\nOne caption for all pictures, CIDEr-D: " + _constants(result["constant"]["captions"][source]) + "\n"
        )
        if source == "photos":
            ranking = result["constant"]["photos ranking"]
            parts.append(
                f"One ranking for all photos: top-1 {100 * ranking['top1']:.1f}, top-5 {100 * ranking['top5']:.1f}.\n"
            )
        parts.append(_statistics(result["examples"][source]))
    parts += _training(result)
    parts += _cost(result)
    return "\n".join(parts) + "\n"


def draw(result: dict[str, Any], path: Path) -> None:
    """One row of panels per source: mean with interval over pictures, and the seeds' means as dots."""
    from matplotlib.figure import Figure

    sources = list(result["pool"])
    figure = Figure(figsize=(16, 4 * len(sources)), layout="constrained")
    panels = figure.subplots(len(sources), len(PANELS), squeeze=False)
    for row, source in zip(panels, sources, strict=True):
        points = [point for point in result["curves"] if point["source"] == source]
        samples = [point["samples"] for point in points]
        for axis, (metric, title) in zip(row, PANELS, strict=True):
            lines = LINES if metric == "cider" else {NAMES[arm]: (arm, metric, "-") for arm in NAMES}
            scale = 1 if metric == "cider" else 100
            for label, (arm, name, style) in lines.items():
                found = [point["arms"][arm][name] for point in points]
                colour = COLOURS[arm]
                axis.plot(samples, [scale * one["mean"] for one in found], style, color=colour, label=label)
                axis.fill_between(
                    samples,
                    [scale * one["low"] for one in found],
                    [scale * one["high"] for one in found],
                    color=colour,
                    alpha=0.15,
                )
                for place, one in zip(samples, found, strict=True):
                    axis.plot([place] * len(one["seeds"]), [scale * seed for seed in one["seeds"]], ".", color=colour)
            axis.set(xscale="log", xlabel="samples seen", title=f"{source}: {title}")
            level = _without_looking(result["constant"], source, metric)
            if level is not None:
                axis.axhline(
                    scale * level, color="0.6", linestyle="--", linewidth=0.8, label="the same for all pictures"
                )
            axis.set_ylim(bottom=0)
            axis.legend(fontsize="x-small")
    figure.savefig(path, dpi=110)


def _without_looking(constant: dict[str, Any], source: str, metric: str) -> float | None:
    """What the best caption for all pictures, or the ranking of classes for all, reaches."""
    if metric == "cider":
        return max(float(one["cider"]) for one in constant["captions"][source].values())
    ranking: dict[str, float] = constant["photos ranking"] if source == "photos" else {}
    return ranking.get(metric)


def _last(points: list[dict[str, Any]], step: int) -> dict[str, Any]:
    return next(point for point in points if point["step"] == step)


def _last_table(point: dict[str, Any]) -> list[str]:
    ours, vlm, differences = point["arms"]["ours"], point["arms"]["vlm"], point["ours_minus_vlm"]
    lines = ["| | ours | VLM | ours minus VLM |", "|---|---:|---:|---:|"]
    for name, title in METRICS.items():
        cells = [_share(ours[name]), _share(vlm[name]), _share(differences[name], signed=True)]
        lines.append(f"| {title}, % | " + " | ".join(cells) + " |")
    for title, name in (("CIDEr-D, own decoder", OWN), ("CIDEr-D, shipped decoder", SHIPPED)):
        cells = [_number(ours[name]), _number(vlm[TOKENS]), _number(differences[name], signed=True)]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def _curve_table(points: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| samples | " + " | ".join(METRICS.values()) + " | CIDEr-D |",
        "|---:|" + "---:|" * (len(METRICS) + 1),
    ]
    for point in points:
        ours, vlm = point["arms"]["ours"], point["arms"]["vlm"]
        cells = [f"{100 * ours[name]['mean']:.1f} / {100 * vlm[name]['mean']:.1f}" for name in METRICS]
        cells.append(f"{ours[OWN]['mean']:.3f} / {vlm[TOKENS]['mean']:.3f}")
        lines.append(f"| {point['samples']:,} | " + " | ".join(cells) + " |")
    return lines


def _constants(constants: dict[str, Any]) -> str:
    return "; ".join(f'{name} ("{one["caption"]}") {one["cider"]:.3f}' for name, one in constants.items()) + "."


def _statistics(examples: dict[str, Any]) -> str:
    shown = [
        f"{name} {100 * one['distinct']:.0f}% and {one['length']:.1f}" for name, one in examples["statistics"].items()
    ]
    return "Different captions and words per caption, first seed: " + "; ".join(shown) + "."


def _training(result: dict[str, Any]) -> list[str]:
    sanity = result["sanity"]
    lines = [
        f"\n## The opponent's sanity and the grid\n\nThe VLM on {sanity['pairs']} pairs, {sanity['steps']} steps: "
        f"{100 * sanity['exact']:.0f}% of the captions word for word. Validation at the end of the grid; 'choice' is "
        "the mean of the emoji's top-5 and both R@1 to the picture.\n",
        "| learner | learning rate | steps | choice | emoji top-5 | emoji R@1 | photos R@1 | photos top-5 | chosen |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for run in result["training"]["validation"]:
        chosen = "yes" if run["lr"] == result["training"]["chosen"][run["arm"]] else ""
        shares = [run["choice"], *(run[name] for name in SHOWN)]
        cells = " | ".join(f"{100 * one:.1f}" for one in shares)
        lines.append(f"| {NAMES[run['arm']]} | {run['lr']:g} | {run['step']} | {cells} | {chosen} |")
    said = [run for run in result["training"]["validation"] if run["arm"] == "vlm"]
    lines.append(
        "\nThe VLM's CIDEr-D on validation, emoji and photos: "
        + "; ".join(f"{run['lr']:g}: {run[f'emoji/{TOKENS}']:.3f} and {run[f'photos/{TOKENS}']:.3f}" for run in said)
        + "."
    )
    return lines


def _cost(result: dict[str, Any]) -> list[str]:
    cost, runs = result["cost"], result["runs"]
    lines = [
        "\n## Cost\n\nTraining: forward and backward from cached visual tokens (and, for ours, cached target "
        f"embeddings), batch {result['recipe']['train']['batch_size']}. The frozen X-Encoder adds "
        f"{cost['x_encoder_gflop']:.2f} GFLOP per picture to both. Our decoder: {cost['decoder_parameters']:,} "
        "parameters, trained apart.\n",
        "| | trained parameters | GFLOP per sample | processor ms per sample |",
        "|---|---:|---:|---:|",
    ]
    for arm, name in NAMES.items():
        step = runs[arm][0]["checkpoints"][-1]["processor_s_per_step"]
        per_sample = 1000 * step / result["recipe"]["train"]["batch_size"]
        lines.append(
            f"| {name} | {cost[arm]['trained_parameters']:,} | {cost[arm]['training_gflop_per_sample']:.3f} | "
            f"{per_sample:.2f} |"
        )
    lines.append(
        "\nLatency, processor ms per batch, one thread. Query: tokenised and embedded; predict: the Predictor, or the "
        "VLM's pass over the visual tokens; decode: words, greedy (ours with its own decoder); classify: one of the 80 "
        "classes from visual tokens.\n\n| | batch | query | encode | predict | decode | classify |\n|---|" + "---:|" * 6
    )
    for arm, name in NAMES.items():
        for batch, times in cost[arm]["latency_ms"].items():
            cells = " | ".join(f"{times[part]:.1f}" for part in ("query", "encode", "predict", "decode", "classify"))
            lines.append(f"| {name} | {batch} | {cells} |")
    return lines


def _share(one: dict[str, float], *, signed: bool = False) -> str:
    mean, low, high = (100 * one[name] for name in ("mean", "low", "high"))
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]" if signed else f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _number(one: dict[str, float], *, signed: bool = False) -> str:
    mean, low, high = one["mean"], one["low"], one["high"]
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]" if signed else f"{mean:.3f} [{low:.3f}, {high:.3f}]"
