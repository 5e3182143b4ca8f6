"""Selective decoding of made streams: caption quality against decodes per second, savings, and wall-clock time.

Every saving is against uniform decoding's own first crossing of its quality at 1 Hz: like for like with the same
readout (exact with exact, mean with mean), and the mixed number (mean against exact) beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eval.core.charts import Line, lines
from eval.core.console import log
from eval.core.prepared import Captioned
from eval.core.result import Context, Result
from eval.tasks.made.curves import OFFLINE, UNIFORM, online_curves, rate_curves, summary
from eval.tasks.made.frames import Frames, encode_frames, held_out
from eval.tasks.made.methods import Watched
from eval.tasks.made.scoring import MAIN, PROTOCOLS, Scorer
from eval.tasks.made.streams import FPS, build_stream
from eval.tasks.made.wall_clock import wall_clock
from eval.tasks.words import STYLE, own_decoder
from vljepa.inference.embed import Embedder
from vljepa.metrics.selective import REFERENCE_RATE, cider_at

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


class StreamSet(NamedTuple):
    """Streams of one kind of image, encoded; `faded` have cross-fades alone."""

    images: list[Captioned]
    frames: Frames
    watched: list[Watched]
    faded: list[Watched]
    scorer: Scorer


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which streams, rates and thresholds, and whose words.

    Args:
        context: The prepared folder and the model.
        streams: `seconds`, `per_seed` by source, `seeds`.
        rates: Decodes per second.
        online: By method, `window` and `thresholds`.
        decoders: Name to folder; the first makes the curves, the others are timed too; the model's own when absent.
        beams: Beams of the curves' decoder.
        sources: Of the held-out images.
    """

    context: Context
    streams: dict[str, Any]
    rates: list[float]
    online: dict[str, dict[str, Any]]
    decoders: dict[str, str]
    beams: int = 1
    sources: Sequence[str] = ("photos", "emoji")

    @classmethod
    def of(cls, context: Context, plan: dict[str, Any]) -> tuple[Plan, Embedder]:
        """The plan, and the model with the decoder of the curves, on the CPU."""
        name = context.model.name
        one = cls(context=context, **plan | {"decoders": plan.get("decoders") or own_decoder(name)})
        return one, Embedder.from_pretrained(name, device="cpu", decoder=next(iter(one.decoders.values())))

    def build(self, source: str, split: str, embedder: Embedder) -> StreamSet:
        """Streams of a source's held-out images, encoded."""
        images = held_out(self.context.found.folder, source, split, style=STYLE if source == "emoji" else None)
        plain, faded = (
            [
                build_stream(images=len(images), seconds=self.streams["seconds"], seed=seed, number=number, fades=fades)
                for seed in self.streams["seeds"]
                for number in range(self.streams["per_seed"][source])
            ]
            for fades in (0.5, 1.0)
        )
        cache = self.context.cache / "selective"
        frames = encode_frames([*plain, *faded], images=images, embedder=embedder, cache=cache)
        log(f"{source} {split}: {len(images)} images, {len(frames.rows)} different frames, {len(plain)} streams")
        scorer = Scorer(
            [one.texts for one in images],
            decode=lambda rows, classes: embedder.write(rows, classes, num_beams=self.beams),
            kept=cache / f"texts-{self.digest()}.jsonl",
        )
        watched, fading = (list(map(frames.watched, several)) for several in (plain, faded))
        return StreamSet(images, frames, watched, fading, scorer)

    def digest(self) -> str:
        """Hash of all that decides what the curves' decoder writes."""
        hashed = hashlib.blake2b(str(self.beams).encode(), digest_size=8)
        for file in sorted(Path(next(iter(self.decoders.values()))).iterdir()):
            content = file.read_bytes()
            if file.name == "config.json":
                config = json.loads(content)
                config.pop("selective", None)  # when it writes, not what it writes
                content = json.dumps(config, sort_keys=True).encode()
            hashed.update(file.name.encode() + b"\0" + content)
        return hashed.hexdigest()


def measure(context: Context, **plan: Any) -> Result:
    """Curves, savings and wall-clock time on the test images; `plan` as for `Plan`."""
    setting, embedder = Plan.of(context, plan)
    sources: dict[str, Any] = {}
    timed = None
    for source in setting.sources:
        streams = setting.build(source, "test", embedder)
        sources[source] = _curves(setting, streams)
        if timed is None:
            adaptive = sources[source]["savings"][ADAPTIVE][MAIN]
            images = [one.path for one in streams.images]
            timed = wall_clock(context.model.name, setting.decoders, streams.frames, images, adaptive=adaptive)
    decoder = {"name": next(iter(setting.decoders)), "num_beams": setting.beams, "digest": setting.digest()}
    return Result(
        rows=sum(one["streams"] for one in sources.values()),
        pool=[{name: one["pool"] for name, one in sources.items()}],
        more={"decoder": decoder, "sources": sources, "wall_time": timed},
    )


def choose(context: Context, **plan: Any) -> Result:
    """What `SelectiveConfig` should be, from streams of the validation photos.

    The online method is the one that needs the fewest decodes for the quality of uniform decoding at 1 Hz; each
    threshold is the highest that keeps that quality, or the one with the best quality where none does.
    """
    setting, embedder = Plan.of(context, plan)
    streams = setting.build("photos", "validation", embedder)
    uniform, adaptive = (
        rate_curves(streams.watched, streams.scorer, name, setting.rates)[MAIN] for name in (UNIFORM, ADAPTIVE)
    )
    wanted = cider_at(uniform, REFERENCE_RATE)
    online = {
        name: online_curves(streams.watched, streams.scorer, name, one)[MAIN] for name, one in setting.online.items()
    }
    best = min(online, key=lambda name: online[name].rate_at(wanted))
    rate = adaptive.rate_at(wanted)
    if not np.isfinite(rate):
        rate = float(adaptive.rates.mean(1)[int(adaptive.cider.mean(1).argmax())])
    quality = online[best].cider.mean(1)
    place = int(np.flatnonzero(quality >= wanted)[0]) if (quality >= wanted).any() else int(quality.argmax())
    figures = {
        "uniform at 1 Hz": wanted,
        **{f"rate of {name}": min(curve.rate_at(wanted), 1e9) for name, curve in online.items()},
        **{f"best of {name}": float(curve.cider.mean(1).max()) for name, curve in online.items()},
        # the curve's points go down with the threshold
        "threshold": sorted(setting.online[best]["thresholds"], reverse=True)[place],
        "window": setting.online[best]["window"],
        "offline rate": rate,
        "offline threshold": offline_threshold(streams.watched, rate=rate),
    }
    return Result(metrics={best: figures}, rows=len(streams.watched), pool=[{"photos": len(streams.images)}])


def offline_threshold(streams: list[Watched], *, rate: float) -> float:
    """Highest Ward distance, of a fine grid, at which the streams have at least `rate` segments per second."""
    seconds = sum(len(one.rows) for one in streams) / FPS
    for threshold in np.linspace(3.0, 0.0, 301):
        if sum(one.tree.count_at(float(threshold)) for one in streams) >= rate * seconds:
            return float(threshold)
    return 0.0


def _curves(setting: Plan, streams: StreamSet) -> dict[str, Any]:
    watched, faded, scorer = streams.watched, streams.faded, streams.scorer
    curves = {name: rate_curves(watched, scorer, name, setting.rates) for name in OFFLINE}
    log("methods that are given a rate: done")
    curves |= {
        f"online {name}, mean": online_curves(watched, scorer, name, one) for name, one in setting.online.items()
    }
    log("online scores: done")
    fading = {
        name: rate_curves(faded, scorer, name, setting.rates)
        for name in OFFLINE
        if not name.startswith(("oracle", "random"))
    }
    seeds = len(setting.streams["seeds"])
    return {
        "pool": len(streams.images),
        "streams": len(watched),
        "different_frames": len(streams.frames.rows),
        "shots_per_second": float(np.mean([len(one.made.starts) * FPS / len(one.rows) for one in watched])),
        **summary(curves, PROTOCOLS, seeds=seeds),
        "only_cross_fades": {"streams": len(faded), **summary(fading, [MAIN], seeds=seeds)},
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
