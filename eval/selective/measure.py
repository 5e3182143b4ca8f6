"""Runs the measurement: streams, curves, savings, and wall time."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.mini import provenance
from eval.mini.data import Captioned, read_captions
from eval.selective import methods
from eval.selective.frames import Frames, encode_frames, render
from eval.selective.methods import Decodes, Watched
from eval.selective.protocol import REFERENCE_RATE, Curve, Scorer, cider_at, saving
from eval.selective.streams import FPS, Stream, build_stream
from vljepa.configs import SelectiveConfig
from vljepa.inference.embed import Embedder
from vljepa.inference.segmentation import ward_chain
from vljepa.parts.saved import CONFIG_FILE

STYLE = "fluent"
TIMED = 48
Say = Callable[[str], None]
PROTOCOL = {
    "streams": "shots of held-out pictures, durations log-normal with mean 4 s and sigma 0.8, 4 frames per second, the "
    "camera moves in and back in steps of half a second, half of the transitions are cross-fades of 1 s to one of 3 "
    "seeded successors (see eval/selective/streams.py); every different frame is rendered and encoded",
    "annotations": "the captions of a shot's picture at the middle of the shot, matched to the decode nearest in time",
    "cider": "CIDEr-D, weights from the captions of the different pictures, mean over annotations, then over streams",
    "saving": f"{REFERENCE_RATE} Hz over the rate that reaches the quality of uniform exact decoding at "
    f"{REFERENCE_RATE} Hz; 95% bootstrap over streams",
}


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Args:
        suite: The suite file's content.
        data: Prepared folder.
        model: Model whose embeddings are watched.
        decoders: Name to folder; the first is the one of the curves, the others are timed too.
        cache: Folder for encoded frames.
        beams: Beams of the curves' decoder.
    """

    suite: dict[str, Any]
    data: Path
    model: str
    decoders: dict[str, str]
    cache: Path
    beams: int = 1


@dataclass(frozen=True)
class World:
    """Streams of one kind of picture, encoded."""

    pictures: list[Captioned]
    frames: Frames
    watched: list[Watched]
    faded: list[Watched]


def measure(setting: Setting, *, say: Say) -> dict[str, Any]:
    """The whole result on the test pictures."""
    embedder = _embedder(setting, next(iter(setting.decoders.values())))
    result: dict[str, Any] = {
        "task": "selective decoding: CIDEr-D of the decode nearest to each annotation, against decodes per second",
        "split": "test",
        **provenance.origin("eval.selective"),
        "data": provenance.data_of(setting.data),
        "packages": provenance.packages(),
        "model": provenance.model_of(setting.model),
        "suite": setting.suite,
        "decoder": {"name": next(iter(setting.decoders)), "num_beams": setting.beams},
        "protocol": PROTOCOL,
        "sources": {},
    }
    for source in ("photos", "emoji"):
        world = _world(setting, source, "test", embedder, say=say)
        result["sources"][source] = _curves(setting, world, embedder, say=say)
        if source == "photos":
            result["wall_time"] = _wall_time(setting, world, result["sources"][source])
    return result


def choose(setting: Setting, *, say: Say) -> dict[str, Any]:
    """Method and thresholds for `SelectiveConfig`, from streams of the validation photos.

    The online method is the one that needs the fewest decodes for the quality of uniform decoding at 1 Hz; each
    threshold is the highest that keeps that quality.
    """
    embedder = _embedder(setting, next(iter(setting.decoders.values())))
    world = _world(setting, "photos", "validation", embedder, say=say)
    scorer = _scorer(setting, world, embedder)
    uniform = _curve(world.watched, scorer, setting, lambda one, rate: methods.uniform(one, rate=rate, readout="exact"))
    wanted = cider_at(uniform, REFERENCE_RATE)
    online = {name: _online(world.watched, scorer, setting, name, readout="mean") for name in setting.suite["online"]}
    best = min(online, key=lambda name: online[name].rate_at(wanted))
    thresholds = sorted(setting.suite["online"][best]["thresholds"], reverse=True)
    adaptive = _curve(
        world.watched, scorer, setting, lambda one, rate: methods.adaptive(one, rate=rate, readout="mean")
    )
    rate = adaptive.rate_at(wanted)
    heights = np.concatenate([one.tree.heights for one in world.watched])
    seconds = sum(len(one.rows) for one in world.watched) / FPS
    return {
        "uniform_1hz": wanted,
        "online_rates": {name: curve.rate_at(wanted) for name, curve in online.items()},
        "method": best,
        "window": setting.suite["online"][best]["window"],
        "threshold": _threshold_at(online[best], thresholds, wanted),
        "offline_rate": rate,
        # The merges that are left out at that rate are the highest: their number is segments minus streams.
        "offline_threshold": float(np.sort(heights)[-max(1, round(rate * seconds) - len(world.watched))]),
    }


def _threshold_at(curve: Curve, thresholds: list[float], wanted: float) -> float:
    """Highest threshold whose mean quality reaches `wanted`; the curve's points go by descending threshold."""
    reached = np.flatnonzero(curve.cider.mean(1) >= wanted)
    return thresholds[int(reached[0])] if len(reached) else thresholds[-1]


def _embedder(setting: Setting, decoder: str) -> Embedder:
    return Embedder.from_pretrained(setting.model, device="cpu", decoder=decoder)


def _world(setting: Setting, source: str, split: str, embedder: Embedder, *, say: Say) -> World:
    pictures = [one for one in read_captions(setting.data, source, split) if source != "emoji" or one.style == STYLE]
    plan = setting.suite["streams"]
    numbers = [(seed, number) for seed in plan["seeds"] for number in range(plan["per_seed"])]

    def built(fades: float) -> list[Stream]:
        return [
            build_stream(pictures=len(pictures), seconds=plan["seconds"], seed=seed, number=number, fades=fades)
            for seed, number in numbers
        ]

    plain, faded = built(0.5), built(1.0)
    frames = encode_frames(
        (frame for stream in plain for frame in stream.frames),
        pictures=[one.path for one in pictures],
        embedder=embedder,
        model_digest=embedder.model.fingerprint(),
        cache=setting.cache,
        say=say,
    )
    say(f"{source} {split}: {len(pictures)} pictures, {len(frames.rows)} different frames, {len(plain)} streams")
    known = [stream for stream in faded if all(frame in frames.places for frame in stream.frames)]
    return World(pictures, frames, [_watch(one, frames) for one in plain], [_watch(one, frames) for one in known])


def _watch(stream: Stream, frames: Frames) -> Watched:
    numbers = frames.numbers(stream.frames)
    rows, grey = frames.rows[numbers], frames.grey[numbers]
    return Watched(stream, rows, np.abs(np.diff(grey, axis=0)).mean((1, 2)), ward_chain(rows))


def _scorer(setting: Setting, world: World, embedder: Embedder) -> Scorer:
    return Scorer(
        [one.texts for one in world.pictures],
        decode=lambda rows: embedder.words(rows, num_beams=setting.beams),
        kept=setting.cache / f"texts-{_decoder_digest(setting)}.jsonl",
    )


def _decoder_digest(setting: Setting) -> str:
    """Hash of all that decides what the curves' decoder says."""
    folder = Path(next(iter(setting.decoders.values())))
    hashed = hashlib.blake2b(str(setting.beams).encode(), digest_size=8)
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        if file.name == CONFIG_FILE:
            config = json.loads(content)
            config.pop("selective", None)  # when it speaks, not what it says
            content = json.dumps(config, sort_keys=True).encode()
        hashed.update(file.name.encode() + b"\0" + content)
    return hashed.hexdigest()


def _curve(
    streams: list[Watched], scorer: Scorer, setting: Setting, choose_at: Callable[[Watched, float], Decodes]
) -> Curve:
    points = [[choose_at(one, rate) for one in streams] for rate in sorted(setting.suite["rates"])]
    return _scored(points, streams, scorer)


def _online(streams: list[Watched], scorer: Scorer, setting: Setting, name: str, *, readout: str) -> Curve:
    plan = setting.suite["online"][name]
    points = []
    for threshold in sorted(plan["thresholds"], reverse=True):
        config = SelectiveConfig.model_validate(
            {"method": name, "window": plan["window"], "threshold": threshold, "fps": FPS, "readout": readout}
        )
        points.append([methods.online(one, config=config) for one in streams])
    return _scored(points, streams, scorer)


def _scored(points: list[list[Decodes]], streams: list[Watched], scorer: Scorer) -> Curve:
    scorer.prepare([one for point in points for one in point])
    rates = [
        [len(one.times) * FPS / len(seen.rows) for one, seen in zip(point, streams, strict=True)] for point in points
    ]
    cider = [[scorer.score(seen.stream, one) for one, seen in zip(point, streams, strict=True)] for point in points]
    return Curve(np.array(rates), np.array(cider))


def _curves(setting: Setting, world: World, embedder: Embedder, *, say: Say) -> dict[str, Any]:
    scorer, streams = _scorer(setting, world, embedder), world.watched
    curves: dict[str, Curve] = {}
    for readout in ("exact", "mean"):
        for name, way in (("uniform", methods.uniform), ("adaptive", methods.adaptive), ("oracle", methods.oracle)):
            curves[f"{name}, {readout}"] = _curve(
                streams,
                scorer,
                setting,
                lambda one, rate, way=way, readout=readout: way(one, rate=rate, readout=readout),
            )
            say(f"{name}, {readout}: done")
    curves["pixel difference, exact"] = _curve(
        streams, scorer, setting, lambda one, rate: methods.pixel_difference(one, rate=rate, readout="exact")
    )
    curves["random times"] = _curve(
        streams, scorer, setting, lambda one, rate: methods.random_times(one, rate=rate, seed=0)
    )
    for name in setting.suite["online"]:
        curves[f"online {name}, mean"] = _online(streams, scorer, setting, name, readout="mean")
        say(f"online {name}: done")
    uniform = curves["uniform, exact"]
    faded = {
        "adaptive, exact": _curve(
            world.faded, scorer, setting, lambda one, rate: methods.adaptive(one, rate=rate, readout="exact")
        ),
        "pixel difference, exact": _curve(
            world.faded, scorer, setting, lambda one, rate: methods.pixel_difference(one, rate=rate, readout="exact")
        ),
        "uniform, exact": _curve(
            world.faded, scorer, setting, lambda one, rate: methods.uniform(one, rate=rate, readout="exact")
        ),
    }
    plan = setting.suite["streams"]
    return {
        "pool": len(world.pictures),
        "streams": len(streams),
        "different_frames": len(world.frames.rows),
        "shots_per_second": float(np.mean([len(one.stream.starts) * FPS / len(one.rows) for one in streams])),
        "uniform_1hz": cider_at(uniform, REFERENCE_RATE),
        "curves": {name: _points(curve, seeds=len(plan["seeds"])) for name, curve in curves.items()},
        "savings": {name: saving(curve, uniform=uniform) for name, curve in curves.items()},
        "only_cross_fades": {
            "streams": len(world.faded),
            "savings": {name: saving(curve, uniform=faded["uniform, exact"]) for name, curve in faded.items()},
        },
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


def _wall_time(setting: Setting, world: World, curves: dict[str, Any]) -> dict[str, Any]:
    """Processor-bound seconds per second of stream, split; and the ratio of uniform and adaptive decoding."""
    frames = list(world.frames.places)[:TIMED]
    from PIL import Image

    opened = [Image.open(one.path).convert("RGBA") for one in world.pictures]
    embedder = _embedder(setting, next(iter(setting.decoders.values())))
    model, processor = embedder.model, embedder.processor
    seconds: dict[str, list[float]] = {"read": [], "encode": [], "predict": []}
    with torch.inference_mode():
        for frame in frames:
            marks = [time.perf_counter()]
            pixels = processor.images([render(frame, opened)])
            marks.append(time.perf_counter())
            vision = model.encode_vision(pixels)
            marks.append(time.perf_counter())
            model.predict(vision)
            marks.append(time.perf_counter())
            for name, start, end in zip(seconds, marks, marks[1:], strict=False):
                seconds[name].append(end - start)
    per_frame = {name: float(np.median(values)) for name, values in seconds.items()}
    rates = {"uniform": REFERENCE_RATE, "adaptive": REFERENCE_RATE / curves["savings"]["adaptive, mean"]["times_fewer"]}
    arms = {}
    for name, folder in setting.decoders.items():
        own = _embedder(setting, folder)
        times = []
        for row in world.frames.rows[:TIMED]:
            start = time.perf_counter()
            own.words(row[None], num_beams=setting.beams)
            times.append(time.perf_counter() - start)
        decode = float(np.median(times))
        watch = FPS * sum(per_frame.values())
        total = {way: watch + rate * decode for way, rate in rates.items()}
        arms[name] = {
            "decode_s": decode,
            "seconds_per_second": total,
            "ratio": total["uniform"] / total["adaptive"],
            "decode_only_ratio": rates["uniform"] / rates["adaptive"],
        }
    return {"per_frame_s": per_frame, "fps": FPS, "rates": rates, "decoders": arms}
