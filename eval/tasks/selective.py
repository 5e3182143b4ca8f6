"""Selective decoding of made streams: caption quality against decodes per second, savings, and wall-clock time.

Every saving is against uniform decoding's own first crossing of its quality at 1 Hz: like for like with the same
readout (exact with exact, mean with mean), and the mixed number (mean against exact) beside it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.core import provenance
from eval.core.charts import Line, lines
from eval.core.console import log
from eval.core.prepared import Captioned, read_captions
from eval.core.result import Context, Result
from eval.tasks.made.curves import UNIFORM, Curves, offline_methods, online_curves, rate_curves, summary
from eval.tasks.made.frames import Frames, encode_frames
from eval.tasks.made.methods import Watched
from eval.tasks.made.scoring import MAIN, PROTOCOLS, Scorer
from eval.tasks.made.streams import FPS, Stream, build_stream
from eval.tasks.made.wall_clock import wall_clock
from eval.tasks.words import own_decoder
from vljepa.inference.embed import Embedder
from vljepa.inference.segmentation import ward_chain
from vljepa.metrics.selective import REFERENCE_RATE, cider_at

STYLE = "fluent"
ADAPTIVE = "adaptive, mean"
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
    wanted = cider_at(
        rate_curves(streams.watched, streams.scorer, offline[UNIFORM], setting.rates)[MAIN], REFERENCE_RATE
    )
    online = {
        name: online_curves(streams.watched, streams.scorer, name, setting.online[name])[MAIN]
        for name in setting.online
    }
    best = min(online, key=lambda name: online[name].rate_at(wanted))
    adaptive = rate_curves(streams.watched, streams.scorer, offline[ADAPTIVE], setting.rates)[MAIN]
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
    log(f"{source} {split}: {len(pictures)} pictures, {len(frames.rows)} different frames, {len(plain)} streams")
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


def _curves(setting: Plan, streams: StreamSet) -> dict[str, Any]:
    curves: dict[str, Curves] = {}
    for name, method in offline_methods().items():
        curves[name] = rate_curves(streams.watched, streams.scorer, method, setting.rates)
        log(f"{name}: done")
    for name in setting.online:
        curves[f"online {name}, mean"] = online_curves(streams.watched, streams.scorer, name, setting.online[name])
        log(f"online {name}: done")
    faded = {
        name: rate_curves(streams.faded, streams.scorer, method, setting.rates)
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
        **summary(curves, list(PROTOCOLS), seeds=seeds),
        "only_cross_fades": {"streams": len(streams.faded), **summary(faded, [MAIN], seeds=seeds)},
    }


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
