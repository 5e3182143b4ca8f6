"""Runs the measurement: streams, curves, savings, and wall time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eval.mini import provenance
from eval.mini.data import Captioned, read_captions
from eval.selective import methods
from eval.selective.frames import Frames, encode_frames
from eval.selective.methods import Decodes, Watched
from eval.selective.protocol import MAIN, PROTOCOLS, Scorer
from eval.selective.streams import FPS, Stream, build_stream
from eval.selective.wall_time import wall_time
from vljepa.configs import SelectiveConfig
from vljepa.inference.embed import Embedder
from vljepa.inference.segmentation import ward_chain
from vljepa.metrics.selective import REFERENCE_RATE, Curve, cider_at, saving
from vljepa.parts.saved import CONFIG_FILE

STYLE = "fluent"
UNIFORM, ADAPTIVE = "uniform, exact", "adaptive, mean"
Say = Callable[[str], None]
Way = Callable[[Watched, float], Decodes]
Curves = dict[str, Curve]
PROTOCOL = {
    "streams": "shots of held-out pictures, durations log-normal with mean 4 s and sigma 0.8, 4 frames per second, the "
    "camera moves in and back in steps of half a second, half of the transitions are cross-fades of 1 s to one of 3 "
    "seeded successors (see eval/selective/streams.py); every different frame is rendered and encoded",
    "annotations": "the captions of a shot's picture, at the middle of the shot or at a random time in it; matched to "
    "the decode nearest in time, or to that of the segment around it; 'middle, nearest' is the main protocol",
    "cider": "CIDEr-D, weights from the captions of the different pictures, mean over annotations, then over streams",
    "saving": f"{REFERENCE_RATE} Hz over the rate that reaches the quality of uniform exact decoding at "
    f"{REFERENCE_RATE} Hz; 95% bootstrap over streams, which all show the same few pictures",
    "wall time": "no whole stream is timed: medians of single frames, rendered from pictures in memory and "
    "preprocessed ('read'), and of single decodes, times how many there are of each per second",
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
    embedder = decoding_embedder(setting, next(iter(setting.decoders.values())))
    result: dict[str, Any] = {
        "task": "selective decoding: CIDEr-D of the decode nearest to each annotation, against decodes per second",
        "split": "test",
        **provenance.origin("eval.selective"),
        "data": provenance.data_of(setting.data),
        "packages": provenance.packages(),
        "model": provenance.model_of(setting.model),
        "suite": setting.suite,
        "decoder": {
            "name": next(iter(setting.decoders)),
            "num_beams": setting.beams,
            "digest": _decoder_digest(setting),
        },
        "protocol": PROTOCOL,
        "sources": {},
    }
    for source in ("photos", "emoji"):
        world = build_world(setting, source, "test", embedder, say=say)
        result["sources"][source] = _curves(setting, world, embedder, say=say)
        if source == "photos":
            result["wall_time"] = wall_time(
                setting, world, adaptive=result["sources"][source]["savings"][ADAPTIVE][MAIN]
            )
    return result


def decoding_embedder(setting: Setting, decoder: str) -> Embedder:
    """The model with one of the decoders, on the CPU."""
    return Embedder.from_pretrained(setting.model, device="cpu", decoder=decoder)


def build_world(setting: Setting, source: str, split: str, embedder: Embedder, *, say: Say) -> World:
    """Streams of a source's held-out pictures, encoded."""
    known = {one.source_id for one in read_captions(setting.data, source, "train")}
    pictures = [one for one in read_captions(setting.data, source, split) if source != "emoji" or one.style == STYLE]
    assert not known & {one.source_id for one in pictures}, "streams show held-out pictures only"
    plan = setting.suite["streams"]
    numbers = [(seed, number) for seed in plan["seeds"] for number in range(plan["per_seed"][source])]

    def built(fades: float) -> list[Stream]:
        return [
            build_stream(pictures=len(pictures), seconds=plan["seconds"], seed=seed, number=number, fades=fades)
            for seed, number in numbers
        ]

    plain, faded = built(0.5), built(1.0)
    frames = encode_frames(
        (frame for stream in (*plain, *faded) for frame in stream.frames),
        pictures=[one.path for one in pictures],
        embedder=embedder,
        model_digest=embedder.model.fingerprint(),
        cache=setting.cache,
        say=say,
    )
    say(f"{source} {split}: {len(pictures)} pictures, {len(frames.rows)} different frames, {len(plain)} streams")
    return World(pictures, frames, [_watch(one, frames) for one in plain], [_watch(one, frames) for one in faded])


def _watch(stream: Stream, frames: Frames) -> Watched:
    numbers = frames.numbers(stream.frames)
    rows, grey = frames.rows[numbers], frames.grey[numbers]
    return Watched(stream, rows, np.abs(np.diff(grey, axis=0)).mean((1, 2)), ward_chain(rows))


def scorer_of(setting: Setting, world: World, embedder: Embedder) -> Scorer:
    """Scores streams; the decoder's texts are kept in the cache."""
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


def rate_curves(streams: list[Watched], scorer: Scorer, setting: Setting, way: Way) -> Curves:
    """Curves of a method that is told how many decodes per second there are to be."""
    points = [[way(one, rate) for one in streams] for rate in sorted(setting.suite["rates"])]
    return score_points(points, streams, scorer)


def online_curves(streams: list[Watched], scorer: Scorer, setting: Setting, name: str) -> Curves:
    """Curves of an online score over its thresholds, the highest first."""
    plan = setting.suite["online"][name]
    points = []
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


def offline_ways() -> dict[str, Way]:
    """Every method that is told a rate, by the name that tables give it."""
    ways: dict[str, Way] = {}
    for readout in ("exact", "mean"):
        for name, way in (
            ("uniform", methods.uniform),
            ("adaptive", methods.adaptive),
            ("oracle", methods.oracle),
            ("pixel difference", methods.pixel_difference),
        ):
            ways[f"{name}, {readout}"] = partial(_told, way, readout)
    ways["random times"] = lambda one, rate: methods.random_times(one, rate=rate)
    return ways


def _told(way: Callable[..., Decodes], readout: str, one: Watched, rate: float) -> Decodes:
    return way(one, rate=rate, readout=readout)


def _curves(setting: Setting, world: World, embedder: Embedder, *, say: Say) -> dict[str, Any]:
    scorer, streams = scorer_of(setting, world, embedder), world.watched
    curves: dict[str, Curves] = {}
    for name, way in offline_ways().items():
        curves[name] = rate_curves(streams, scorer, setting, way)
        say(f"{name}: done")
    for name in setting.suite["online"]:
        curves[f"online {name}, mean"] = online_curves(streams, scorer, setting, name)
        say(f"online {name}: done")
    faded = {
        name: rate_curves(world.faded, scorer, setting, way)
        for name, way in offline_ways().items()
        if not name.startswith(("oracle", "random"))
    }
    say("only cross-fades: done")
    uniform, seeds = curves[UNIFORM], len(setting.suite["streams"]["seeds"])
    return {
        "pool": len(world.pictures),
        "streams": len(streams),
        "different_frames": len(world.frames.rows),
        "shots_per_second": float(np.mean([len(one.stream.starts) * FPS / len(one.rows) for one in streams])),
        "uniform_1hz": {name: cider_at(uniform[name], REFERENCE_RATE) for name in PROTOCOLS},
        "curves": {
            name: {protocol: _points(curve, seeds=seeds) for protocol, curve in some.items()}
            for name, some in curves.items()
        },
        "savings": {
            name: {protocol: saving(curve, uniform=uniform[protocol]) for protocol, curve in some.items()}
            for name, some in curves.items()
        },
        "only_cross_fades": {
            "streams": len(world.faded),
            "curves": {name: {MAIN: _points(some[MAIN], seeds=seeds)} for name, some in faded.items()},
            "savings": {name: saving(some[MAIN], uniform=faded[UNIFORM][MAIN]) for name, some in faded.items()},
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
