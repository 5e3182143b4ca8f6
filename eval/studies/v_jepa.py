"""V-JEPA on moving sprites: what frozen latents tell a probe, beside the controls that they have to beat.

Arms are runs of one recipe; what is complete in the work folder is not trained again. Every arm is read by the same
attentive probe: trained on clips of training sprites, chosen on validation, measured once on sprites and photos that no
run and no probe has seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

from eval.core.console import log
from eval.core.result import Context, Result
from vljepa.checkpoint.v_jepa import read_v_jepa, write_v_jepa
from vljepa.configs import RunConfig, VJEPAConfig, load_run_config
from vljepa.data.images import clip_images
from vljepa.data.records import Clip
from vljepa.methods.video.inputs import plain_clip
from vljepa.metrics.collapse import effective_rank
from vljepa.models.video.v_jepa import VJEPA
from vljepa.training.probing import ProbeResult, ProbeSettings, probe
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer

RECIPE = Path("recipes/v_jepa_shapes.yaml")
TASKS = {"motion": "direction and speed", "kind": "kind of sprite", "order": "which side first"}
ARMS: dict[str, tuple[str, ...]] = {
    "V-JEPA": (),
    "no EMA": ("model.target.momentum={name: constant, value: 0}",),
    "pixel MAE": ("model.target={name: pixels}",),
    "SIGReg": ("model.target={name: regularised, weight: 0.05}",),
}
"""Runs by name, and what they change of the recipe."""
RANDOM, SHUFFLED = "random initialisation", "V-JEPA, frames shuffled"
MAE_STEPS = 1.6
"""Steps of the pixel MAE for one of V-JEPA at equal compute: it has no teacher to ask (docs/family.md)."""
PANEL = 200


def measure(
    context: Context,
    *,
    steps: Mapping[str, int],
    probes: Mapping[str, Mapping[str, Any]],
    train: int,
    pool_grid: int,
    seed: int = 0,
) -> Result:
    """Train the arms, and probe all of them.

    Args:
        context: The clips of `recipes/v_jepa/clips.py`; runs are in the work folder.
        steps: Arms by name with their number of steps; fewer than of the recipe where time is short.
        probes: By name, fields of `ProbeSettings`, with `tasks`, some of `TASKS`, and perhaps `arms`, those to be read.
        train: Training clips of a probe, at most.
        pool_grid: Side of the grid that a step's tokens are averaged to.
        seed: Of the runs and the probes.
    """
    data, work = context.found.folder, context.work / "v_jepa"
    rows: dict[str, dict[str, Any]] = {}
    panels: dict[str, Any] = {}
    for arm, place, done in _encoders(context, steps, seed=seed):
        folder = _shuffled(data, work, seed=seed) if arm == SHUFFLED else data
        rows[arm] = {"steps": done, "probes": {}}
        for name, given in probes.items():
            if arm not in given.get("arms", [arm]):
                continue
            settings = ProbeSettings(
                **{key: value for key, value in given.items() if key not in ("tasks", "arms")}, seed=seed
            )
            found = rows[arm]["probes"][name] = {}
            for task in given["tasks"]:
                found[task] = figures(
                    probe(
                        folder / f"{task}.train.jsonl",
                        encoder=f"v_jepa:{place}",
                        validation=folder / f"{task}.validation.jsonl",
                        test=folder / f"{task}.test.jsonl",
                        pool_grid=pool_grid,
                        settings=settings,
                        cache=context.cache / "v_jepa",
                        limit=train,
                    )
                )
                log(f"{arm}, {name}, {task}: {100 * found[task]['top1']['mean']:.1f}")
        if arm != SHUFFLED:
            panels[arm] = panel(place, data)
    recipe = load_run_config(RECIPE)
    assert isinstance(recipe.model, VJEPAConfig)
    encoder = recipe.model.encoder
    examined = len(_rows(data / "clips.test.jsonl"))
    return Result(
        rows=examined,
        pool=[{"test clips": examined}],
        prompt=None,
        frames=8,
        seed=seed,
        chance={task: {"top1": 1 / _classes(data, task)} for task in TASKS},
        more={
            "arms": rows,
            "panel": panels,
            "probe": {"train": train, "grid": pool_grid},
            "encoder": {"width": encoder.width, "depth": encoder.depth, "batch_size": recipe.train.batch_size},
        },
    )


def figures(found: ProbeResult) -> dict[str, Any]:
    """Accuracy with its interval; of two-word labels (a direction and a speed) also of each word by itself."""
    result: dict[str, Any] = {"top1": {"mean": found.accuracy, "low": found.low, "high": found.high}}
    words = [name.split() for name in found.classes]
    confusion_CC = np.array(found.confusion)
    if all(len(one) == 2 for one in words) and len({one[1] for one in words}) > 1:
        for place, name in enumerate(("first word", "second word")):
            alike = np.array([[one[place] == other[place] for other in words] for one in words])
            result[name] = float((confusion_CC * alike).sum() / confusion_CC.sum())
    return result | {"validation": found.validation_accuracy, "chosen": found.chosen, "test": found.test}


def _encoders(context: Context, steps: Mapping[str, int], *, seed: int) -> Iterator[tuple[str, Path, int]]:
    """Arms with the folder of their encoder and the steps that it was trained for."""
    data, work = context.found.folder, context.work / "v_jepa"
    first: Path | None = None
    for arm, count in steps.items():
        run = arm_recipe(arm, count, data=data, work=work, seed=seed)
        place = Trainer(run, device="cpu").fit().model_folder
        first = first or place
        yield arm, place, count
    assert first is not None
    yield SHUFFLED, first, next(iter(steps.values()))
    config = read_v_jepa(first).config
    torch.manual_seed(seed)
    write_v_jepa(config, VJEPA(config).state_dict(), work / "random")
    yield RANDOM, work / "random", 0


def arm_recipe(arm: str, steps: int, *, data: Path, work: Path, seed: int) -> RunConfig:
    """The recipe as an arm changes it; validation measures collapse alone, and the last state is what is probed."""
    raw = load_run_config(RECIPE).model_dump(mode="json")
    for change in ARMS[arm]:
        key, _, value = change.partition("=")
        *path, last = key.split(".")
        place = raw
        for one in path:
            place = place[one]
        place[last] = yaml.safe_load(value)
    raw["data"] |= {"root": str(data), "validation": []}
    name = arm.replace(" ", "_").replace(",", "")
    raw["train"] |= {"output": str(work / name), "steps": steps, "seed": seed, "eval_every": max(1, steps // 4)}
    return RunConfig.model_validate(raw)


@torch.no_grad()
def panel(place: Path, data: Path) -> dict[str, Any]:
    """Whether latents of test clips collapse: spread of a channel, directions of clips' means, and the losses."""
    model = read_v_jepa(place)
    clips = [_clip(data, row) for row in _rows(data / "clips.test.jsonl")[:PANEL]]
    latents = torch.cat([model.represent(plain_clip(one, model.config)[None]) for one in clips])
    means_ND = latents.mean(1)
    losses = [line["loss"] for line in _log(place.parent) if line["kind"] == "train"]
    return {
        "std": float(latents.flatten(0, 1).std(0).mean()),
        "effective_rank": effective_rank((means_ND - means_ND.mean(0)).numpy()),
        "first loss": losses[0] if losses else None,
        "last loss": losses[-1] if losses else None,
    }


def _log(folder: Path) -> list[dict[str, Any]]:
    return read_log(folder) if (folder / "log.jsonl").is_file() else []


def _shuffled(data: Path, work: Path, *, seed: int) -> Path:
    """The clips of the probes with their frames in a drawn order: whatever needs time is gone."""
    folder = work / "shuffled"
    if (folder / "done").is_file():
        return folder
    random = np.random.default_rng(seed)
    for path in sorted(data.glob("*.jsonl")):
        task, split, _ = path.name.split(".")
        if task == "clips":
            continue
        rows = _rows(path)
        (folder / split).mkdir(parents=True, exist_ok=True)
        for row in rows:
            if not (folder / row["video"]).is_file():
                images = clip_images(_clip(data, row), view=0, max_pixels=10**8)
                _save([images[place] for place in random.permutation(len(images))], folder / row["video"])
        (folder / path.name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "done").touch()
    return folder


def _save(images: Sequence[Image.Image], target: Path) -> None:
    images[0].save(target, save_all=True, append_images=list(images[1:]), duration=250, lossless=True, kmax=1, kmin=0)


def _clip(data: Path, row: Mapping[str, Any]) -> Clip:
    return Clip(data / str(row["video"]), start=0.0, end=None, frames=8)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _classes(data: Path, task: str) -> int:
    return len({row["text"] for row in _rows(data / f"{task}.train.jsonl")})


def derived(result: dict[str, Any]) -> dict[str, Any]:
    """The probes with their tasks, and by how many points V-JEPA is above another arm."""
    arms = result["arms"]
    probes = {name: list(found) for name, found in arms["V-JEPA"]["probes"].items()}

    def of(arm: str, name: str, task: str) -> Any:
        return arms.get(arm, {}).get("probes", {}).get(name, {}).get(task)

    def above(name: str, task: str, other: str) -> float | None:
        ours, theirs = of("V-JEPA", name, task), of(other, name, task)
        return None if ours is None or theirs is None else 100 * float(ours["top1"]["mean"] - theirs["top1"]["mean"])

    return {"probes": probes, "of": of, "above": above, "titles": TASKS, "random": RANDOM}
