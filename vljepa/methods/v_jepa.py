"""V-JEPA: what is hidden of a clip is predicted in the space of latents, with a moving average as the teacher.

Source: arXiv 2404.08471 (V-JEPA), 2506.09985 (V-JEPA 2), 2603.14482 (V-JEPA 2.1), 2511.08544 (SIGReg).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.checkpoint.tensors import read_tensors
from vljepa.checkpoint.v_jepa import read_v_jepa, read_v_jepa_config, write_v_jepa
from vljepa.configs import RunConfig, VJEPAConfig
from vljepa.configs.v_jepa import LinearMomentum, RegularisedTarget, TeacherTarget
from vljepa.data.formats import is_there
from vljepa.data.sources import source_path
from vljepa.errors import CheckpointError, ConfigError
from vljepa.methods.hooks import FollowStudent, Hook
from vljepa.methods.protocol import Inputs, Method, Scope, TrainingModule
from vljepa.methods.video.inputs import check_sources, prepare, read
from vljepa.methods.video.panel import ClipPanel, measure, read_panels
from vljepa.models.layers.sharded import load_tensors, whole_state
from vljepa.models.types import Batch
from vljepa.models.video.v_jepa import VJEPA
from vljepa.objectives import gather_with_gradient
from vljepa.objectives.regularizers import sigreg
from vljepa.parts.saved import WEIGHTS_FILE
from vljepa.validation.tasks import Metrics

_VL_JEPA_ONLY = ("clips", "lora")
"""Sections of a recipe that a V-JEPA has nothing for."""


class VJepaMethod(Method):
    """See `Method`.

    Args:
        run: The recipe.
        given: Model to train, instead of `run.model`.
    """

    name = "v_jepa"
    texts = "optional"
    model: VJEPA

    def __init__(self, run: RunConfig, *, given: nn.Module | None = None) -> None:
        assert given is None or isinstance(given, VJEPA)
        super().__init__(run, given=given)

    def check(self) -> None:
        """Refuse what the recipe alone shows to be impossible.

        Raises:
            ConfigError: A section of another method, or sources that cannot be read.
        """
        run = self.run
        for name in _VL_JEPA_ONLY:
            if getattr(run, name) is not None:
                raise ConfigError(f"{name!r} is of vl_jepa, and the method is v_jepa.", fix=f"remove {name!r}.")
        if run.data.replay is not None:
            raise ConfigError("data.replay is of vl_jepa, and the method is v_jepa.", fix="remove data.replay.")
        if run.train.gradient_checkpointing or run.train.compile:
            raise ConfigError(
                "train.gradient_checkpointing and train.compile are not there for v_jepa.", fix="set both to false."
            )
        check_sources(run, self.config)

    @property
    def config(self) -> VJEPAConfig:
        """What is trained: `model`, or that of the model in `start`."""
        if isinstance(self.given, VJEPA):
            return self.given.config
        if self.run.model is None:
            return read_v_jepa_config(str(self.run.start))
        assert isinstance(self.run.model, VJEPAConfig)
        return self.run.model

    def scope(self) -> Scope:
        """Sizes of the model, and rows of the sources that are there.

        Raises:
            ConfigError: As `check`.
            DataError: A source that is there is not usable.
        """
        run = self.run
        places = [Path(source_path(one, run.data.root)) for one in run.data.train]
        missing = [str(place) for place in places if not is_there(place)]
        with torch.device("meta"):
            found = Scope.of(VJEPA(self.config))
        rows = None if missing else sum(len(read(source, run)) for source in run.data.train)
        return Scope(rows=rows, missing=tuple(missing), trained=found.trained, parameters=found.parameters)

    def build(self, checkpoint: Path | None, *, device: torch.device) -> VJEPA:
        """A new model, a given one, or that of `start`; with the checkpoint's weights.

        Raises:
            CheckpointError: The checkpoint or `start` is of another model.
        """
        model = self.given if isinstance(self.given, VJEPA) else VJEPA(self.config)
        if checkpoint is not None:
            if read_v_jepa_config(checkpoint) != model.config:
                raise CheckpointError(
                    f"{str(checkpoint)!r} holds a model with another config.", fix="choose another train.output."
                )
            self.load(model, checkpoint)
        elif self.run.start is not None and self.given is None:
            start = read_v_jepa(self.run.start)
            for part in ("encoder", "predictor"):  # heads, positions and how they turn have no tensors that could tell
                theirs, ours = getattr(start.config, part), getattr(model.config, part)
                if theirs != ours:
                    raise CheckpointError(
                        f"the {part} of start = {self.run.start!r} is {theirs!r}, and that of `model` is {ours!r}.",
                        fix="leave `model` out to take that of `start`, or give it the same encoder and predictor.",
                    )
            try:
                model.encoder.load_state_dict(start.encoder.state_dict())
                model.predictor.load_state_dict(start.predictor.state_dict())
                if model.teacher is not None:
                    model.teacher.encoder.load_state_dict(start.representing.state_dict())
            except RuntimeError as error:
                raise CheckpointError(
                    f"start = {self.run.start!r} does not fit `model`: {str(error).splitlines()[1].strip()}",
                    fix="leave `model` out to take that of `start`, or give it the same encoder and predictor.",
                ) from error
        self.model = model.to(device)
        return self.model

    def prepare(self, model: VJEPA, *, shard: tuple[int, int]) -> Inputs:
        """Read all sources; validation clips are kept in memory."""
        self.panels: list[ClipPanel] = read_panels(self.run, model)
        self.inputs = prepare(self.run, model=model.config, shard=shard)
        return self.inputs

    def module(self, model: VJEPA) -> TrainingModule:
        """The model; its rows are errors of clips."""
        return TrainingModule(model, model.forward)

    def loss(self, rows: Mapping[str, Tensor], batches: Sequence[Batch], *, step: int) -> Tensor:
        """Mean error of the clips of all processes, with what the config adds."""
        del batches
        total = gather_with_gradient(rows["error"]).mean()
        context = self.model.config.context_loss
        if context is not None:
            weight = context.weight * _risen(step, *context.warmup)
            total = total + weight * gather_with_gradient(rows["context_error"]).mean()
        target = self.model.config.target
        if isinstance(target, RegularisedTarget):
            total = total + target.weight * self._regularised(rows["latents"], target, step=step)
        return total

    def _regularised(self, latents_BND: Tensor, target: RegularisedTarget, *, step: int) -> Tensor:
        """SIGReg of tokens at drawn places, each of them by itself over the clips of all processes."""
        seed = self.run.train.seed * 1_000_003 + step
        draw = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(latents_BND.shape[1], generator=draw)[: target.tokens].to(latents_BND.device)
        everywhere_BnD = gather_with_gradient(latents_BND[:, chosen])
        directions = F.normalize(everywhere_BnD, dim=-1)
        terms = [sigreg(one_BD, seed=seed + number) for number, one_BD in enumerate(directions.unbind(1))]
        return torch.stack(terms).mean()

    def hooks(self) -> Mapping[str, Hook]:
        """The teacher follows, where there is one."""
        teacher, target = self.model.teacher, self.model.config.target
        if teacher is None:
            return {}
        assert isinstance(target, TeacherTarget)
        steps = self.run.train.steps
        assert steps is not None

        def momentum(step: int) -> float:
            way = target.momentum
            if isinstance(way, LinearMomentum):
                return way.start + (way.end - way.start) * min(1.0, (step - 1) / max(1, steps - 1))
            return way.value

        return {"teacher": FollowStudent(teacher, self.model.encoder, momentum=momentum)}

    def validate(self) -> Metrics:
        """Of every source `error`, `std`, `effective_rank` and, with labels, `knn`; `mean` is the mean of these.

        Without labels `mean` is minus the mean error, which falls while latents collapse too: look at the others.
        """
        metrics: Metrics = {}
        device = next(self.model.parameters()).device
        was_training = self.model.training
        self.model.eval()
        for panel in self.panels:
            found = measure(self.model, panel, device=device)
            metrics |= {f"{panel.name}/{name}": value for name, value in found.items()}
        self.model.train(was_training)
        if self.panels:
            labelled = [value for name, value in metrics.items() if name.endswith("/knn")]
            errors = [-value for name, value in metrics.items() if name.endswith("/error")]
            metrics["mean"] = sum(labelled or errors) / len(labelled or errors)
        return metrics

    def load(self, model: VJEPA, folder: Path) -> None:
        """See `Method`."""
        load_tensors(model, read_tensors(folder / WEIGHTS_FILE, fix="start anew with another train.output."))

    def gather(self, model: VJEPA, *, keep: bool) -> Callable[[Path], object]:
        """See `Method`; what is written is a saved V-JEPA."""
        return partial(write_v_jepa, model.config, whole_state(model.state_dict(), keep=keep))


def _risen(step: int, start: int, end: int) -> float:
    """Share of a weight that rises from 0 between two steps."""
    return 1.0 if step >= end else max(0.0, (step - start) / max(1, end - start))
