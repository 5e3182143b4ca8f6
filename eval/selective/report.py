"""The plot and the tables of a result of `eval.selective`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.command import write_tables

MAIN = "middle, nearest"
SHOWN = {
    "uniform, exact": ("0.4", "-"),
    "uniform, mean": ("0.4", "--"),
    "adaptive, exact": ("tab:blue", "-"),
    "adaptive, mean": ("tab:blue", "--"),
    "online two_window, mean": ("tab:orange", "-"),
    "online running_ward, mean": ("tab:red", "-"),
    "online local_variance, mean": ("tab:purple", "-"),
    "pixel difference, exact": ("tab:brown", ":"),
    "random times": ("0.7", ":"),
    "oracle, mean": ("tab:green", "-."),
}


def write_report(result: Path, *, tables: Path | None, plot: Path | None) -> None:
    """Write the tables into a file, or print them; and draw the curves."""
    loaded = json.loads(result.read_text(encoding="utf-8"))
    write_tables(as_markdown(loaded), tables)
    if plot is not None:
        draw(loaded, plot)


def as_markdown(result: dict[str, Any]) -> str:
    """All tables."""
    parts = [
        "# Selective decoding: all numbers\n",
        "Written by `python -m eval.selective report eval/results/selective.json --tables docs/selective.md "
        "--plot docs/selective.png`.\n",
        "![CIDEr-D against decodes per second](selective.png)\n",
        f"`{result['command']}`: commit {result['commit'][:12]}, {result['date']}, {result['hardware']}. "
        f"Decoder {result['decoder']['name']}, {result['decoder']['num_beams']} beam(s).\n",
        *(f"- {name}: {text}." for name, text in result["protocol"].items()),
    ]
    for name, source in result["sources"].items():
        parts.append(
            f"\n## {name}: {source['pool']} pictures, {source['streams']} streams, "
            f"{source['shots_per_second']:.3f} shots per second\n\nTimes fewer decodes for the CIDEr-D of uniform "
            "exact decoding at 1 Hz, and the best CIDEr-D of the curve:\n"
        )
        protocols = list(source["uniform_1hz"])
        heads = [f"{one} ({source['uniform_1hz'][one]:.3f} at 1 Hz) | best" for one in protocols]
        parts.append("| method | " + " | ".join(heads) + " |\n|---|" + "---:|---:|" * len(protocols))
        for method, saved in source["savings"].items():
            best = {one: max(point["cider"] for point in source["curves"][method][one]) for one in protocols}
            cells = (f"{_saving(saved[one])} | {best[one]:.3f}" for one in protocols)
            parts.append(f"| {method} | " + " | ".join(cells) + " |")
        only = source["only_cross_fades"]
        parts.append(
            f"\nOnly cross-fades ({only['streams']} streams):\n\n| method | times fewer [95%] | best |\n|---|---:|---:|"
        )
        for method, saved in only["savings"].items():
            best = max(point["cider"] for point in only["curves"][method][MAIN])
            parts.append(f"| {method} | {_saving(saved)} | {best:.3f} |")
    parts.append(_wall_time(result["wall_time"]))
    for name, source in result["sources"].items():
        parts.append(
            f"\n## Curves: {name}\n\nCIDEr-D (standard deviation over seeds) at decodes per second; '{MAIN}'.\n"
        )
        parts += _points(source["curves"])
        parts.append("\nOnly cross-fades:\n")
        parts += _points(source["only_cross_fades"]["curves"])
    return "\n".join(parts) + "\n"


def _points(curves: dict[str, Any]) -> list[str]:
    return [
        f"- {method}: "
        + ", ".join(f"{one['rate']:.3f}: {one['cider']:.3f} ({one['seed_std']:.3f})" for one in points[MAIN])
        for method, points in curves.items()
    ]


def draw(result: dict[str, Any], path: Path) -> None:
    """One panel per source."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5), layout="constrained")
    axes = figure.subplots(1, len(result["sources"]), squeeze=False)[0]
    for axis, (name, source) in zip(axes, result["sources"].items(), strict=True):
        for method, (colour, style) in SHOWN.items():
            points = source["curves"][method][MAIN]
            axis.errorbar(
                [one["rate"] for one in points],
                [one["cider"] for one in points],
                yerr=[one["seed_std"] for one in points],
                color=colour,
                linestyle=style,
                marker=".",
                label=method,
            )
        axis.axhline(source["uniform_1hz"][MAIN], color="0.8", linewidth=0.8)
        axis.set(xscale="log", xlabel="decodes per second", ylabel="CIDEr-D", title=f"streams of held-out {name}")
    axes[0].legend(fontsize="x-small")
    figure.savefig(path, dpi=120)


def _wall_time(measured: dict[str, Any]) -> str:
    split = ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in measured["per_frame_s"].items())
    lines = [
        f"\n## Wall time at equal CIDEr-D\n\nPer frame, batch 1: {split}; {measured['fps']} frames per second. "
        f"Decodes per second: {measured['rates']['uniform']:.2f} uniform, "
        f"{measured['rates']['adaptive']:.3f} adaptive (mean).\n",
        "| decoder | one decode, ms | uniform, s per s | adaptive, s per s | ratio | decoding alone |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, arm in measured["decoders"].items():
        total = arm["seconds_per_second"]
        lines.append(
            f"| {name} | {1000 * arm['decode_s']:.0f} | {total['uniform']:.3f} | {total['adaptive']:.3f} | "
            f"{arm['ratio']:.2f} | {arm['decode_only_ratio']:.2f} |"
        )
    return "\n".join(lines)


def _saving(saved: dict[str, float]) -> str:
    if saved["times_fewer"] == 0:
        return "never reaches it"
    return f"{saved['times_fewer']:.2f} [{saved['low']:.2f}, {saved['high']:.2f}]"
