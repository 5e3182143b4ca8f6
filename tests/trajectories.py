"""Recorded trajectories of the recipes: the losses of every step and what validation measures, on a cut of a few files.

A refactoring has to move nothing: `tests/invariant/test_trajectories.py` compares to the last bit with the records in
`tests/invariant/trajectories/`. ``python -m tests.trajectories [RECIPE ...]`` records anew, for a change that is meant
to move them: CONTRIBUTING.

The recipes are the shipped files, read by the product's loader. Only sizes are overridden: rows, batch, steps, views.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tests.conftest import write_rows
from vljepa import VLJEPA
from vljepa.configs import VLJEPAConfig, load_run_config
from vljepa.training.trainer import Trainer

ROOT = Path(__file__).parents[1]
RECORDS = Path(__file__).parent / "invariant" / "trajectories"
ASSETS, IMAGES = Path(__file__).parent / "assets", ROOT / "examples" / "images"

SIZES = {
    # A sixteenth of each batch, so that every source keeps its share.
    "mini": ["train.batch_size=66", "train.steps=12", "train.eval_every=6", "data.cache.views=2"],
    "mini_clips": ["train.batch_size=40", "train.steps=12", "train.eval_every=6"],
    "lora_retrieval": [
        "train.batch_size=12",
        "train.steps=12",
        "train.eval_every=6",
        "data.cache.views=2",
        "data.replay.path=emoji",
    ],
}
"""What is overridden, by recipe."""
WARMUP = 4
"""Steps, so that the learning rate also falls within the cut."""

OTHER_KERNELS = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "2"}
"""What another machine may compute with: kernels that sum in another order."""

Row = dict[str, Any]
Trajectory = dict[str, Any]


def fingerprint() -> dict[str, str]:
    """What the last bit of a number depends on besides our code: the kernels, and what decodes images and clips."""
    packages = ("torch", "torchvision", "transformers", "timm", "peft", "numpy", "pillow", "av")
    return {
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        **{name: version(name) for name in packages},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    known: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        known.setdefault(name.strip(), value.strip())
    return " ".join(known.get(name, "") for name in ("model name", "cpu family", "model", "stepping")).strip()


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch sums in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def trajectory(recipe: str, folder: Path, *overrides: str) -> Trajectory:
    """Train the cut of a recipe.

    Args:
        recipe: Name of the file in `recipes/`.
        folder: Where data, cache and run are written; runs may share it.
        overrides: More `key=value`, for controls.

    Returns:
        `losses` of all steps, `validation` metrics by step, and the `result` of the run.
    """
    write_cut(folder / "data")
    starts = [f"start={_images_alone(folder / 'start')}"] if recipe == "mini_clips" else []
    run = load_run_config(
        ROOT / "recipes" / f"{recipe}.yaml",
        [
            f"data.root={folder / 'data'}",
            f"data.cache.folder={folder / 'cache' / recipe}",
            f"train.output={tempfile.mkdtemp(prefix=recipe, dir=folder)}",
            "train.log_every=1",
            "train.precision=fp32",  # `auto` is bf16 on some CPUs, where other kernels would change far more
            f"optim.warmup_steps={WARMUP}",
            *SIZES[recipe],
            *starts,
            *overrides,
        ],
    )
    metrics = Trainer(run, device="cpu").fit().metrics
    lines = [json.loads(line) for line in Path(run.train.output, "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "losses": [line["loss"] for line in lines if line["kind"] == "train"],
        "validation": {str(line["step"]): _measured(line) for line in lines if line["kind"] == "validation"},
        "result": _measured(metrics),
    }


def _images_alone(folder: Path) -> Path:
    """The shipped model without what it has learned of clips: what the recipe for clips starts from."""
    if not folder.exists():
        whole = VLJEPA.from_pretrained("mini")
        raw = whole.config.model_dump(mode="json")
        raw["predictor"]["clips"] = None
        model = VLJEPA(VLJEPAConfig.model_validate(raw))
        model.load_state_dict(
            {
                name.replace("predictor.image.", "predictor."): tensor
                for name, tensor in whole.state_dict().items()
                if not name.startswith(("predictor.clip.", "y_decoder."))
            }
        )
        model.y_decoder = whole.y_decoder
        model.save_pretrained(folder)
    return folder


def _measured(metrics: Row) -> dict[str, float]:
    """Without what is named after modules, and the gate, which the embeddings show."""
    left_out = ("kind", "step", "gate")
    return {name: value for name, value in metrics.items() if name not in left_out and not name.startswith("moved/")}


def record(recipe: str, *, threads: int = 1) -> Trajectory:
    """One trajectory, in this process."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        return trajectory(recipe, Path(folder))


def differences(one: Trajectory, other: Trajectory) -> dict[str, float]:
    """Largest relative difference of losses, and largest difference of the metrics that do not count.

    Counts (R@k, ranks, accuracy) jump where two scores are nearly equal, however small the change.

    Raises:
        AssertionError: They do not have the same steps and metrics.
    """
    assert len(one["losses"]) == len(other["losses"])
    losses = [abs(a - b) / abs(a) for a, b in zip(one["losses"], other["losses"], strict=True)]
    ours, theirs = _flat(one), _flat(other)
    assert ours.keys() == theirs.keys(), sorted(ours.keys() ^ theirs.keys())
    smooth = [name for name in ours if name.endswith(("/effective_rank", "/matched_minus_shuffled", "/uniformity"))]
    return {"losses": max(losses), "metrics": max(abs(ours[name] - theirs[name]) for name in smooth)}


def _flat(one: Trajectory) -> dict[str, float]:
    return {f"{step}/{name}": value for step, metrics in one["validation"].items() for name, value in metrics.items()}


def write_cut(folder: Path) -> None:
    """The data of all three recipes, from what is in the repository."""
    if folder.exists():
        return
    emoji = _read(ASSETS / "mini_sample" / "emoji.jsonl")
    shapes = _read(ASSETS / "mini_sample" / "questions.jsonl")
    photos = json.loads((ASSETS / "mini_words" / "photos.json").read_text(encoding="utf-8"))["photos"]
    images = sorted(path.name for path in IMAGES.glob("*.jpg"))
    for source in ("emoji", "clipart", "photos", "easy_vqa", "text", "clips"):
        (folder / source).mkdir(parents=True)
    for source in ("emoji", "clipart"):
        shutil.copytree(ASSETS / "mini_sample" / "emoji", folder / source / "emoji")
    shutil.copytree(ASSETS / "mini_sample" / "easy_vqa", folder / "easy_vqa" / "easy_vqa")
    for name in images:
        shutil.copy(IMAGES / name, folder / "photos")

    drawn = [{**row, "text": _texts(row["text"]), "concept": row["text"].split()[-1]} for row in emoji]
    _write(folder, "emoji/captions", train=drawn[:20], validation=drawn[20:32])
    _write(folder, "clipart/captions", train=drawn[32:40])
    names = [row["text"][0] for row in drawn]
    asked = [
        {"image": row["image"], "query": query, "text": [name], "candidates": names[:12], "type": kind}
        for row, name in zip(drawn[:12], names, strict=False)
        for query, kind in (("what is this?", "what"), ("what does it show?", "shown"))
    ]
    _write(folder, "emoji/questions", train=asked[:16], validation=asked[16:])
    _write(folder, "easy_vqa/questions", train=shapes[::5], validation=shapes[2::8])
    shown = [{"image": name, "text": _texts(name.partition(".")[0])} for name in images]
    _write(folder, "photos/captions", train=shown[:4], validation=shown[4:])
    subjects = [row["text"][0] for row in shown]
    about = [
        {"image": row["image"], "query": "what is in the photo?", "text": row["text"][:1], "candidates": subjects}
        for row in shown
    ]
    _write(folder, "photos/questions", train=about[:4], validation=about[4:])
    _write(folder, "text/captions", train=[{"text": photo["captions"]} for photo in photos[:24]])
    _write_clips(folder)
    for name, some in (("captions", drawn[:16]), ("validation", drawn[16:28])):
        lines = ["image,text", *(f"emoji/{row['image']},{text}" for row in some for text in row["text"])]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_clips(folder: Path) -> None:
    """Clips, each also backwards in training; what comes next is asked of the first half."""
    clips = _read(ASSETS / "mini_clips" / "questions.jsonl")[::3]
    for row in clips:
        shutil.copy(ASSETS / "mini_clips" / row["video"], folder / "clips")
    turned = [{**row, "backwards": True, "source_id": f"{row['source_id']}r"} for row in clips]
    _write(folder, "clips/questions", train=clips[:8] + turned[:4], validation=clips[8:])
    _write(folder, "clips/order", train=clips[4:8])
    told = [
        {key: row[key] for key in ("video", "source_id")} | {"text": _texts(f"{row['text'][0]} {row['type']}")}
        for row in clips
    ]
    _write(folder, "clips/captions", train=told[:8], validation=told[8:])
    _write(folder, "clips/next", train=[{**row, "end": 1.0, "query": "what comes next?"} for row in clips[:6]])


def _texts(name: str) -> list[str]:
    return [name, f"a picture of {name}", f"{name} (shown)"]


def _read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _write(folder: Path, name: str, **splits: list[Row]) -> None:
    for split, rows in splits.items():
        write_rows(folder / f"{name}.{split}.jsonl", rows)


def main(recipes: list[str]) -> None:
    """Record, and measure what other kernels change."""
    if recipes[:1] == ["--only"]:
        print(json.dumps(record(recipes[1], threads=int(os.environ["OMP_NUM_THREADS"]))))
        return
    for recipe in recipes or SIZES:
        recorded = record(recipe)
        command = [sys.executable, "-m", "tests.trajectories", "--only", recipe]
        done = subprocess.run(command, env=os.environ | OTHER_KERNELS, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        spread = differences(recorded, json.loads(done.stdout))
        written = {"machine": fingerprint(), "spread": spread, **recorded}
        (RECORDS / f"{recipe}.json").write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
        print(f"{recipe}: {len(recorded['losses'])} steps; other kernels change {spread}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
