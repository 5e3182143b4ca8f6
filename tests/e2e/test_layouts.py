"""One process, DDP and FSDP2 train alike, and a run goes on under any of them.

Two processes are started once and train everything, each under what `accelerate launch` would have told them.

Losses agree within 1e-5: gradients are summed in another order, and Adam's first steps magnify what is near zero.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor

from tests.conftest import shapes_run, write_rows
from tests.launching import free_port, launch_environment
from vljepa.checkpoint.saving import read_model
from vljepa.configs import RunConfig, load_preset
from vljepa.errors import CheckpointError, ConfigError
from vljepa.objectives import registry
from vljepa.training.agreement import leaving_processes
from vljepa.training.guards import NonFiniteError
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer

Make = Callable[..., RunConfig]
CACHED = {"name": "sigmoid", "alignment": 0.5, "sigreg": 0.1, "grad_cache": 3}
STEADY = {"lr": 3e-3, "warmup_steps": 2, "schedule": "constant"}


def work(rank: int, port: int, jobs: list[tuple[str, str, RunConfig]]) -> None:
    """One of two processes: each job is what happens, the config of Accelerate, and the run."""
    torch.set_num_threads(1)
    start = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    os.environ |= start | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    with leaving_processes():
        for event, config, run in jobs:
            environment = launch_environment(config)
            os.environ |= environment
            trainer = Trainer(run, device="cpu")
            if event == "poisoned":
                poisoned(trainer, Path(run.train.output), rank)
            elif event == "denied":
                denied(trainer, Path(run.train.output), rank)
            else:
                trainer.fit()
            for name in environment:
                del os.environ[name]


def poisoned(trainer: Trainer, folder: Path, rank: int) -> None:
    """A gradient that is not a number in one process ends both before the optimizer steps."""
    original, calls = registry.infonce, []

    def infonce(*arguments: Any, **settings: Any) -> Tensor:
        loss = original(*arguments, **settings)
        calls.append(1)
        if rank == 1 and len(calls) == 5:  # of the second step's first group
            loss.register_hook(lambda gradient: gradient * float("nan"))
        return loss

    registry.infonce = infonce
    try:
        trainer.fit()
    except NonFiniteError as error:
        (folder / f"{rank}.txt").write_text(str(error), encoding="utf-8")
    finally:
        registry.infonce = original


def denied(trainer: Trainer, folder: Path, rank: int) -> None:
    """The process that writes cannot: a file lies where `last` is made."""
    if rank == 0:
        folder.mkdir(parents=True)
        (folder / ".last.new").touch()
    try:
        trainer.fit()
    except CheckpointError as error:
        (folder / f"{rank}.txt").write_text(str(error), encoding="utf-8")


@pytest.fixture(scope="module")
def make(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Recipes with all kinds of groups, whose sizes do not divide by two; no dropout, which each process draws."""
    folder = tmp_path_factory.mktemp("layouts")
    write_rows(folder / "text.jsonl", [{"text": [f"a cat {number}", f"the cat {number}"]} for number in range(8)])
    model = load_preset("toy").model_dump(mode="json")
    model["predictor"]["dropout"] = 0.0
    model["residual"] |= {"hidden": 16, "dropout": 0.0}
    captions = {"name": "captions", "path": "captions.jsonl"}
    sources = [
        captions | {"weight": 7, "views": 1},
        {"name": "questions", "path": "questions.jsonl", "weight": 5, "group": "questions"},
        captions | {"name": "few", "weight": 3, "group": "few", "gate_only": True},
        {"name": "text", "path": str(folder / "text.jsonl"), "weight": 5, "group": "text"}
        | {"view": {"name": "text", "like": "captions"}},
    ]

    def make(name: str, *, objective: dict[str, Any] | None = None, **train: Any) -> RunConfig:
        settings = {"batch_size": 20, "eval_every": 100, "precision": "fp32", "ema": 0.9, **train}
        data = {"train": sources, "validation": [captions]}
        return shapes_run(
            shapes, folder, name, model=model, data=data, optim=STEADY, objective=objective or {}, train=settings
        )

    return make


@pytest.fixture(scope="module")
def trained(make: Make) -> Path:
    """The folder of all runs."""

    def alone(name: str, **settings: Any) -> None:
        Trainer(make(name, **settings), device="cpu").fit()

    alone("alone", steps=10)
    alone("cached alone", steps=4, objective=CACHED)
    alone("bf16 alone", steps=2, precision="bf16")
    alone("moving", steps=2)
    jobs = [
        ("", "ddp.yaml", make("moving", steps=4)),
        ("", "fsdp2.yaml", make("moving", steps=6)),
        ("", "ddp.yaml", make("moving", steps=8)),
        ("", "fsdp2.yaml", make("cached", steps=2, objective=CACHED)),
        ("", "fsdp2.yaml", make("bf16", steps=2, precision="bf16")),
        ("poisoned", "fsdp2.yaml", make("poisoned", steps=4)),
        ("denied", "ddp.yaml", make("denied", steps=2)),
    ]
    mp.spawn(work, args=(free_port(), jobs), nprocs=2)
    alone("moving", steps=10)
    alone("cached", steps=4, objective=CACHED)
    return Path(make("alone").train.output).parent


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_log(folder) if line["kind"] == "train"]


@pytest.mark.parametrize(("moved", "stayed"), [("moving", "alone"), ("cached", "cached alone")])
def test_a_run_goes_on_under_any_layout(trained: Path, moved: str, stayed: str) -> None:
    """One process, DDP, FSDP2, DDP, one process; and with GradCache FSDP2, one process."""
    assert losses(trained / moved) == pytest.approx(losses(trained / stayed), rel=1e-5)
    mine, theirs = (read_model(trained / run / "last")[1] for run in (stayed, moved))
    assert mine.keys() == theirs.keys() == read_model(trained / moved / "best")[1].keys()
    for key, tensor in mine.items():
        torch.testing.assert_close(theirs[key], tensor, rtol=2e-2, atol=2e-4, msg=key)


def test_shards_are_computed_under_autocast_and_kept_in_fp32(trained: Path) -> None:
    """PITFALLS 1 and 4: Accelerate's own policy would have cast weights, temperature and reductions to bf16."""
    assert losses(trained / "bf16") == pytest.approx(losses(trained / "bf16 alone"), rel=2e-3)
    assert losses(trained / "bf16") != pytest.approx(losses(trained / "alone")[:2], rel=1e-7), "the control"
    saved = read_model(trained / "bf16" / "last")[1].values()
    assert {tensor.dtype for tensor in saved if tensor.is_floating_point()} == {torch.float32}


def test_two_processes_did_train(trained: Path) -> None:
    starts = [(line["step"], line["processes"]) for line in read_log(trained / "moving") if line["kind"] == "start"]
    assert starts == [(0, 1), (2, 2), (4, 2), (6, 2), (8, 1)]


def test_a_gradient_that_is_no_number_stops_all_shards(trained: Path) -> None:
    """PITFALLS 23, where each process holds a shard: nothing is saved after it."""
    for rank in range(2):
        said = (trained / "poisoned" / f"{rank}.txt").read_text(encoding="utf-8")
        assert "gradient norm is" in said
        assert "at step 1" in said
    assert not (trained / "poisoned" / "last").exists()


def test_a_checkpoint_that_cannot_be_written_ends_all_processes(trained: Path) -> None:
    said = [(trained / "denied" / f"{rank}.txt").read_text(encoding="utf-8") for rank in range(2)]
    assert "cannot write the checkpoint" in said[0]
    assert "the first process could not write" in said[1]


@pytest.mark.parametrize(
    ("environment", "lora", "message"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, False, r"DeepSpeed is asked for.*accelerate/zero2"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1"}, False, r"fsdp_version = 1 .*accelerate/fsdp2"),
        ({"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}, True, r"adapters are too small.*accelerate/ddp"),
    ],
)
def test_other_layouts_are_refused(
    make: Make, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], *, lora: bool, message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    run = make("refused")
    if lora:
        run = RunConfig.model_validate(run.model_dump() | {"model": None, "start": "mini", "lora": {}})
    with pytest.raises(ConfigError, match=message):
        Trainer(run, device="cpu").fit()
