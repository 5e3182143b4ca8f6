"""Trains the model: what is built, what a step is, and what is measured.

How a run begins, is saved, stops and ends is in `loop.py`. Every step is a pure function of the weights, the optimizer
state and the step number: the batch by `StepBatches`, dropout by the seed set at the step, the learning rate by
`learning_rate`. That is why a resumed run goes on to the last bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from vljepa.configs import RunConfig
from vljepa.data.collate import Batch
from vljepa.data.skips import check_skipped
from vljepa.data.workers import ignore_signals
from vljepa.errors import CheckpointError, ConfigError
from vljepa.models import saving
from vljepa.models.adapters import adapt
from vljepa.models.clips import freeze_pictures, trains_clips_alone, with_clips
from vljepa.models.cpu import keep_freed_memory
from vljepa.models.modeling import VLJEPA
from vljepa.models.sharded import load_tensors, whole
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.training.answers import AnswerBank
from vljepa.training.averaging import WeightAverage
from vljepa.training.blind import blind_metrics, blind_warnings
from vljepa.training.calibration import calibrate
from vljepa.training.checkpoint import find_intact
from vljepa.training.compiling import compile_layers
from vljepa.training.guards import check_finite, check_master_weights
from vljepa.training.inputs import Inputs, prepare
from vljepa.training.label_prior import fill_label_prior
from vljepa.training.loop import Loop
from vljepa.training.memory import checkpoint_layers
from vljepa.training.movement import Movement
from vljepa.training.optim import build_optimizer, learning_rate, set_learning_rate
from vljepa.training.precision import choose_precision
from vljepa.training.residual import fit_residual, residual_notes
from vljepa.training.result import TrainResult
from vljepa.training.sharding import find_root, gathered, refuse_layouts, take_up_sharding
from vljepa.training.step import Embedding, Step, cut_texts, refuse_accumulation
from vljepa.training.trackers import tracker_settings
from vljepa.training.tracking import Monitor, RunLog
from vljepa.training.validation import Metrics, check_best_metric, evaluate_tasks, main_metric


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

    def __init__(self, run: RunConfig, *, model: VLJEPA | None = None, device: str | None = None) -> None:
        super().__init__(run if model is None else run.model_copy(update={"model": model.config}), device=device)
        self._given = model

    def _check(self) -> None:
        check_best_metric(self.run)
        refuse_layouts(sharded=None if self.run.lora is None else "adapters are too small to be cut")

    def _build(self, checkpoint: Path | None) -> None:
        run = self.run
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
        model = _first_model(run, self._given)
        self.clips_alone = trains_clips_alone(model, [source.frames for source in run.data.train])
        if self.clips_alone and run.lora is None:
            freeze_pictures(model)
        elif run.lora is None and run.data.validation:
            # The gate has learned at this factor, and would unlearn at another; `fit_residual` chooses anew at the end.
            model.config.calibration.residual = 1.0
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
        processor = VLJEPAProcessor(model.config, tokenizers=model.tokenizers)
        fill_label_prior(model, processor)
        check_master_weights(model)
        checkpoint_layers(model, enabled=run.train.gradient_checkpointing)
        if run.train.compile:
            compile_layers(model)
        self.model = model
        shard = (self.accelerator.process_index, self.accelerator.num_processes)
        self.inputs = prepare(run, model=model, processor=processor, shard=shard)
        self.movement = Movement(model)
        answers = None
        if run.objective.answers > 0:
            prior = run.objective.answer_prior
            answers = AnswerBank(self.inputs.answers, prior=prior, model=model, processor=processor)
        self.embedding = Embedding(model, run.objective, answers=answers).to(self.accelerator.device)
        extra = list(self.embedding.objective_parameters().values())
        optimizer = build_optimizer(model, config=run.optim, extra=extra)
        take_up_sharding(self.accelerator, self.embedding)
        decoder, model.y_decoder = model.y_decoder, None  # takes no part, and is saved along as it is
        wrapped, self.optimizer = self.accelerator.prepare(self.embedding, optimizer)
        model.y_decoder = decoder
        find_root(wrapped)
        self.average = WeightAverage(model, decay=run.train.ema)
        self.step = Step(run, wrapped=wrapped, accelerator=self.accelerator, texts=cut_texts(model.config))

    def _loader(self, start: int) -> torch.utils.data.DataLoader[list[Batch]]:
        # A generator of its own: the default one would draw from the global stream, which dropout uses.
        return torch.utils.data.DataLoader(
            self.inputs.batches,
            sampler=range(start, self.steps),
            batch_size=None,
            num_workers=self.inputs.workers,
            generator=torch.Generator(),
            worker_init_fn=ignore_signals,
        )

    def _train_step(self, step: int, batches: list[Batch], log: RunLog, monitor: Monitor) -> None:
        run = self.run
        for batch in batches:
            self.inputs.skipped |= batch.skipped
        if any(batch.skipped for batch in batches):
            check_skipped(self._all_skipped(), total=self.inputs.tried(step), tolerated=run.data.max_skipped)
        batches = self.step.shared(batches)
        size = sum(batch.size for batch in batches) * self.accelerator.num_processes
        if size == 0:
            return
        torch.manual_seed(run.train.seed * 1_000_003 + step)
        self.step.wrapped.train()
        loss = self.step.loss(batches, step=step)
        loss_value = float(loss.detach())
        check_finite(loss_value, what="loss", step=step)
        self.spikes.see(loss_value, step=step)
        self.step.backward(loss)
        norm = self._clip_gradients(step)
        lr = learning_rate(step, config=run.optim, steps=self.steps)
        set_learning_rate(self.optimizer, lr)
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            self.model.log_scale.clamp_(max=math.log(self.model.config.max_logit_scale))
        self.average.update(self.model, step=step + 1)
        monitor.count(step, size)
        if (step + 1) % run.train.log_every == 0 or step + 1 == self.steps:
            rate = monitor.throughput()
            log.write(
                "train",
                step + 1,
                loss=loss_value,
                lr=lr,
                gradient_norm=norm,
                temperature=1 / float(whole(self.model.scale().detach())),
                samples_per_second=rate,
            )
            monitor.report(step, f"loss {loss_value:.3f}  {rate:.0f} samples/s")

    def _clip_gradients(self, step: int) -> float:
        """Clip, and give the norm before clipping. In fp16 an infinite norm is the loss scaler's business."""
        limit = self.run.optim.grad_clip or math.inf
        norm = self.accelerator.clip_grad_norm_(self.embedding.parameters(), limit)
        assert norm is not None
        norm = whole(norm)
        if self.accelerator.scaler is None:
            check_finite(float(norm), what="gradient norm", step=step)
        return float(norm)

    def _validate(self, step: int, log: RunLog, monitor: Monitor) -> None:
        """Measure all tasks, and keep the weights as `best` if they are."""
        if not self.inputs.tasks:
            return
        with self.average.applied(self.model):
            with gathered(self.step.wrapped), self.accelerator.autocast():
                metrics = evaluate_tasks(self.inputs.tasks, encoder=self.inputs.encoder)
            metrics |= {f"moved/{group}": share for group, share in self.movement.fractions(self.model).items()}
            log.write("validation", step, **metrics)
            name = self.run.train.best_metric
            value = main_metric(metrics, name=name)
            mains = "  ".join(f"{task.name} {100 * metrics[f'{task.name}/main']:.1f}" for task in self.inputs.tasks)
            monitor.say(f"validation after step {step}: {name} {value:.4f}  ({mains})")
            self._keep_if_best(value, step=step, metrics=metrics)

    def _gather_model(self) -> Callable[[Path], object]:
        if self.model.adapters is not None:
            return self.model.save_pretrained
        state = saving.saved_state(self.model, keep=self.accelerator.is_main_process)
        return partial(self.model.save_pretrained, state_dict=state)

    def _own_state(self) -> dict[str, Any]:
        objective = {name: one.detach() for name, one in self.embedding.objective_parameters().items()}
        return {"start": self.movement.start, "objective": objective}

    def _restore_own(self, state: dict[str, Any]) -> None:
        self.movement.start = state["start"]
        load_tensors(self.embedding, state["objective"])

    def _introduce(self, log: RunLog, monitor: Monitor, start: int) -> None:
        inputs = self.inputs
        for group, tensors, parameters, trainable in saving.trainable_report(self.model):
            state = "trained" if trainable else "frozen"
            monitor.say(f"{group:32} {tensors:5} tensors {parameters:>13,} parameters  {state}")
        precision = self.accelerator.mixed_precision
        monitor.say(f"on {self.accelerator.device}, autocast {precision}, from step {start}, into {str(self.folder)!r}")
        for stream in inputs.streams:
            shard = stream.where(start * inputs.batches.quota_of(stream.source))
            monitor.say(f"source {stream.source.name!r}: from {shard}; after a stop, from the shard then in hand")
        if inputs.overlap:
            monitor.say(f"WARNING: {inputs.overlap} validation pictures are also training pictures")
        log.write(
            "start",
            start,
            overlap=inputs.overlap,
            pictures=inputs.pictures,
            skipped=len(inputs.skipped),
            processes=self.accelerator.num_processes,
        )

    def _finish(self) -> Metrics:
        """Calibrate `best`, and let go of the last shards."""
        inputs, metrics = self.inputs, dict(self._best["metrics"]) | blind_metrics(self.inputs)
        if self.accelerator.is_main_process:
            for stream in inputs.streams:
                stream.close()
        if inputs.tasks:
            best = find_intact(self.folder / "best")
            assert best is not None
            saving.load_weights(self.model, best)
            if self.clips_alone:
                return metrics  # another calibration would change what is said of pictures
            with gathered(self.step.wrapped):
                metrics |= fit_residual(
                    self.model, inputs.tasks, encoder=inputs.encoder, metric=self.run.train.best_metric
                )
                calibration, errors = calibrate(
                    inputs.tasks,
                    encoder=inputs.encoder,
                    current=self.model.config.calibration,
                    answers=inputs.answers,
                )
            self.model.config.calibration = calibration
            self._replace("best", self._gather_model())
            metrics |= errors
        return metrics

    def _conclude(self, metrics: Metrics, done: int, log: RunLog, monitor: Monitor) -> TrainResult:
        for line in residual_notes(metrics, metric=self.run.train.best_metric) + blind_warnings(metrics):
            monitor.say(line)
        return super()._conclude(metrics, done, log, monitor)


def _first_model(run: RunConfig, given: VLJEPA | None = None) -> VLJEPA:
    """What a run begins with: pretrained parts, or a trained model, adapted if the recipe says so.

    Raises:
        ConfigError: Adapters would be of another model than `start`, or of other adapters.
    """
    if given is not None:
        if run.lora is not None and given.adapters is None:
            _check_base(run, given)
            adapt(given, run.lora, base=str(run.start), seed=run.train.seed)
        return given
    if run.start is None:
        assert run.model is not None
        return VLJEPA.from_parts(run.model)
    model = VLJEPA.from_pretrained(run.start)
    if model.adapters is not None:
        raise ConfigError(
            f"start = {run.start!r} holds adapters.", fix="merge them first: `vljepa export MODEL OUT --merge`."
        )
    if run.clips is not None:
        model = with_clips(model, run.clips)
    if run.lora is not None:
        adapt(model, run.lora, base=run.start, seed=run.train.seed)
    return model


def _check_base(run: RunConfig, given: VLJEPA) -> None:
    """Adapters of a given model are loaded onto `start` later: it has to be the same."""
    if run.start is None or VLJEPA.from_pretrained(run.start).fingerprint() != given.fingerprint():
        raise ConfigError(
            f"the adapters could not be loaded again: start = {run.start!r} is another model than the given one.",
            fix="save the model, name that folder as `start`, and give no model.",
        )


def _identity(config: Any) -> str:
    """Config of a model as far as its tensors depend on it; hashes and calibration are filled in over time."""
    raw = config.model_dump(mode="json", exclude={"calibration"})
    for slot in ("x_encoder", "predictor", "y_encoder"):
        for late in ("config", "sha256"):
            raw[slot]["part"].pop(late)
    return json.dumps(raw, sort_keys=True)
