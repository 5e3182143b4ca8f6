"""The one training loop.

Read `fit` first: it prepares, loops, and finishes. Every step is a pure function of the weights, the optimizer state
and the step number: the batch by `StepBatches`, dropout by the seed set at the step, the learning rate by
`learning_rate`. That is why a resumed run goes on to the last bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from vljepa.configs import RunConfig
from vljepa.data.collate import Batch
from vljepa.data.skips import check_skipped, name_skipped
from vljepa.errors import CheckpointError, ConfigError
from vljepa.models import saving
from vljepa.models.adapters import adapt
from vljepa.models.cpu import keep_freed_memory
from vljepa.models.modeling import VLJEPA
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.training.averaging import WeightAverage
from vljepa.training.calibration import calibrate
from vljepa.training.checkpoint import intact_folder, load_state, replace_folder, save_state
from vljepa.training.guards import check_finite, check_master_weights
from vljepa.training.inputs import Inputs, prepare
from vljepa.training.label_prior import fill_label_prior
from vljepa.training.movement import Movement
from vljepa.training.optim import build_optimizer, learning_rate, set_learning_rate
from vljepa.training.precision import choose_precision
from vljepa.training.residual import fit_residual
from vljepa.training.result import TrainResult
from vljepa.training.same_run import check_same_run, write_config
from vljepa.training.step import Embedding, Step, refuse_accumulation
from vljepa.training.tracking import Monitor, RunLog, announce
from vljepa.training.validation import evaluate_tasks, main_metric


class Trainer:
    """Trains a model as a recipe says.

    Args:
        run: The recipe.
        model: Model to train, instead of `run.model`; None builds that from its pretrained parts.
        device: `cpu` or `cuda`; None takes what is there.

    Example:
        >>> from vljepa.configs import load_run_config
        >>> Trainer(load_run_config("recipes/your_folder.yaml")).fit().metrics["mean"]  # doctest: +SKIP
    """

    def __init__(self, run: RunConfig, *, model: VLJEPA | None = None, device: str | None = None) -> None:
        self.run = run if model is None else run.model_copy(update={"model": model.config})
        self.folder = Path(run.train.output)
        self.device = resolve_training_device(device)
        self._given = model
        self._best: dict[str, Any] = {"value": -math.inf, "step": None, "metrics": {}}

    def fit(self) -> TrainResult:
        """Train to the last step, from the newest checkpoint if there is one.

        Raises:
            ConfigError: The recipe asks for something impossible, or the output has another run in it.
            DataError: A source is not usable.
            CheckpointError: A checkpoint does not load or cannot be written, or is of a run with another recipe.
            NonFiniteError: The loss or a gradient is not a number.
        """
        checkpoint = self._find_checkpoint()
        if checkpoint is not None:
            finished = self._finished()
            check_same_run(self.run, self.folder, finished=finished is not None)
            if finished is not None:
                announce(f"already finished: {finished.steps} steps in {str(self.folder)!r}")
                return finished
        self._build(checkpoint)
        start = self._restore(checkpoint)
        silent = not self.accelerator.is_main_process
        if not silent:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_config(self.run, self.folder)
        log = RunLog(self.folder, step=start, silent=silent)
        with Monitor(start=start, steps=self.run.train.steps, silent=silent) as monitor:
            self._introduce(log, monitor, start)
            if start == 0:
                self._validate(0, log, monitor)
            for step, batches in enumerate(self._loader(start), start=start):
                self._train_step(step, batches, log, monitor)
                if (step + 1) % self.run.train.eval_every == 0 or step + 1 == self.run.train.steps:
                    self._validate(step + 1, log, monitor)
                    self._save_last(step + 1)
            return self._finish(log, monitor)

    def _build(self, checkpoint: Path | None) -> None:
        run = self.run
        precision = choose_precision(run.train.precision, device=self.device)
        refuse_accumulation()
        # Questions do not use what text alone trains, and frozen buffers need not be sent around.
        ddp = DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)
        self.accelerator = Accelerator(mixed_precision=precision, cpu=self.device.type == "cpu", kwargs_handlers=[ddp])
        keep_freed_memory()
        torch.manual_seed(run.train.seed)
        model = self._given or _first_model(run)
        if checkpoint is not None and model.adapters is not None:
            model.adapters.load_weights(checkpoint)
        elif checkpoint is not None:
            config, tensors = saving.read_model(str(checkpoint))
            if _identity(config) != _identity(model.config):
                raise CheckpointError(
                    f"{str(checkpoint)!r} holds a model with another config.", fix="choose another train.output."
                )
            saving.restore(model, tensors)
        model.to(self.accelerator.device).eval()
        processor = VLJEPAProcessor(model.config)
        fill_label_prior(model, processor)
        check_master_weights(model)
        self.model = model
        shard = (self.accelerator.process_index, self.accelerator.num_processes)
        with self.accelerator.main_process_first():  # the others find the caches full
            self.inputs: Inputs = prepare(run, model=model, processor=processor, shard=shard)
        self.movement = Movement(model)
        self.average = WeightAverage(model, decay=run.train.ema)
        self.embedding = Embedding(model, run.objective).to(self.accelerator.device)
        extra = list(self.embedding.objective_parameters().values())
        optimizer = build_optimizer(model, config=run.optim, extra=extra)
        wrapped, self.optimizer = self.accelerator.prepare(self.embedding, optimizer)
        self.step = Step(run.objective, wrapped=wrapped, accelerator=self.accelerator, seed=run.train.seed)

    def _loader(self, start: int) -> torch.utils.data.DataLoader[list[Batch]]:
        # A generator of its own: the default one would draw from the global stream, which dropout uses.
        return torch.utils.data.DataLoader(
            self.inputs.batches,
            sampler=range(start, self.run.train.steps),
            batch_size=None,
            num_workers=self.inputs.workers,
            generator=torch.Generator(),
        )

    def _train_step(self, step: int, batches: list[Batch], log: RunLog, monitor: Monitor) -> None:
        run = self.run
        for batch in batches:
            self.inputs.skipped |= batch.skipped
        if any(batch.skipped for batch in batches):
            check_skipped(self.inputs.skipped, total=self.inputs.pictures, tolerated=run.data.max_skipped)
        batches = self.step.shared(batches)
        size = sum(batch.size for batch in batches) * self.accelerator.num_processes
        if size == 0:
            return
        torch.manual_seed(run.train.seed * 1_000_003 + step)
        self.step.wrapped.train()
        loss = self.step.loss(batches, step=step)
        loss_value = float(loss.detach())
        check_finite(loss_value, what="loss", step=step)
        self.step.backward(loss)
        norm = self._clip_gradients(step)
        lr = learning_rate(step, config=run.optim, steps=run.train.steps)
        set_learning_rate(self.optimizer, lr)
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            self.model.log_scale.clamp_(max=math.log(self.model.config.max_logit_scale))
        self.average.update(self.model, step=step + 1)
        monitor.count(step, size)
        if (step + 1) % run.train.log_every == 0 or step + 1 == run.train.steps:
            rate = monitor.throughput()
            log.write(
                "train",
                step + 1,
                loss=loss_value,
                lr=lr,
                gradient_norm=norm,
                temperature=1 / float(self.model.scale().detach()),
                samples_per_second=rate,
            )
            monitor.report(step, f"loss {loss_value:.3f}  {rate:.0f} samples/s")

    def _clip_gradients(self, step: int) -> float:
        """Clip, and give the norm before clipping. In fp16 an infinite norm is the loss scaler's business."""
        limit = self.run.optim.grad_clip or math.inf
        norm = self.accelerator.clip_grad_norm_(self.embedding.parameters(), limit)
        assert norm is not None
        if self.accelerator.scaler is None:
            check_finite(float(norm), what="gradient norm", step=step)
        return float(norm)

    def _validate(self, step: int, log: RunLog, monitor: Monitor) -> None:
        """Measure all tasks, and keep the weights as `best` if they are."""
        if not self.inputs.tasks:
            return
        with self.average.applied(self.model):
            with self.accelerator.autocast():
                metrics = evaluate_tasks(self.inputs.tasks, encoder=self.inputs.encoder)
            metrics |= {f"moved/{group}": share for group, share in self.movement.fractions(self.model).items()}
            log.write("validation", step, **metrics)
            name = self.run.train.best_metric
            value = main_metric(metrics, name=name)
            mains = "  ".join(f"{task.name} {100 * metrics[f'{task.name}/main']:.1f}" for task in self.inputs.tasks)
            monitor.say(f"validation after step {step}: {name} {value:.4f}  ({mains})")
            if value > self._best["value"]:
                self._best = {"value": value, "step": step, "metrics": metrics}
                self._replace("best", lambda folder: _save_model(self.model, folder))

    def _save_last(self, step: int) -> None:
        scaler = self.accelerator.scaler
        state = {
            "step": step,
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else None,
            "best": self._best,
            "start": self.movement.start,
            "average": self.average.tensors,
            "order": self.inputs.batches.order(),
            "objective": {name: one.detach() for name, one in self.embedding.objective_parameters().items()},
        }

        def write(folder: Path) -> None:
            _save_model(self.model, folder)
            save_state(folder, state)

        self._replace("last", write)

    def _replace(self, name: str, write: Callable[[Path], None]) -> None:
        """Write a folder of the output; one process does, and all wait for it."""
        if self.accelerator.is_main_process:
            replace_folder(self.folder / name, write)
        self.accelerator.wait_for_everyone()

    def _find_checkpoint(self) -> Path | None:
        checkpoint = intact_folder(self.folder / "last")
        if checkpoint is not None and self.run.train.resume == "never":
            raise ConfigError(
                f"{str(self.folder)!r} holds a run already and train.resume = 'never'.",
                fix="choose another train.output, or set train.resume=auto.",
            )
        return checkpoint

    def _restore(self, checkpoint: Path | None) -> int:
        """Bring back everything but the weights; returns the step to go on from."""
        if checkpoint is None:
            return 0
        state = load_state(checkpoint, device=torch.device("cpu"))
        if state["step"] > self.run.train.steps:
            raise CheckpointError(
                f"{str(checkpoint)!r} has {state['step']} steps behind it, more than train.steps = "
                f"{self.run.train.steps}.",
                fix="choose another train.output, or more steps.",
            )
        order = self.inputs.batches.order()
        if state["order"] != order:
            raise CheckpointError(
                f"{str(checkpoint)!r} comes from a run with other data, seed or batch size: "
                f"{state['order']}, now {order}.",
                fix="choose another train.output, or put them back.",
            )
        self.optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler is not None and state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self._best = state["best"]
        self.embedding.load_state_dict(state["objective"], strict=False)
        self.movement.start = state["start"]
        self.average.restore(state["average"])
        return int(state["step"])

    def _introduce(self, log: RunLog, monitor: Monitor, start: int) -> None:
        inputs = self.inputs
        for group, tensors, parameters, trainable in saving.trainable_report(self.model):
            state = "trained" if trainable else "frozen"
            monitor.say(f"{group:32} {tensors:5} tensors {parameters:>13,} parameters  {state}")
        precision = self.accelerator.mixed_precision
        monitor.say(f"on {self.accelerator.device}, autocast {precision}, from step {start}, into {str(self.folder)!r}")
        if inputs.overlap:
            monitor.say(f"WARNING: {inputs.overlap} validation pictures are also training pictures")
        log.write("start", start, overlap=inputs.overlap, pictures=inputs.pictures, skipped=len(inputs.skipped))

    def _finish(self, log: RunLog, monitor: Monitor) -> TrainResult:
        """Calibrate `best`, name what was skipped, and write the result down."""
        inputs, metrics = self.inputs, dict(self._best["metrics"])
        if inputs.tasks:
            best = intact_folder(self.folder / "best")
            assert best is not None
            saving.load_weights(self.model, best)
            metrics |= fit_residual(self.model, inputs.tasks, encoder=inputs.encoder, metric=self.run.train.best_metric)
            calibration, errors = calibrate(inputs.tasks, encoder=inputs.encoder, current=self.model.config.calibration)
            self.model.config.calibration = calibration
            self._replace("best", lambda folder: _save_model(self.model, folder))
            metrics |= errors
        if inputs.skipped:
            monitor.say(f"{len(inputs.skipped)} pictures were skipped: {name_skipped(inputs.skipped)}")
        result = TrainResult(
            folder=str(self.folder),
            steps=self.run.train.steps,
            best_step=self._best["step"],
            metrics=metrics,
            skipped={str(path): reason for path, reason in inputs.skipped.items()},
        )
        log.write("end", result.steps, best_step=result.best_step)
        if self.accelerator.is_main_process:
            result.write(self.folder)
        return result

    def _finished(self) -> TrainResult | None:
        """Result of a run that is complete already."""
        result = TrainResult.read(self.folder)
        return result if result is not None and result.steps == self.run.train.steps else None


def resolve_training_device(name: str | None) -> torch.device:
    """Device to train on: `cpu`, `cuda`, or what is there.

    Raises:
        ConfigError: There is no such device.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu" or (name == "cuda" and torch.cuda.is_available()):
        return torch.device(name)
    raise ConfigError(f"there is no device {name!r} to train on.", fix="use cpu, or cuda on a machine that has it.")


def _first_model(run: RunConfig) -> VLJEPA:
    """What a run begins with: pretrained parts, or a trained model, adapted if the recipe says so."""
    if run.start is None:
        assert run.model is not None
        return VLJEPA.from_parts(run.model)
    model = VLJEPA.from_pretrained(run.start)
    if run.lora is not None:
        adapt(model, run.lora, base=run.start, seed=run.train.seed)
    return model


def _save_model(model: VLJEPA, folder: Path) -> None:
    model.save_pretrained(folder)


def _identity(config: Any) -> str:
    """Config of a model as far as its tensors depend on it; hashes and calibration are filled in over time."""
    raw = config.model_dump(mode="json", exclude={"calibration"})
    for slot in ("x_encoder", "predictor", "y_encoder"):
        for late in ("config", "sha256"):
            raw[slot]["part"].pop(late)
    return json.dumps(raw, sort_keys=True)
