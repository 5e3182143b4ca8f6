"""What training the model and training a Y-Decoder share: how a run begins, goes on, is saved, stops and ends.

Read `fit` first. A subclass says what is built, what a step is, and what is measured.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from vljepa.configs import DecoderRunConfig, RunConfig
from vljepa.data.processes import any_process
from vljepa.data.skips import name_skipped
from vljepa.data.sources import Texts
from vljepa.errors import CheckpointError, ConfigError, StoppedError
from vljepa.methods import Inputs
from vljepa.models.device import resolve_device
from vljepa.models.layers.sharded import whole_state
from vljepa.training.averaging import WeightAverage
from vljepa.training.checkpoint import find_intact, load_state, replace_folder, save_state
from vljepa.training.decoder_inputs import DecoderInputs
from vljepa.training.epochs import with_steps
from vljepa.training.guards import SpikeWatch
from vljepa.training.optimizer_step import OptimizerStep
from vljepa.training.result import TrainResult
from vljepa.training.same_run import check_same_run, check_same_start, write_config
from vljepa.training.sharding import forget_last_run, load_optimizer_state
from vljepa.training.stopping import StopRequest, StopSignals
from vljepa.training.tracking import Monitor, RunLog, announce
from vljepa.validation.tasks import Metrics


class Loop(OptimizerStep, ABC):
    """One run into one folder.

    Args:
        run: The recipe.
        device: As for `resolve_device`.
    """

    average: WeightAverage
    texts: Texts = "required"
    """Whether rows without a target text count."""
    inputs: Inputs | DecoderInputs
    validates_first: bool
    """Whether the state before the first step is measured."""

    def __init__(self, run: RunConfig | DecoderRunConfig, *, device: str | None) -> None:
        self.run = run
        self.folder = Path(run.train.output)
        self.device = resolve_device(device)
        self.stop = StopSignals()
        self.spikes = SpikeWatch(run.train.spike)
        self._best: dict[str, Any] = {"value": -math.inf, "step": None, "metrics": {}}
        self._validated: int | None = None
        self._skipped_before: dict[str, str] = {}
        self._processes: int | None = None

    def fit(self) -> TrainResult:
        """Train to the last step, from the newest checkpoint if there is one.

        SIGTERM, SIGINT and SIGUSR1 end it early: after the step at hand, in validation after the batch at hand, with
        everything saved; a second one ends the process at once.

        Raises:
            ConfigError: The recipe asks for something impossible, or the output has another run in it.
            DataError: A source is not usable.
            CheckpointError: A checkpoint does not load or cannot be written, or is of a run with another recipe.
            NonFiniteError: The loss or a gradient is not a number.
            LossSpikeError: The loss has risen and stays high.
            StoppedError: A signal came; the same call again goes on.
        """
        with self.stop.listening():
            try:
                return self._fit()
            except StopRequest:
                raise StoppedError(
                    f"stopped by {self.stop.name}; the run is in {str(self.folder)!r}.",
                    fix="run the same command again to go on.",
                ) from None

    def _fit(self) -> TrainResult:
        self._check()
        with self.stop.at_once():
            self.run = with_steps(self.run, texts=self.texts)
            checkpoint = self._find_checkpoint()
            finished = None if checkpoint is None else self._finished()
            if checkpoint is not None:
                check_same_run(self.run, self.folder, finished=finished is not None)
            self._join_processes()
            check_same_start(checkpoint, finished=finished is not None, folder=self.folder)
            if finished is not None:
                announce(f"already finished: {finished.steps} steps in {str(self.folder)!r}")
                return finished
            self._build(checkpoint)
            start = self._restore(checkpoint)
        self.inputs.between_batches(self.stop.check)
        silent = not self.accelerator.is_main_process
        if not silent:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_config(self.run, self.folder)
        log = RunLog(self.folder, step=start, silent=silent, forward=self._start_trackers())
        try:
            with Monitor(start=start, steps=self.steps, silent=silent) as monitor:
                self._introduce(log, monitor, start)
                self._compare_processes(monitor)
                done = self._advance(start, log, monitor)
                metrics = self._finish()
                return self._conclude(metrics, done, log, monitor)
        finally:
            for tracker in self.accelerator.trackers:
                tracker.finish()

    def _join_processes(self) -> None:
        """Meet the other processes of the run, if there are any."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)  # Accelerate takes the current one
        forget_last_run()
        PartialState(cpu=self.device.type == "cpu")

    def _start_trackers(self) -> Callable[[dict[str, float], int], None] | None:
        """Begin with Accelerate's trackers, if there are any, and give the function that takes numbers."""
        if not self.run.train.trackers:
            return None
        self.accelerator.init_trackers(self.folder.name)
        return lambda values, step: self.accelerator.log(values, step=step)

    def _advance(self, start: int, log: RunLog, monitor: Monitor) -> int:
        """All steps from `start` on, with validations and checkpoints between them; gives the last step done."""
        if self._validation_due(start):  # the first, or one that a signal cut short
            self._measure(start, log, monitor)
        if self._is_stalled(start, monitor):
            return start
        every = self.run.train.save_every
        for step, batch in enumerate(self._loader(start), start=start + 1):
            self._train_step(step - 1, batch, log, monitor)
            if self.stop.asked():
                self._save_last(step)
                raise StopRequest
            if self._validation_due(step):
                self._measure(step, log, monitor)
                self._save_last(step)
                if self._is_stalled(step, monitor):
                    return step
            elif every is not None and step % every == 0:
                self._save_last(step)
        return self.steps

    def _is_stalled(self, step: int, monitor: Monitor) -> bool:
        """Whether the last `train.patience` validations, that of this step included, found nothing better."""
        patience, best = self.run.train.patience, self._best["step"]
        if patience is None or best is None or self._validated != step or step >= self.steps:
            return False
        stalled = any_process(step - best >= patience * self.run.train.eval_every)
        if stalled:
            monitor.say(f"ended after step {step} of {self.steps}: no validation since step {best} was better")
        return stalled

    def _validation_due(self, step: int) -> bool:
        if self._validated == step:
            return False
        if step == 0:
            return self.validates_first
        return step % self.run.train.eval_every == 0 or step == self.steps

    def _measure(self, step: int, log: RunLog, monitor: Monitor) -> None:
        try:
            self._validate(step, log, monitor)
        except StopRequest:
            self._save_last(step)  # as not validated: the run that goes on starts with that
            raise
        self._validated = step

    def _find_checkpoint(self) -> Path | None:
        checkpoint = find_intact(self.folder / "last")
        if checkpoint is not None and self.run.train.resume == "never":
            raise ConfigError(
                f"{str(self.folder)!r} holds a run already and train.resume = 'never'.",
                fix="choose another train.output, or set train.resume=auto.",
            )
        return checkpoint

    def _finished(self) -> TrainResult | None:
        """Result of a run that is complete already."""
        result = TrainResult.read(self.folder)
        whole = result is not None and (result.steps == self.steps or result.stopped_early)
        return result if whole else None

    def _save_last(self, step: int) -> None:
        scaler = self.accelerator.scaler
        sharded = {
            "optimizer": self.optimizer.state_dict(),
            "hooks": {name: hook.state() for name, hook in self.hooks.items()},
        }
        state = {
            "step": step,
            "validated": self._validated,
            "processes": self.accelerator.num_processes,
            "scaler": scaler.state_dict() if scaler is not None else None,
            "best": self._best,
            "spikes": self.spikes.state(),
            "skipped": self._all_skipped(),
            "order": self.inputs.batches.order(),
            **whole_state(sharded | self._own_state(), keep=self.accelerator.is_main_process),
        }
        write_model = self._gather_model()

        def write(folder: Path) -> None:
            write_model(folder)
            save_state(folder, state)

        self._replace("last", write)

    def _keep_if_best(self, value: float, *, step: int, metrics: Metrics) -> None:
        """Keep the weights as `best` if their validation metric is the highest so far."""
        if value > self._best["value"]:
            self._best = {"value": value, "step": step, "metrics": metrics}
            self._replace("best", self._gather_model())

    def _replace(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a folder of the output; one process does, and all wait for it.

        Raises:
            CheckpointError: It could not, which ends all.
        """
        failure: CheckpointError | None = None
        if self.accelerator.is_main_process:
            try:
                replace_folder(self.folder / name, write)
            except CheckpointError as error:
                failure = error
        if any_process(failure is not None):
            raise failure or CheckpointError(
                f"the first process could not write {str(self.folder / name)!r}.", fix="see what that one says."
            )

    def _restore(self, checkpoint: Path | None) -> int:
        """Bring back everything but the weights; returns the step to go on from."""
        if checkpoint is None:
            return 0
        state = load_state(checkpoint, device=torch.device("cpu"))
        if state["step"] > self.steps:
            raise CheckpointError(
                f"{str(checkpoint)!r} has {state['step']} steps behind it, more than train.steps = {self.steps}.",
                fix="choose another train.output, or more steps.",
            )
        order = self.inputs.batches.order()
        if state["order"] != order:
            raise CheckpointError(
                f"{str(checkpoint)!r} comes from a run with other data, seed or batch size: "
                f"{state['order']}, now {order}.",
                fix="choose another train.output, or put them back.",
            )
        load_optimizer_state(self.optimizer, state["optimizer"])
        if self.accelerator.scaler is not None and state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self._best = state["best"]
        self._validated, self._processes = state["validated"], state["processes"]
        self._skipped_before = state["skipped"]
        for name, hook in self.hooks.items():
            hook.restore(state["hooks"][name])
        self.spikes.restore(state["spikes"])
        self._restore_own(state)
        return int(state["step"])

    def _all_skipped(self) -> dict[str, str]:
        """Reason per unreadable image, those before a stop included."""
        return self._skipped_before | {str(path): reason for path, reason in self.inputs.skipped.items()}

    def _compare_processes(self, monitor: Monitor) -> None:
        now = self.accelerator.num_processes
        if self._processes not in (None, now):
            monitor.say(f"resumed with {now} processes after {self._processes}: the global batches are the same")

    def _conclude(self, metrics: Metrics, done: int, log: RunLog, monitor: Monitor) -> TrainResult:
        """Name what was skipped and write the result down, which says that the run is finished."""
        skipped = self._all_skipped()
        if skipped:
            monitor.say(f"{len(skipped)} images were skipped: {name_skipped(skipped)}")
        result = TrainResult(
            folder=str(self.folder),
            steps=done,
            stopped_early=done < self.steps,
            best_step=self._best["step"],
            metrics=metrics,
            skipped=skipped,
        )
        log.write("end", result.steps, best_step=result.best_step)
        if self.accelerator.is_main_process:
            result.write(self.folder)
        return result

    @abstractmethod
    def _check(self) -> None:
        """Refuse what the recipe alone shows to be impossible, before anything is read."""

    @abstractmethod
    def _build(self, checkpoint: Path | None) -> None:
        """Make everything that is trained and read, with the weights of the checkpoint."""

    @abstractmethod
    def _loader(self, start: int) -> Iterable[Any]:
        """Batches of the steps from `start` on."""

    @abstractmethod
    def _train_step(self, step: int, batch: Any, log: RunLog, monitor: Monitor) -> None:
        """One optimizer step."""

    @abstractmethod
    def _validate(self, step: int, log: RunLog, monitor: Monitor) -> None:
        """Measure, and `_keep_if_best`."""

    @abstractmethod
    def _gather_model(self) -> Callable[[Path], object]:
        """What writes the model as a folder that loads by itself; all processes call this, one calls what it gives."""

    @abstractmethod
    def _introduce(self, log: RunLog, monitor: Monitor, start: int) -> None:
        """Say what is trained on what, and write the log's `start` line."""

    @abstractmethod
    def _finish(self) -> Metrics:
        """Complete `best` and give its metrics; may run twice when a crash follows it."""

    def _own_state(self) -> dict[str, Any]:
        """What else a checkpoint has to have."""
        return {}

    def _restore_own(self, state: dict[str, Any]) -> None:
        """Bring `_own_state` back."""
