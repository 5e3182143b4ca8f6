"""The tables and the plot of selective decoding."""

from __future__ import annotations

from typing import Any

from eval.core.charts import Line, lines
from eval.core.render import bullets, table
from eval.tasks.made.curves import UNIFORM
from eval.tasks.made.scoring import MAIN

ORACLE_NOTE = (
    "Why online decoding may beat the oracle: the oracle knows where the shots are cut, and neither what they show nor "
    "what is read best. With fewer decodes than shots it keeps the longest shots, while every shot's annotation counts "
    "alike; an online score leaves out the shots whose embedding hardly differs from their neighbour's, whose caption "
    "then is not far off. And the oracle's segments hold the frames of cross-fades, which show two pictures. So the "
    "oracle bounds the knowledge of the cuts, not the quality of the captions."
)
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


def tables(result: dict[str, Any]) -> str:
    """Savings like for like, then mixed; wall-clock time; every curve, as Markdown."""
    decoder = result["decoder"]
    parts = [f"Decoder {decoder['name']}, {decoder['num_beams']} beam(s).", bullets(result["protocol"]), ORACLE_NOTE]
    for name, source in result["sources"].items():
        head = (
            f"{source['pool']} pictures, {source['streams']} streams, {source['shots_per_second']:.3f} shots per second"
        )
        parts += [f"## {name}: {head}", _savings(source)]
        parts += [
            f"Only cross-fades ({source['only_cross_fades']['streams']} streams):",
            _savings(source["only_cross_fades"]),
        ]
    timed = result["wall_time"]
    frame = ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in timed["per_frame_s"].items())
    header = ["decoder", "one decode, ms", "uniform, s per s", "adaptive, s per s", "ratio", "decoding alone"]
    rows = [
        [name, 1000 * arm["decode_s"], *arm["seconds_per_second"].values(), arm["ratio"], arm["decode_only_ratio"]]
        for name, arm in timed["decoders"].items()
    ]
    parts += [
        "## Wall-clock time at equal CIDEr-D",
        f"Per frame, batch 1: {frame}; {timed['fps']} frames per second. Decodes per second: "
        f"{timed['rates']['uniform']:.2f} uniform, {timed['rates']['adaptive']:.3f} adaptive (mean).",
        table(header, rows, [".0f", ".3f", ".3f", ".2f", ".2f"]),
    ]
    for name, source in result["sources"].items():
        about = f"CIDEr-D (standard deviation over seeds) at decodes per second; '{MAIN}'."
        parts += [f"## Curves: {name}", about, _listed(source["curves"]), "Only cross-fades:"]
        parts.append(_listed(source["only_cross_fades"]["curves"]))
    return "\n\n".join(parts)


def _savings(found: dict[str, Any]) -> str:
    """Times fewer decodes per method: like for like, mixed, and the best CIDEr-D of the curve, by protocol."""
    protocols = list(found["uniform_1hz"][UNIFORM])
    header = ["times fewer decodes"]
    for one in protocols:
        exact, mean = (found["uniform_1hz"][name][one] for name in (UNIFORM, "uniform, mean"))
        header += [f"{one}: like for like", "mixed", f"best (uniform 1 Hz: exact {exact:.3f}, mean {mean:.3f})"]
    rows = []
    for name in found["savings"]:
        row: list[Any] = [name]
        for one in protocols:
            best = max(point["cider"] for point in found["curves"][name][one])
            row += [found["savings"][name][one], found["savings_mixed"].get(name, {}).get(one), best]
        rows.append(row)
    return table(header, rows, ["fewer", "fewer", "number"] * len(protocols))


def _listed(curves: dict[str, Any]) -> str:
    return "\n".join(
        f"- {method}: "
        + ", ".join(f"{one['rate']:.3f}: {one['cider']:.3f} ({one['seed_std']:.3f})" for one in points[MAIN])
        for method, points in curves.items()
    )


def plots(result: dict[str, Any]) -> dict[str, bytes]:
    """One panel per source."""
    panels = []
    for name, source in result["sources"].items():
        shown = []
        for method, (colour, style) in SHOWN.items():
            rates, cider, error = ([one[key] for one in source["curves"][method][MAIN]] for key in
                                   ("rate", "cider", "seed_std"))  # fmt: skip
            shown.append(Line(method, rates, cider, error=error, colour=colour, style=style))
        panels.append((f"streams of held-out {name}", "CIDEr-D", shown))
    return {"selective.png": lines([panels], x="decodes per second")}
