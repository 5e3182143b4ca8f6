"""The plot and the tables of the comparison."""

from __future__ import annotations

from typing import Any

from eval.core.charts import Line, lines
from eval.core.render import bullets, table
from eval.studies.comparison.points import METRICS, OWN, RANKED, SCORINGS, SHIPPED, TOKENS

NAMES = {"ours": "embeddings (ours)", "vlm": "tokens (VLM)"}
TITLES = {"top1": "top-1", "top5": "top-5", "to_text": "R@1 to text", "to_image": "R@1 to picture"}
PANELS = (("top1", "top-1, %"), ("top5", "top-5, %"), ("to_image", "R@1 text to picture, %"), ("cider", "CIDEr-D"))
SHOWN = ("emoji/top5", "emoji/to_image", "photos/to_image", "photos/top5")
CIDER = {
    "ours, own decoder": ("ours", f"cider/{OWN}", "-"),
    "ours, shipped decoder": ("ours", f"cider/{SHIPPED}", ":"),
    "VLM": ("vlm", f"cider/{TOKENS}", "-"),
}
CAVEATS = {
    "one scale": "one slice (the last four layers of SmolLM2-135M), 2 x 2 visual tokens, one batch size, no question "
    "data, up to 81,920 samples; the paper compares at 15 million",
    "help": "our arm's Y-Encoder has read a billion sentence pairs, which the token VLM has not",
    "decoder": "our captions are written by a small decoder that is trained apart, on texts alone; the token VLM "
    "writes its own",
    "likelihoods": "a token VLM's likelihoods follow how frequent a text is: on the photos' classes it is best before "
    "it has learned anything; rows by PMI, where the run has them, take that out",
    "classes": "on the photos' classes one ranking by frequency for all photos is hard to beat, and the thing to beat",
    "operations": "the frozen encoder is the same for both: with it the difference per sample is smaller",
}
Found = dict[str, Any]


def tables(result: Found) -> str:
    """All tables, as Markdown."""
    last = max(point["step"] for point in result["curves"])
    parts = ["What follows from it: [LOG.md](LOG.md).", bullets(result["protocol"]), "## Caveats", bullets(CAVEATS)]
    for source, pool in result["pool"].items():
        points = [point for point in result["curves"] if point["source"] == source]
        point = next(one for one in points if one["step"] == last)
        parts += [
            f"## {source}: {pool['pictures']} pictures, {pool['classes']} classes",
            f"After {point['samples']:,} samples; mean of {len(result['settings']['seeds'])} seeds [95%], and the "
            "difference on the same pictures.",
            _last(point),
            "Against samples seen, ours / VLM (CIDEr-D: own decoder / VLM):",
            _curves(points),
            "One caption for all pictures, CIDEr-D: "
            + "; ".join(f'{name} ("{one["caption"]}") {one["cider"]:.3f}' for name, one in
                        result["constant"]["captions"][source].items())
            + ".",
        ]  # fmt: skip
        if source == "photos":
            parts += [_constant(result["constant"]["photos ranking"], point)]
        parts.append(
            "Different captions and words per caption, first seed: "
            + "; ".join(f"{name} {100 * one['distinct']:.0f}% and {one['length']:.1f}" for name, one in
                        result["examples"][source]["statistics"].items())
            + "."
        )  # fmt: skip
    return "\n\n".join([*parts, *_training(result), *_cost(result)])


def _last(point: Found) -> str:
    ours, vlm, differences = point["arms"]["ours"], point["arms"]["vlm"], point["ours_minus_vlm"]
    rows, forms = [], ["percent", "percent", "points"]
    for scoring in SCORINGS["vlm"]:
        for name in METRICS:
            if f"{scoring}{name}" in vlm:
                title = f"{TITLES[name]}, %" + (", VLM by PMI" if scoring else "")
                rows.append([title, ours[name], vlm[f"{scoring}{name}"], differences[f"{scoring}{name}"]])
    captions = [
        [f"CIDEr-D, {reader}", ours[f"cider/{reader}"], vlm[f"cider/{TOKENS}"], differences[f"cider/{reader}"]]
        for reader in (OWN, SHIPPED)
    ]
    written = table([""] * 4, captions, ["number", "number", "difference"]).split("\n")[2:]
    return "\n".join([table(["", "ours", "VLM", "ours minus VLM"], rows, forms), *written])


def _curves(points: list[Found]) -> str:
    rows = []
    for point in points:
        ours, vlm = point["arms"]["ours"], point["arms"]["vlm"]
        pairs = [f"{100 * ours[name]['mean']:.1f} / {100 * vlm[name]['mean']:.1f}" for name in METRICS]
        captions = f"{ours[f'cider/{OWN}']['mean']:.3f} / {vlm[f'cider/{TOKENS}']['mean']:.3f}"
        rows.append([f"{point['samples']:,}", *pairs, captions])
    return table(["samples", *TITLES.values(), "CIDEr-D"], rows)


def _constant(ranking: dict[str, float], point: Found) -> str:
    """One ranking for all photos, and both arms against it."""
    text = f"One ranking for all photos: top-1 {100 * ranking['top1']:.1f}, top-5 {100 * ranking['top5']:.1f}."
    if "minus_constant" not in point:
        means = {arm: point["arms"][arm] for arm in NAMES}
        rows = [[NAMES[arm], *(means[arm][name]["mean"] - ranking[name] for name in RANKED)] for arm in NAMES]
    else:
        found = point["minus_constant"]
        rows = [
            [NAMES[arm] + (", by PMI" if scoring else ""), *(found[arm][f"{scoring}{name}"] for name in RANKED)]
            for arm in NAMES
            for scoring in SCORINGS[arm]
        ]
    shown = table(["", *(TITLES[one] for one in RANKED)], rows, "points")
    return f"{text} Both arms minus that ranking, points:\n\n{shown}"


def _training(result: Found) -> list[str]:
    sanity, trained = result["sanity"], result["training"]
    runs = [(run, "") for run in trained["validation"]]
    later = trained.get("extension", {})
    runs += [(run, "later") for run in later.get("validation", [])]
    rows = []
    for run, mark in runs:
        note = mark or ("chosen" if run["lr"] == trained["chosen"][run["arm"]] else "")
        shares = [f"{100 * run[name]:.1f}" for name in ("choice", *SHOWN)]
        rows.append([NAMES[run["arm"]], f"{run['lr']:g}", str(run["step"]), *shares, note])
    header = [
        "learner",
        "learning rate",
        "steps",
        "choice",
        "emoji top-5",
        "emoji R@1",
        "photos R@1",
        "photos top-5",
        "",
    ]
    edge = trained.get("at_edge", list(NAMES))
    notes = [f"At the upper edge of the grid: {', '.join(NAMES[arm] for arm in edge) or 'none'}."]
    if later:
        notes = [f"Rows marked 'later': {later['note']}.", *_pmi(later.get("pmi"))]
    captions = "; ".join(
        f"{run['lr']:g}: {run[f'emoji/cider/{TOKENS}']:.3f} and {run[f'photos/cider/{TOKENS}']:.3f}"
        for run, _ in runs
        if run["arm"] == "vlm"
    )
    return [
        "## The opponent's sanity and the grid",
        f"The VLM on {sanity['pairs']} pairs, {sanity['steps']} steps: {100 * sanity['exact']:.0f}% of the captions "
        "word for word. Validation at the end of the grid; 'choice' is the mean of the emoji's top-5 and both R@1 to "
        "the picture.",
        table(header, rows),
        *notes,
        f"The VLM's CIDEr-D on validation, emoji and photos: {captions}.",
    ]


def _pmi(found: Found | None) -> list[str]:
    """What the token VLM's own scores and PMI give on the same validation pictures."""
    if found is None:
        return []
    mean = found["validation"]
    rows = [
        [f"{source}, {name}", *(mean[f"{source}/{before}{metric}"] for before in SCORINGS["vlm"])]
        for source in ("emoji", "photos")
        for metric, name in TITLES.items()
    ]
    head = f"The VLM on validation after {found['step']} steps at {found['lr']:g}, seed {found['seed']}, percent:"
    return [head, table(["", "mean log-likelihood", "PMI"], rows, "percent")]


def _cost(result: Found) -> list[str]:
    cost, batch = result["cost"], result["recipe"]["train"]["batch_size"]
    rows, late = [], []
    for arm, name in NAMES.items():
        step = result["runs"][arm][0]["checkpoints"][-1]["processor_s_per_step"]
        flops = cost[arm]["training_gflop_per_sample"]
        rows.append(
            [
                name,
                cost[arm]["trained_parameters"],
                flops,
                flops + cost["x_encoder_gflop"],
                f"{1000 * step / batch:.2f}",
            ]
        )
        for size, times in cost[arm]["latency_ms"].items():
            late.append([name, size, *(times[part] for part in ("query", "encode", "predict", "decode", "classify"))])
    flops = [cost[arm]["training_gflop_per_sample"] for arm in NAMES]
    whole = [one + cost["x_encoder_gflop"] for one in flops]
    header = ["", "trained parameters", "GFLOP per sample", "with the encoder", "processor ms per sample"]
    return [
        "## Cost",
        f"Training: forward and backward from cached visual tokens (and, for ours, cached target embeddings), batch "
        f"{batch}; the frozen X-Encoder takes {cost['x_encoder_gflop']:.2f} GFLOP per picture of either. The VLM needs "
        f"{flops[1] / flops[0]:.1f} times the operations without the encoder, {whole[1] / whole[0]:.1f} times with it. "
        f"Our decoder: {cost['decoder_parameters']:,} parameters, trained apart.",
        table(header, rows),
        "Latency, processor ms per batch, one thread. Query: tokenised and embedded; predict: the Predictor, or the "
        "VLM's pass over the visual tokens; decode: words, greedy (ours with its own decoder); classify: one of the 80 "
        "classes from visual tokens.",
        table(["", "batch", "query", "encode", "predict", "decode", "classify"], late, ".1f"),
    ]


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
