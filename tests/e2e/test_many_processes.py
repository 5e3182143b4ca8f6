"""`accelerate launch ... vljepa train` on two processes computes what one computes, and goes on where one stopped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.conftest import write_rows
from tests.launching import CONFIGS, free_port
from vljepa.checkpoint.saving import read_model
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import RunConfig, VLJEPAConfig, load_preset
from vljepa.errors import ConfigError
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer


def launch(run: RunConfig, folder: Path, *, config: str = "cpu.yaml") -> subprocess.CompletedProcess[str]:
    """The command of a user."""
    recipe = folder / f"{Path(run.train.output).name}.yaml"
    recipe.write_text(yaml.safe_dump(run.model_dump(mode="json")), encoding="utf-8")
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / config)]
    processes = ["--num_processes", "2", "--main_process_port", str(free_port())]
    verb = [str(Path(sys.executable).with_name("vljepa")), "train", str(recipe), "--device", "cpu"]
    return subprocess.run(launcher + processes + verb, capture_output=True, text=True, timeout=240, check=False)


def losses(run: RunConfig) -> list[float]:
    return [line["loss"] for line in read_log(Path(run.train.output)) if line["kind"] == "train"]


@pytest.fixture
def recipe(make_run: Callable[..., RunConfig], tmp_path: Path) -> Callable[..., RunConfig]:
    """All kinds of groups, whose sizes do not divide by two; no dropout, whose draws are each process's own."""
    write_rows(tmp_path / "text.jsonl", [{"text": [f"a cat {number}", f"the cat {number}"]} for number in range(8)])
    model = load_preset("toy").model_dump(mode="json")
    model["predictor"]["dropout"] = 0.0
    model["residual"] |= {"hidden": 16, "dropout": 0.0}
    sources = [
        {"name": "captions", "path": "captions.jsonl", "weight": 7, "views": 1},
        {"name": "questions", "path": "questions.jsonl", "weight": 5, "group": "questions"},
        {"name": "few", "path": "captions.jsonl", "weight": 3, "group": "few", "gate_only": True},
        {"name": "text", "path": str(tmp_path / "text.jsonl"), "weight": 5, "group": "text"}
        | {"view": {"name": "text", "like": "captions"}},
    ]

    def make(
        name: str, *, objective: dict[str, Any] | None = None, optim: dict[str, Any] | None = None, **train: Any
    ) -> RunConfig:
        run = make_run(
            name,
            model=model,
            data={"train": sources},
            optim=optim or {},
            train={"steps": 6, "batch_size": 20, "eval_every": 3, "precision": "fp32", **train},
        )
        changed = run.objective.model_copy(update=objective or {})
        return run.model_copy(update={"objective": changed})

    return make


@pytest.mark.parametrize(
    "objective",
    [{"answers": 0.7}, {"name": "sigmoid", "alignment": 0.5, "sigreg": 0.1, "answers": 0.5, "grad_cache": 3}],
    ids=["dense, answers", "sigmoid, aligned, regularised, answers, cached"],
)
def test_two_processes_train_as_one(
    recipe: Callable[..., RunConfig], tmp_path: Path, objective: dict[str, Any]
) -> None:
    alone, together = recipe("alone", objective=objective), recipe("together", objective=objective)
    Trainer(alone, device="cpu").fit()
    done = launch(together, tmp_path)
    assert done.returncode == 0, done.stderr
    assert losses(together) == pytest.approx(losses(alone), rel=2e-4)
    assert len(losses(alone)) == 6
    (_, mine), (_, theirs) = (read_model(Path(run.train.output) / "last") for run in (alone, together))
    for name, tensor in mine.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=2e-2, atol=2e-4, msg=name)
    assert done.stderr.count("step 6/6") == 1, "one process speaks"


@pytest.mark.parametrize("cached", [None, 3])
def test_two_processes_keep_the_start_as_one(
    recipe: Callable[..., RunConfig], shapes: Path, tmp_path: Path, cached: int | None
) -> None:
    """Adapters, and distillation on replayed images: 7 in each step, which two processes share as 3 and 4."""
    toy = recipe("toy")
    assert isinstance(toy.model, VLJEPAConfig)
    VLJEPA.from_parts(toy.model).save_pretrained(tmp_path / "start")
    [*own, _] = [source for source in toy.data.train if not source.gate_only]

    def tuned(name: str, *, weight: float = 5.0) -> RunConfig:
        run = recipe(name, objective={"distillation": weight, "grad_cache": cached}).model_dump()
        data = {**run["data"], "train": own, "replay": {"path": ".", "root": str(shapes), "share": 0.35}}
        raw = {**run, "model": None, "start": str(tmp_path / "start"), "lora": {"rank": 4}, "data": data}
        return RunConfig.model_validate({**raw, "train": {**raw["train"], "steps": 4, "eval_every": 4}})

    alone, together, lighter = tuned("alone"), tuned("together"), tuned("lighter", weight=0.1)
    Trainer(alone, device="cpu").fit()
    Trainer(lighter, device="cpu").fit()
    done = launch(together, tmp_path)
    assert done.returncode == 0, done.stderr
    assert losses(together) == pytest.approx(losses(alone), rel=2e-4)
    assert losses(lighter)[1:] != pytest.approx(losses(alone)[1:], rel=2e-4)
    mine, theirs = (
        load_file(Path(run.train.output) / "last" / "adapter_model.safetensors") for run in (alone, together)
    )
    for name, tensor in mine.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=2e-2, atol=2e-4, msg=name)


def test_a_run_goes_on_in_shards(recipe: Callable[..., RunConfig], tmp_path: Path) -> None:
    schedule = {"optim": {"lr": 3e-3, "warmup_steps": 2, "schedule": "constant"}}
    alone, cut = recipe("alone", **schedule), recipe("moved", steps=3, **schedule)
    Trainer(alone, device="cpu").fit()
    Trainer(cut, device="cpu").fit()
    longer = recipe("moved", **schedule)
    done = launch(longer, tmp_path, config="fsdp2.yaml")
    assert done.returncode == 0, done.stderr
    assert "resumed with 2 processes after 1: the global batches are the same" in done.stderr
    assert losses(longer) == pytest.approx(losses(alone), rel=2e-4)


def test_accumulation_is_refused(recipe: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    """PITFALLS 6: what `accelerate launch` sets for DeepSpeed; without DeepSpeed it drops the wish by itself."""
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    with pytest.raises(ConfigError, match=r"objective\.grad_cache"):
        Trainer(recipe("summed"), device="cpu").fit()
