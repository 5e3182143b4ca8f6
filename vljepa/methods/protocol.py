"""What training asks of a method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from vljepa.checkpoint.tensors import read_tensors, write_tensors
from vljepa.configs import RunConfig
from vljepa.data.collate import Group
from vljepa.data.records import Visual
from vljepa.data.sources import Texts
from vljepa.methods.hooks import Hook
from vljepa.models.layers.sharded import load_tensors, whole_state
from vljepa.models.types import Batch
from vljepa.parts.saved import WEIGHTS_FILE
from vljepa.validation.tasks import Metrics

Report = Callable[[str], None]
Rows = dict[str, Tensor]


class StepGroups(Protocol):
    """Groups of samples by step: a pure function of (seed, step)."""

    def __getitem__(self, step: int) -> list[Group]:
        """This process's share of every group of a step."""
        ...

    def order(self) -> dict[str, Any]:
        """What the samples of a step depend on, as plain data: a resumed run must have it equal."""
        ...


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a run would read and train, found out beforehand.

    Args:
        rows: Rows of the training sources; None when a file is missing, or one is read shard by shard.
        missing: Files of sources that are not there yet.
        trained: Trained parameters: of the model, or of its adapters and what is trained beside them; None when a part
            is missing.
        parameters: All parameters of the model; None likewise.
        parts: Why the model could not be looked at; empty when it could.
    """

    rows: int | None = None
    missing: tuple[str, ...] = ()
    trained: int | None = None
    parameters: int | None = None
    parts: str = ""

    @classmethod
    def of(cls, model: nn.Module) -> Scope:
        """Sizes of a model, on torch's meta device too."""
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
        return cls(trained=sum(size for size, trained in sizes if trained), parameters=sum(size for size, _ in sizes))


@dataclass(kw_only=True)
class Inputs:
    """What a run reads.

    Args:
        batches: Training groups by step.
        skipped: Reason per unreadable image.
        workers: Loader processes that make sense for these batches.
    """

    batches: StepGroups
    skipped: dict[Visual, str] = field(default_factory=dict)
    workers: int = 0

    def tried(self, step: int) -> int:
        """Images that were looked for up to a step, it included."""
        del step
        return 0

    def between_batches(self, call: Callable[[], None]) -> None:
        """Have `call` called before every batch of a validation: where a run may be stopped."""

    def close(self) -> None:
        """Let go of what a finished run does not need; one process calls this."""


class TrainingModule(nn.Module):
    """What Accelerate wraps: a model with what its objective trains beside it.

    Args:
        model: What is saved.
        rows: What the loss needs of a batch, by name, first dimension the samples.
    """

    def __init__(self, model: nn.Module, rows: Callable[[Batch], Rows]) -> None:
        super().__init__()
        self.model = model
        self._rows = rows
        self.replayed: list[Batch] = []
        """The batches of the last call with what frozen encoders have made of them; empty where nothing was kept."""

    @property
    def _no_split_modules(self) -> list[str]:
        """Accelerate's question which layers FSDP2 gathers one at a time: those that may be checkpointed."""
        from transformers.modeling_layers import GradientCheckpointingLayer

        return sorted({type(one).__name__ for one in self.modules() if isinstance(one, GradientCheckpointingLayer)})

    def objective_parameters(self) -> dict[str, nn.Parameter]:
        """What is trained and is not of the model, by name."""
        return {name: value for name, value in self.named_parameters() if not name.startswith("model.")}

    def forward(self, batches: Sequence[Batch]) -> list[Rows]:
        """Rows of each batch. All groups go through in one call, so that DDP sees the whole step."""
        self.replayed = []
        return [self._rows(batch) for batch in batches]


class Method(ABC):
    """A way of training: what is built, what is read, what is minimised, what is measured.

    The trainer calls `check`, `build`, `prepare` and `module` in this order, then `loss` in every step.

    Args:
        run: The recipe; `run.model` is of the class that the method was registered with.
        given: Model to train, instead of a new one.
    """

    name: ClassVar[str]
    texts: ClassVar[Texts] = "required"
    """Whether every row of the data has to have a target text."""

    def __init__(self, run: RunConfig, *, given: nn.Module | None = None) -> None:
        self.run = run
        self.given = given

    def check(self) -> None:  # noqa: B027, most recipes have nothing to refuse
        """Refuse what the recipe alone shows to be impossible, before anything is read."""

    def scope(self) -> Scope:
        """What the run would read and train: its model is built on torch's meta device, and no data are looked for.

        A method whose `build` reads files, or whose sources are files, overrides this.
        """
        with torch.device("meta"):
            return Scope.of(self.build(None, device=torch.device("meta")))

    @abstractmethod
    def build(self, checkpoint: Path | None, *, device: torch.device) -> nn.Module:
        """The model on its device, with the weights of the checkpoint if there is one."""

    @abstractmethod
    def prepare(self, model: Any, *, shard: tuple[int, int]) -> Inputs:
        """Read the data; `shard` is the number of this process and of all."""

    @abstractmethod
    def module(self, model: Any) -> TrainingModule:
        """What is wrapped and called in every step."""

    @abstractmethod
    def loss(self, rows: Mapping[str, Tensor], batches: Sequence[Batch], *, step: int) -> Tensor:
        """Loss of one group.

        Args:
            rows: Of all its batches, joined, with gradient.
            batches: The group's batches in this process.
            step: Number of the step.
        """

    def validate(self) -> Metrics:
        """Metrics of which `train.best_metric` is one; nothing for a run without validation."""
        return {}

    def hooks(self) -> Mapping[str, Hook]:
        """By name, what is to happen beside the optimizer."""
        return {}

    def finishers(self) -> Sequence[Callable[[], Metrics]]:
        """What completes the best model after the last step, in order; each gives metrics of its own."""
        return ()

    def closing_metrics(self) -> Metrics:
        """What is measured once, at the end, and does not depend on the model."""
        return {}

    def step_metrics(self) -> Metrics:
        """What the log has of a step beside its loss."""
        return {}

    def introduce(self, report: Report, *, step: int) -> dict[str, Any]:
        """Tell what is read; gives what the log's `start` line has of it."""
        del report, step
        return {}

    def notes(self, metrics: Metrics) -> list[str]:
        """What has to be said of a finished run."""
        del metrics
        return []

    def summary(self, metrics: Metrics) -> str:
        """One line of a validation."""
        return "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())

    def backbones(self) -> dict[str, Any]:
        """Transformers that are trained, by name: what may be compiled, or compute its activations twice."""
        return {}

    def cut(self, batch: Batch) -> Batch:
        """A piece of a batch without padding that no sample in it needs."""
        return batch

    def lengths(self, batch: Batch) -> Tensor | None:
        """Length of every sample, [B], by which pieces are sorted; None leaves samples in order."""
        del batch
        return None

    def set_aside(self) -> AbstractContextManager[object]:
        """Context in which the model is without what takes no part in training."""
        return nullcontext()

    def load(self, model: Any, folder: Path) -> None:
        """Fill the model from a folder that `gather` wrote."""
        load_tensors(model, read_tensors(folder / WEIGHTS_FILE, fix="start anew with another train.output."))

    def gather(self, model: Any, *, keep: bool) -> Callable[[Path], object]:
        """What writes the model; all processes call this, the one that keeps the tensors calls what it gives."""
        state = whole_state(model.state_dict(), keep=keep)

        def write(folder: Path) -> None:
            folder.mkdir(parents=True, exist_ok=True)
            write_tensors(state, folder / WEIGHTS_FILE)

        return write
