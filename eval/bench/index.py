"""How quick files get embedded: ``python eval/run.py bench.index photos=FOLDER``, on two cores with nothing beside it.

Every part of the way from a JPEG file to its row by itself; then the whole way, beside a torch DataLoader and rclip's
own pipeline (where it is installed) around the same tower, and with every switch that might pay. All take turns round
by round, so that another program's load meets all; medians of the rounds, and of a round's ratio to its plain run. Then
what finding files costs, and an index run in which nothing has changed, per file.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from eval.bench.embedders import rclip_rows, with_data_loader
from eval.core.console import log
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import load_preset
from vljepa.inference import embed, reading
from vljepa.inference.embed import Embedder, Rows
from vljepa.inference.images import walk
from vljepa.inference.index import Index
from vljepa.inference.media import KnownFile, find_media
from vljepa.processing.given import as_rgb
from vljepa.processing.processor import VLJEPAProcessor

Works = dict[str, Callable[[], object]]


def measure(
    *,
    photos: str,
    model: str = "mini",
    count: int = 192,
    rounds: int = 7,
    files: Sequence[int] = (1_000, 20_000),
    scaled_to: int = 0,
) -> dict[str, Any]:
    """Images, and then files, per second.

    Args:
        photos: Folder of JPEG files.
        model: Preset, folder, repository or dual encoder.
        count: How many photos.
        rounds: Turns of each.
        files: How many small files the folders have in which files are looked for.
        scaled_to: Width that the photos are enlarged to before, as a camera's have it; 0 leaves them as they are.
    """
    embedder = Embedder.from_pretrained(model, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        chosen = [str(file) for file in walk(photos).files][:count]
        if scaled_to:
            chosen = [_scaled(file, Path(folder), width=scaled_to) for file in chosen]
        result: dict[str, Any] = {"model": model, "photos": len(chosen), "threads": torch.get_num_threads()}
        sizes = [Image.open(file).size for file in chosen]
        result["median_pixels"] = statistics.median(width * height for width, height in sizes)
        result["parts"] = _in_turns(_parts(embedder, chosen, Path(folder)), count=len(chosen), rounds=rounds)
        ways = {"encoder alone": _encoder(embedder, chosen), "plain": lambda: embedder.images(chosen)}
        ways["torch DataLoader, 2 workers"] = lambda: with_data_loader(embedder, chosen)
        rclip = rclip_rows(embedder, chosen, Path(folder))
        if rclip is not None:
            ways["rclip's pipeline around this tower"] = rclip
        result["whole"] = _in_turns(ways, count=len(chosen), rounds=rounds, beside="encoder alone")
        switches = {"plain": lambda: embedder.images(chosen), **_switches(embedder, chosen, model)}
        result["switches"] = _in_turns(switches, count=len(chosen), rounds=rounds, beside="plain")
        result["cosine"] = _cosines(switches)
    result["files"] = [_files(number, rounds=rounds) for number in files]
    return result


def _parts(embedder: Embedder, files: list[str], folder: Path) -> Works:
    """Each on what the one before has made."""
    limit = embedder.processor.config.x_encoder.image.max_pixels
    pictures = [as_rgb(file, max_pixels=limit) for file in files]
    pixels = [embedder.read(file) for file in files]
    latents = embedder.encode(pixels)
    rows = embedder.images(files)
    return {
        "read": lambda: [Path(file).read_bytes() for file in files],
        "decode": lambda: [as_rgb(file, max_pixels=limit) for file in files],
        "resize and normalise": lambda: [embedder.processor.transform(one) for one in pictures],
        "encode": lambda: embedder.encode(pixels),
        "predict": lambda: embedder.ask(latents, [(place, "") for place in range(len(files))]),
        "write": lambda: np.save(folder / "rows.npy", rows),
    }


def _encoder(embedder: Embedder, files: list[str]) -> Callable[[], object]:
    pixels = [embedder.read(file) for file in files]
    return lambda: embedder.encode(pixels)


def _switches(embedder: Embedder, files: list[str], model: str) -> Works:
    """The whole way with one thing changed."""

    def changed(module: Any, name: str, value: int) -> Callable[[], Rows]:
        def run() -> Rows:
            before = getattr(module, name)
            setattr(module, name, value)
            try:
                return embedder.images(files)
            finally:
                setattr(module, name, before)

        return run

    def one_thread() -> Rows:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return embedder.images(files)
        finally:
            torch.set_num_threads(before)

    def bf16() -> Rows:
        with torch.autocast("cpu", torch.bfloat16):
            return embedder.images(files)

    found: Works = {
        "groups of 8": lambda: np.concatenate([one.rows for one in embedder.embedded(files)]),
        "batches of 16": changed(embed, "_CPU_BATCH", 16),
        "one reader": changed(reading, "_READERS", 1),
        "torch on one thread": one_thread,
        "bf16 (autocast)": bf16,
    }
    if importlib.util.find_spec("onnxruntime"):
        onnx = Embedder.from_pretrained(model, backend="onnx")
        found["--backend onnx"] = lambda: onnx.images(files)
    return found


def _cosines(works: Works) -> dict[str, float]:
    """Lowest cosine of a row to that of the plain run."""
    rows = {name: np.asarray(work()) for name, work in works.items()}
    return {name: round(float((one * rows["plain"]).sum(1).min()), 6) for name, one in rows.items()}


def _in_turns(works: Works, *, count: int, rounds: int, beside: str | None = None) -> dict[str, dict[str, float]]:
    """Per second of the wall clock and of the processor, and the ratio to the run `beside` of the same round."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            wall, processor = time.perf_counter(), time.process_time()
            work()
            if turn:  # the first is to warm up
                times[name].append((time.perf_counter() - wall, time.process_time() - processor))
    found: dict[str, dict[str, float]] = {}
    for name, taken in times.items():
        found[name] = {
            "per_second": round(count / statistics.median(wall for wall, _ in taken), 1),
            "per_processor_second": round(count / max(statistics.median(used for _, used in taken), 1e-6), 1),
        }
        if beside is not None:
            ratios = [other[0] / one[0] for one, other in zip(taken, times[beside], strict=True)]
            found[name]["ratio"] = round(statistics.median(ratios), 3)
        log(f"{name}: {found[name]}")
    return found


def _files(number: int, *, rounds: int) -> dict[str, Any]:
    """What it costs to find small files, new and known ones, and to index them again where nothing has changed."""
    toy = load_preset("toy")
    model, processor = VLJEPA(toy), VLJEPAProcessor(toy)
    with tempfile.TemporaryDirectory() as folder:
        images, output = Path(folder, "images"), Path(folder, "my.index")
        _small(images, number)
        known = {file.path: KnownFile(file.size, file.mtime, video=False) for file in find_media(images).files.values()}
        build = time.perf_counter()
        Index.build(model, processor, images, output=output)
        build = time.perf_counter() - build
        works: Works = {
            "find new": lambda: find_media(images),
            "find unchanged": lambda: find_media(images, known=known),
            "index, nothing changed": lambda: Index.build(model, processor, images, output=output),
        }
        return {
            "files": number,
            "first index, random toy model, seconds": round(build, 1),
            **_in_turns(works, count=number, rounds=rounds),
        }


def _small(folder: Path, number: int) -> None:
    """JPEG files of 32 x 24, in folders of 1,000, of which each is one of 20 under many names."""
    draw = np.random.default_rng(0)
    first = [folder / f"{place:02}.jpg" for place in range(20)]
    folder.mkdir()
    for file in first:
        Image.fromarray(draw.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(file)
    for place in range(len(first), number):
        file = folder / f"{place // 1_000:04}" / f"{place:07}.jpg"
        if place % 1_000 == 0 or place == len(first):
            file.parent.mkdir(exist_ok=True)
        os.link(first[place % len(first)], file)


def _scaled(file: str, folder: Path, *, width: int) -> str:
    with Image.open(file) as image:
        size = (width, round(image.height * width / image.width))
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(folder / Path(file).name, quality=92)
    return str(folder / Path(file).name)
