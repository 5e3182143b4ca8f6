"""Trains by any method: what is built, one optimizer step, and what is measured.

How a run begins, is saved, stops and ends is in `loop.py`. Every step is a pure function of the weights, the optimizer
state and the step number: the batch by the method's inputs, dropout by the seed set at the step, the learning rate by
`learning_rate`. That is why a resumed run goes on to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import nn

from vljepa.configs import RunConfig
from vljepa.data.collate import Group
from vljepa.data.skips import check_skipped
from vljepa.data.workers import ignore_signals
from vljepa.methods import Inputs, method_of
from vljepa.models.cpu import keep_freed_memory
from vljepa.models.layers.sharded import load_tensors
from vljepa.training.averaging import WeightAverage
from vljepa.training.checkpoint import find_intact
from vljepa.training.compiling import compile_layers
from vljepa.training.guards import check_master_weights
from vljepa.training.loop import Loop
from vljepa.training.memory import checkpoint_layers
from vljepa.training.movement import Movement
from vljepa.training.optim import build_optimizer, trainable_report
from vljepa.training.precision import choose_precision
from vljepa.training.result import TrainResult
from vljepa.training.sharding import find_root, gathered, refuse_layouts, take_up_sharding
from vljepa.training.step import Step, refuse_accumulation
from vljepa.training.trackers import tracker_settings
from vljepa.training.tracking import Monitor, RunLog
from vljepa.validation.tasks import Metrics, main_metric


class Trainer(Loop):
    """Trains a model as a recipe says.

    Args:
        run: The recipe.
        model: Model to train, instead of `run.model`; None builds that from its pretrained parts.
        device: Such as `cpu`, `cuda` or `cuda:1`; None takes what is there.

    Example:
        >>> from vljepa.configs import load_run_config
        >>> Trainer(load_run_config("recipes/your_folder.yaml")).fit().metrics["mean"]  # doctest: +SKIP
    """

    run: RunConfig
    inputs: Inputs
    validates_first = True

    def __init__(self, run: RunConfig, *, model: Any = None, device: str | None = None) -> None:
        super().__init__(run if model is None else run.model_copy(update={"model": model.config}), device=device)
        self.method = method_of(run.method)(self.run, given=model)
        self.texts = self.method.texts

    def _check(self) -> None:
        self.method.check()
        refuse_layouts(sharded=None if self.run.lora is None else "adapters are too small to be cut")

    def _build(self, checkpoint: Path | None) -> None:
        run = self.run
        self.method.run = run  # its number of steps is known by now
        precision = choose_precision(run.train.precision, device=self.device)
        refuse_accumulation(
            reason="samples of one part of a step would not be contrasted with those of the others",
            instead="raise train.batch_size, and set objective.grad_cache to what fits into memory",
        )
        # Questions do not use what text alone trains, and frozen buffers need not be sent around.
        ddp = DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)
        self.accelerator = Accelerator(
            mixed_precision=precision,
            cpu=self.device.type == "cpu",
            kwargs_handlers=[ddp],
            **tracker_settings(run.train),
        )
        keep_freed_memory()
        torch.manual_seed(run.train.seed)
        self.model: nn.Module = self.method.build(checkpoint, device=self.accelerator.device)
        check_master_weights(self.model)
        backbones = self.method.backbones()
        checkpoint_layers(backbones, enabled=run.train.gradient_checkpointing)
        if run.train.compile:
            compile_layers(backbones)
        shard = (self.accelerator.process_index, self.accelerator.num_processes)
        self.inputs = self.method.prepare(self.model, shard=shard)
        movement = Movement(self.model)
        self.module = self.method.module(self.model).to(self.accelerator.device)
        extra = list(self.module.objective_parameters().values())
        optimizer = build_optimizer(self.model, config=run.optim, extra=extra)
        take_up_sharding(self.accelerator, self.module)
        with self.method.set_aside():
            wrapped, self.optimizer = self.accelerator.prepare(self.module, optimizer)
        find_root(wrapped)
        self.average = WeightAverage(self.model, decay=run.train.ema)
        self.hooks = {**self.method.hooks(), "average": self.average, "movement": movement}
        self.step = Step(run, method=self.method, module=self.module, wrapped=wrapped, accelerator=self.accelerator)

    def _loader(self, start: int) -> torch.utils.data.DataLoader[list[Group]]:
        batches: Any = self.inputs.batches
        # A generator of its own: the default one would draw from the global stream, which dropout uses.
        return torch.utils.data.DataLoader(
            batches,
            sampler=range(start, self.steps),
            batch_size=None,
            num_workers=self.inputs.workers,
            generator=torch.Generator(),
            worker_init_fn=ignore_signals,
        )

    def _train_step(self, step: int, groups: list[Group], log: RunLog, monitor: Monitor) -> None:
        run = self.run
        for group in groups:
            self.inputs.skipped |= group.skipped
        if any(group.skipped for group in groups):
            check_skipped(self._all_skipped(), total=self.inputs.tried(step), tolerated=run.data.max_skipped)
        groups = self.step.shared(groups)
        size = sum(group.size for group in groups) * self.accelerator.num_processes
        if size == 0:
            return
        torch.manual_seed(run.train.seed * 1_000_003 + step)
        self.step.wrapped.train()
        loss = self.step.loss(groups, step=step)
        value = float(loss.detach())
        lr, norm = self._update(value, lambda: self.step.backward(loss), self.module, step=step)
        monitor.count(step, size)
        if (step + 1) % run.train.log_every == 0 or step + 1 == self.steps:
            rate = monitor.throughput()
            own = self.method.step_metrics()
            log.write("train", step + 1, loss=value, lr=lr, gradient_norm=norm, samples_per_second=rate, **own)
            monitor.report(step, f"loss {value:.3f}  {rate:.0f} samples/s")

    def _validate(self, step: int, log: RunLog, monitor: Monitor) -> None:
        """Measure by the method, and keep the weights as `best` if they are."""
        with self.average.applied():
            with gathered(self.step.wrapped), self.accelerator.autocast():
                metrics = self.method.validate()
            if not metrics:
                return
            summary = self.method.summary(metrics)
            for hook in self.hooks.values():
                metrics |= hook.metrics()
            log.write("validation", step, **metrics)
            name = self.run.train.best_metric
            value = main_metric(metrics, name=name)
            monitor.say(f"validation after step {step}: {name} {value:.4f}  ({summary})")
            self._keep_if_best(value, step=step, metrics=metrics)

    def _gather_model(self) -> Callable[[Path], object]:
        return self.method.gather(self.model, keep=self.accelerator.is_main_process)

    def _own_state(self) -> dict[str, Any]:
        return {"objective": {name: one.detach() for name, one in self.module.objective_parameters().items()}}

    def _restore_own(self, state: dict[str, Any]) -> None:
        load_tensors(self.module, state["objective"])

    def _introduce(self, log: RunLog, monitor: Monitor, start: int) -> None:
        for group, tensors, parameters, trainable in trainable_report(self.model):
            state = "trained" if trainable else "frozen"
            monitor.say(f"{group:32} {tensors:5} tensors {parameters:>13,} parameters  {state}")
        precision = self.accelerator.mixed_precision
        monitor.say(f"on {self.accelerator.device}, autocast {precision}, from step {start}, into {str(self.folder)!r}")
        facts = self.method.introduce(monitor.say, step=start)
        skipped, processes = len(self.inputs.skipped), self.accelerator.num_processes
        log.write("start", start, skipped=skipped, processes=processes, **facts)

    def _finish(self) -> Metrics:
        """Complete `best` by the method's finishers."""
        metrics = dict(self._best["metrics"]) | self.method.closing_metrics()
        if self.accelerator.is_main_process:
            self.inputs.close()
        if self._best["step"] is None:
            return metrics
        best = find_intact(self.folder / "best")
        assert best is not None
        self.method.load(self.model, best)
        finishers = self.method.finishers()
        if finishers:
            with gathered(self.step.wrapped):
                for finish in finishers:
                    metrics |= finish()
            self._replace("best", self._gather_model())
        return metrics

    def _conclude(self, metrics: Metrics, done: int, log: RunLog, monitor: Monitor) -> TrainResult:
        for line in self.method.notes(metrics):
            monitor.say(line)
        return super()._conclude(metrics, done, log, monitor)
