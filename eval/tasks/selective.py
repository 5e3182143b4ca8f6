"""Selective decoding of made streams: caption quality against decodes per second, savings, and wall-clock time.

Every saving is against uniform decoding's own first crossing of its quality at 1 Hz: like for like with the same
readout (exact with exact, mean with mean), and the mixed number (mean against exact) beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eval.core import provenance
from eval.core.charts import Line, lines
from eval.core.console import say
from eval.core.prepared import Captioned, read_captions
from eval.core.render import bullets, table
from eval.core.result import Context, Result
from eval.tasks.made import methods
from eval.tasks.made.frames import Frames, encode_frames
from eval.tasks.made.methods import Decodes, Watched
from eval.tasks.made.scoring import MAIN, PROTOCOLS, Scorer
from eval.tasks.made.streams import FPS, Stream, build_stream
from eval.tasks.made.wall_clock import wall_clock
from eval.tasks.words import own_decoder
from vljepa.configs import SelectiveConfig
from vljepa.inference.embed import Embedder
from vljepa.inference.segmentation import ward_chain
from vljepa.metrics.selective import REFERENCE_RATE, Curve, cider_at, saving

STYLE = "fluent"
UNIFORM, ADAPTIVE = "uniform, exact", "adaptive, mean"
Method = Callable[[Watched, float], Decodes]
Curves = dict[str, Curve]
PROTOCOL = {
    "streams": "shots of held-out pictures, durations log-normal with mean 4 s and sigma 0.8, 4 frames per second, the "
    "camera moves in and back in steps of half a second, half of the transitions are cross-fades of 1 s to one of 3 "
    "seeded successors (see eval/tasks/made/streams.py); every different frame is rendered and encoded",
    "annotations": "the captions of a shot's picture, at the middle of the shot or at a random time in it; matched to "
    "the decode nearest in time, or to that of the segment around it; 'middle, nearest' is the main protocol",
    "cider": "CIDEr-D, weights from the captions of the different pictures, mean over annotations, then over streams",
    "saving": "the rate at which uniform decoding first reaches its own quality at 1 Hz, over the rate at which the "
    "method first reaches that quality; 'like for like': uniform with the same readout (exact with exact, mean with "
    "mean); 'mixed': uniform exact, whatever the method reads; 95% bootstrap over streams, which all show the same few "
    "pictures",
    "wall-clock": "no whole stream is timed: medians of single frames, rendered from pictures in memory and "
    "preprocessed ('read'), and of single decodes, times how many there are of each per second",
}
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


@dataclass(frozen=True)
class Plan:
    """Which streams, rates and thresholds, and whose words.

    Args:
        streams: `seconds`, `per_seed` by source, `seeds`.
        rates: Decodes per second.
        online: By method, `window` and `thresholds`.
        decoders: Name to folder; the first makes the curves, the others are timed too; the model's own when empty.
        beams: Beams of the curves' decoder.
        sources: Of the held-out images.
    """

    streams: dict[str, Any]
    rates: list[float]
    online: dict[str, dict[str, Any]]
    decoders: dict[str, str]
    beams: int = 1
    sources: tuple[str, ...] = ("photos", "emoji")


@dataclass(frozen=True)
class StreamSet:
    """Streams of one kind of image, encoded."""

    pictures: list[Captioned]
    frames: Frames
    watched: list[Watched]
    faded: list[Watched]
    scorer: Scorer


def measure(context: Context, **plan: Any) -> Result:
    """Curves, savings and wall-clock time on the test images; `plan` as for `Plan`."""
    setting, embedder = _setting(context, plan)
    sources: dict[str, Any] = {}
    timed = None
    for source in setting.sources:
        streams = build_streams(context, setting, source, "test", embedder)
        sources[source] = _curves(setting, streams)
        if timed is None:
            adaptive = sources[source]["savings"][ADAPTIVE][MAIN]
            pictures = [one.path for one in streams.pictures]
            timed = wall_clock(context.model.name, setting.decoders, streams.frames, pictures, adaptive=adaptive)
    return Result(
        rows=sum(one["streams"] for one in sources.values()),
        pool=[{name: one["pool"] for name, one in sources.items()}],
        prompt=embedder.model.config.prompts.caption,
        more={
            "data": provenance.data_of(context.found.folder),
            "packages": provenance.packages(),
            "decoder": {
                "name": next(iter(setting.decoders)),
                "num_beams": setting.beams,
                "digest": _decoder_digest(setting),
            },
            "protocol": PROTOCOL,
            "sources": sources,
            "wall_time": timed,
        },
    )


def choose(context: Context, **plan: Any) -> Result:
    """What `SelectiveConfig` should be, from streams of the validation photos.

    The online method is the one that needs the fewest decodes for the quality of uniform decoding at 1 Hz; each
    threshold is the highest that keeps that quality, or the one with the best quality where none does.
    """
    setting, embedder = _setting(context, plan)
    streams = build_streams(context, setting, "photos", "validation", embedder)
    offline = offline_methods()
    wanted = cider_at(_rate_curves(streams.watched, streams.scorer, setting, offline[UNIFORM])[MAIN], REFERENCE_RATE)
    online = {name: _online_curves(streams.watched, streams.scorer, setting, name)[MAIN] for name in setting.online}
    best = min(online, key=lambda name: online[name].rate_at(wanted))
    adaptive = _rate_curves(streams.watched, streams.scorer, setting, offline[ADAPTIVE])[MAIN]
    rate = adaptive.rate_at(wanted)
    if not np.isfinite(rate):
        rate = float(adaptive.rates.mean(1)[int(adaptive.cider.mean(1).argmax())])
    quality = online[best].cider.mean(1)
    place = int(np.flatnonzero(quality >= wanted)[0]) if (quality >= wanted).any() else int(quality.argmax())
    threshold = sorted(setting.online[best]["thresholds"], reverse=True)[place]  # the curve's points go down with it
    figures = {
        "uniform at 1 Hz": wanted,
        **{f"rate of {name}": min(curve.rate_at(wanted), 1e9) for name, curve in online.items()},
        **{f"best of {name}": float(curve.cider.mean(1).max()) for name, curve in online.items()},
        "threshold": threshold,
        "window": setting.online[best]["window"],
        "offline rate": rate,
        "offline threshold": offline_threshold(streams.watched, rate=rate),
    }
    return Result(
        metrics={best: figures},
        rows=len(streams.watched),
        pool=[{"photos": len(streams.pictures)}],
        prompt=embedder.model.config.prompts.caption,
    )


def offline_threshold(streams: list[Watched], *, rate: float) -> float:
    """Highest Ward distance, of a fine grid, at which the streams have at least `rate` segments per second."""
    seconds = sum(len(one.rows) for one in streams) / FPS
    for threshold in np.linspace(3.0, 0.0, 301):
        if sum(one.tree.count_at(float(threshold)) for one in streams) >= rate * seconds:
            return float(threshold)
    return 0.0


def _setting(context: Context, plan: dict[str, Any]) -> tuple[Plan, Embedder]:
    """The plan, and the model with the decoder of the curves, on the CPU."""
    setting = Plan(**{"decoders": None} | plan | {"sources": tuple(plan.get("sources", Plan.sources))})
    setting = setting if setting.decoders else Plan(**{**vars(setting), "decoders": own_decoder(context.model.name)})
    decoder = next(iter(setting.decoders.values()))
    return setting, Embedder.from_pretrained(context.model.name, device="cpu", decoder=decoder)


def build_streams(context: Context, setting: Plan, source: str, split: str, embedder: Embedder) -> StreamSet:
    """Streams of a source's held-out images, encoded."""
    data, plan = context.found.folder, setting.streams
    known = {one.source_id for one in read_captions(data, source, "train")}
    pictures = [one for one in read_captions(data, source, split) if source != "emoji" or one.style == STYLE]
    assert not known & {one.source_id for one in pictures}, "streams show held-out pictures only"
    numbers = [(seed, number) for seed in plan["seeds"] for number in range(plan["per_seed"][source])]

    def built(fades: float) -> list[Stream]:
        return [
            build_stream(pictures=len(pictures), seconds=plan["seconds"], seed=seed, number=number, fades=fades)
            for seed, number in numbers
        ]

    plain, faded = built(0.5), built(1.0)
    cache = context.cache / "selective"
    frames = encode_frames(
        (frame for stream in (*plain, *faded) for frame in stream.frames),
        pictures=[one.path for one in pictures],
        embedder=embedder,
        cache=cache,
    )
    say(f"{source} {split}: {len(pictures)} pictures, {len(frames.rows)} different frames, {len(plain)} streams")
    scorer = Scorer(
        [one.texts for one in pictures],
        decode=lambda rows: embedder.words(rows, num_beams=setting.beams),
        kept=cache / f"texts-{_decoder_digest(setting)}.jsonl",
    )
    watched, all_faded = ([_watch(one, frames) for one in several] for several in (plain, faded))
    return StreamSet(pictures, frames, watched, all_faded, scorer)


def _watch(stream: Stream, frames: Frames) -> Watched:
    numbers = frames.numbers(stream.frames)
    rows, grey = frames.rows[numbers], frames.grey[numbers]
    return Watched(stream, rows, np.abs(np.diff(grey, axis=0)).mean((1, 2)), ward_chain(rows))


def _decoder_digest(setting: Plan) -> str:
    """Hash of all that decides what the curves' decoder writes."""
    hashed = hashlib.blake2b(str(setting.beams).encode(), digest_size=8)
    for file in sorted(Path(next(iter(setting.decoders.values()))).iterdir()):
        content = file.read_bytes()
        if file.name == "config.json":
            config = json.loads(content)
            config.pop("selective", None)  # when it writes, not what it writes
            content = json.dumps(config, sort_keys=True).encode()
        hashed.update(file.name.encode() + b"\0" + content)
    return hashed.hexdigest()


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


def _rate_curves(streams: list[Watched], scorer: Scorer, setting: Plan, method: Method) -> Curves:
    points = [[method(one, rate) for one in streams] for rate in sorted(setting.rates)]
    return score_points(points, streams, scorer)


def _online_curves(streams: list[Watched], scorer: Scorer, setting: Plan, name: str) -> Curves:
    """Curves of an online score over its thresholds, the highest first."""
    plan, points = setting.online[name], []
    for threshold in sorted(plan["thresholds"], reverse=True):
        config = SelectiveConfig.model_validate(
            {"method": name, "window": plan["window"], "threshold": threshold, "fps": FPS, "readout": "mean"}
        )
        points.append([methods.online(one, config=config) for one in streams])
    return score_points(points, streams, scorer)


def score_points(points: list[list[Decodes]], streams: list[Watched], scorer: Scorer) -> Curves:
    """Decode and score operating points, each of one `Decodes` per stream."""
    scorer.prepare([one for point in points for one in point])
    pairs = [list(zip(streams, point, strict=True)) for point in points]
    rates = np.array([[len(one.times) * FPS / len(seen.rows) for seen, one in pair] for pair in pairs])
    return {
        name: Curve(
            rates, np.array([[scorer.score(seen.stream, one, protocol=name) for seen, one in pair] for pair in pairs])
        )
        for name in PROTOCOLS
    }


def _curves(setting: Plan, streams: StreamSet) -> dict[str, Any]:
    curves: dict[str, Curves] = {}
    for name, method in offline_methods().items():
        curves[name] = _rate_curves(streams.watched, streams.scorer, setting, method)
        say(f"{name}: done")
    for name in setting.online:
        curves[f"online {name}, mean"] = _online_curves(streams.watched, streams.scorer, setting, name)
        say(f"online {name}: done")
    faded = {
        name: _rate_curves(streams.faded, streams.scorer, setting, method)
        for name, method in offline_methods().items()
        if not name.startswith(("oracle", "random"))
    }
    shots = [len(one.stream.starts) * FPS / len(one.rows) for one in streams.watched]
    seeds = len(setting.streams["seeds"])
    return {
        "pool": len(streams.pictures),
        "streams": len(streams.watched),
        "different_frames": len(streams.frames.rows),
        "shots_per_second": float(np.mean(shots)),
        **_summary(curves, list(PROTOCOLS), seeds=seeds),
        "only_cross_fades": {"streams": len(streams.faded), **_summary(faded, [MAIN], seeds=seeds)},
    }


def _summary(curves: dict[str, Curves], protocols: list[str], *, seeds: int) -> dict[str, Any]:
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
            name: {one: _points(several[one], seeds=seeds) for one in protocols} for name, several in curves.items()
        },
        "savings": against(like_for_like, list(curves)),
        "savings_mixed": against(lambda name: UNIFORM, mixed),
    }


def _points(curve: Curve, *, seeds: int) -> list[dict[str, float]]:
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
