"""VL-JEPA: a frozen vision encoder and a question predict the embedding of the answer's text, by contrast.

Source: arXiv 2512.10942, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vljepa.backends import backend_of
from vljepa.checkpoint import saving
from vljepa.checkpoint.adaptation import adapt
from vljepa.checkpoint.clips import freeze_images, trains_clips_alone, with_clips
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import AdaptersConfig, RunConfig, VLJEPAConfig
from vljepa.errors import CheckpointError, ConfigError
from vljepa.methods.hooks import Hook
from vljepa.methods.protocol import Method, Report, Scope
from vljepa.methods.vision_language.answers import AnswerBank
from vljepa.methods.vision_language.gates import GateLog
from vljepa.methods.vision_language.identity import identity_of
from vljepa.methods.vision_language.inputs import VisionLanguageInputs, prepare
from vljepa.methods.vision_language.label_prior import fill_label_prior
from vljepa.methods.vision_language.module import VisionLanguageModule
from vljepa.methods.vision_language.scope import scope_of
from vljepa.models.layers.sharded import whole
from vljepa.models.types import Batch
from vljepa.objectives import OBJECTIVES, TERMS, Gathered, Positives, gather_with_gradient
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.validation.blind import blind_metrics, blind_warnings
from vljepa.validation.calibration import calibrate
from vljepa.validation.residual_factor import fit_residual, residual_notes
from vljepa.validation.tasks import Metrics, check_best_metric, evaluate_tasks


class VLJepaMethod(Method):
    """See `Method`.

    Args:
        run: The recipe.
        given: Model to train, instead of `run.model`.
    """

    name = "vl_jepa"
    model: VLJEPA
    inputs: VisionLanguageInputs
    gates: GateLog

    def __init__(self, run: RunConfig, *, given: nn.Module | None = None) -> None:
        assert given is None or isinstance(given, VLJEPA)
        super().__init__(run, given=given)

    def check(self) -> None:
        """Refuse a metric that will not be measured."""
        check_best_metric(self.run)

    def scope(self) -> Scope:
        """See `scope_of`."""
        return scope_of(self.run)

    def build(self, checkpoint: Path | None, *, device: torch.device) -> VLJEPA:
        """Pretrained parts or a trained model, adapted if the recipe says so; with the checkpoint's weights."""
        run = self.run
        model = self._first_model()
        self.clips_alone = trains_clips_alone(model, [source.frames or 1 for source in run.data.train])
        if self.clips_alone and run.lora is None:
            freeze_images(model)
        elif run.lora is None and run.data.validation:
            # The gate has learned at this factor, and would unlearn at another; `fit_residual` chooses anew at the end.
            model.config.calibration.residual = 1.0
        if checkpoint is not None and model.adapters is not None:
            model.adapters.load_weights(checkpoint)
        elif checkpoint is not None:
            config, tensors = saving.read_model(str(checkpoint))
            if identity_of(config) != identity_of(model.config):
                raise CheckpointError(
                    f"{str(checkpoint)!r} holds a model with another config.", fix="choose another train.output."
                )
            saving.restore(model, tensors)
        model.to(device).eval()
        self.processor = VLJEPAProcessor(model.config, tokenizers=model.tokenizers)
        fill_label_prior(model, self.processor)
        self.model = model
        return model

    def prepare(self, model: VLJEPA, *, shard: tuple[int, int]) -> VisionLanguageInputs:
        """Read all sources and fill the caches."""
        self.inputs = prepare(self.run, model=model, processor=self.processor, shard=shard)
        return self.inputs

    def module(self, model: VLJEPA) -> VisionLanguageModule:
        """The model with what the objective trains beside it."""
        config, answers = self.run.objective, None
        if config.answers > 0:
            counts = self.inputs.answers
            answers = AnswerBank(counts, prior=config.answer_prior, model=model, processor=self.processor)
        self.gates = GateLog(model)
        return VisionLanguageModule(model, config, answers=answers)

    def loss(self, rows: Mapping[str, Tensor], batches: Sequence[Batch], *, step: int) -> Tensor:
        """The objective over the group's samples in all processes."""
        config = self.run.objective
        gathered = {name: gather_with_gradient(one) for name, one in rows.items() if name not in ("scale", "bias")}
        if config.stop_gradient and "target" in gathered:
            gathered["target"] = gathered["target"].detach()
        for name in ("pair_ids", "text_ids", "answer_ids"):
            ids = [value for one in batches if (value := getattr(one, f"{name}_B")) is not None]
            if ids:
                gathered[name] = gather_with_gradient(torch.cat(ids))
        group = Gathered(
            rows=gathered,
            scale=rows["scale"].mean(dim=0, keepdim=True),  # of as many batches as there are
            positives=Positives(gathered["pair_ids"], gathered.get("text_ids", gathered["pair_ids"])),
            bias=rows["bias"].mean(dim=0, keepdim=True) if "bias" in rows else None,
            tile=config.tile,
            seed=self.run.train.seed * 1_000_003 + step,
        )
        terms = [OBJECTIVES[config.name](group)] if "target" in gathered else []  # what is replayed has no target
        for name, (needed, term) in TERMS.items():
            weight = getattr(config, name)
            if weight > 0 and needed in gathered:
                terms.append(weight * term(group))
        return sum(terms[1:], start=terms[0])

    def validate(self) -> Metrics:
        """All tasks' metrics, the mean of their main ones, and that of the residual's gate."""
        if not self.inputs.tasks:
            return {}
        self.gates.validation()  # what else was asked since the last validation
        return evaluate_tasks(self.inputs.tasks, encoder=self.inputs.encoder) | self.gates.validation()

    def summary(self, metrics: Metrics) -> str:
        """Main metrics in percent, and the residual's gate."""
        gate = [f"gate {metrics['gate']:.3g}"] if "gate" in metrics else []
        mains = [f"{task.name} {100 * metrics[f'{task.name}/main']:.1f}" for task in self.inputs.tasks]
        return "  ".join(mains + gate)

    def hooks(self) -> Mapping[str, Hook]:
        """The temperature has a bound."""
        return {"temperature": _BoundedScale(self.model)}

    def finishers(self) -> Sequence[Callable[[], Metrics]]:
        """The residual's factor and the calibration.

        Where clips alone were trained, both stay what they are. With distillation the factor stays: chosen on new
        images it would change what is said of all others.
        """
        if self.clips_alone:
            return ()
        return (self._calibrate,) if self.run.objective.distillation > 0 else (self._fit_residual, self._calibrate)

    def closing_metrics(self) -> Metrics:
        """What the validation questions would be answered right without the image."""
        return blind_metrics(self.inputs.tasks, train=self.inputs.train)

    def step_metrics(self) -> Metrics:
        """The temperature, and the mean of the residual's gate since the last line."""
        return {"temperature": 1 / float(whole(self.model.scale().detach())), **self.gates.training()}

    def introduce(self, report: Report, *, step: int) -> dict[str, Any]:
        """Streams and overlap; gives the log what it has of the data."""
        inputs = self.inputs
        for stream in inputs.streams:
            shard = stream.where(step * inputs.batches.quota_of(stream.source))
            report(f"source {stream.source.name!r}: from {shard}; after a stop, from the shard then in hand")
        if inputs.overlap:
            report(f"WARNING: {inputs.overlap} validation images are also training images")
        return {"overlap": inputs.overlap, "images": inputs.images}

    def notes(self, metrics: Metrics) -> list[str]:
        """What the chosen factor and the answers without an image mean for the metrics."""
        return residual_notes(metrics, metric=self.run.train.best_metric) + blind_warnings(metrics)

    def backbones(self) -> dict[str, Any]:
        """See `Method`."""
        return self.model.trained_backbones()

    def lengths(self, batch: Batch) -> Tensor | None:
        """Tokens of query and target."""
        masks = [one.mask_BL.sum(1) for one in (batch.query, self._cut_target(batch)) if one is not None]
        return torch.stack(masks).sum(0) if masks else None

    def cut(self, batch: Batch) -> Batch:
        """Queries and targets to the longest of the piece; some towers want all positions of their context."""
        return batch.cut(target=self._cut_target(batch) is not None)

    def _cut_target(self, batch: Batch) -> Any:
        return None if backend_of(self.model.config.y_encoder.part).fixed_length else batch.target

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """The Y-Decoder takes no part, and is saved along as it is."""
        decoder, self.model.y_decoder = self.model.y_decoder, None
        try:
            yield
        finally:
            self.model.y_decoder = decoder

    def load(self, model: VLJEPA, folder: Path) -> None:
        """See `Method`."""
        saving.load_weights(model, folder)

    def gather(self, model: VLJEPA, *, keep: bool) -> Callable[[Path], object]:
        """See `Method`; what is written is a saved model, or adapters."""
        if model.adapters is not None:
            return model.save_pretrained
        return partial(model.save_pretrained, state_dict=saving.saved_state(model, keep=keep))

    def _fit_residual(self) -> Metrics:
        inputs = self.inputs
        return fit_residual(self.model, inputs.tasks, encoder=inputs.encoder, metric=self.run.train.best_metric)

    def _calibrate(self) -> Metrics:
        inputs = self.inputs
        self.model.config.calibration, errors = calibrate(
            inputs.tasks, encoder=inputs.encoder, current=self.model.config.calibration, answers=inputs.answers
        )
        return errors

    def _first_model(self) -> VLJEPA:
        """What a run begins with.

        Raises:
            ConfigError: Adapters would be of another model than `start`, or of other adapters.
        """
        run, given = self.run, self.given
        if isinstance(given, VLJEPA):
            if run.lora is not None and given.adapters is None:
                self._check_base(given)
                self._adapt(given, run.lora)
            return given
        if run.start is None:
            assert isinstance(run.model, VLJEPAConfig)
            return VLJEPA.from_parts(run.model)
        model = VLJEPA.from_pretrained(run.start)
        if model.adapters is not None:
            raise ConfigError(
                f"start = {run.start!r} holds adapters.", fix="merge them first: `vljepa export MODEL OUT --merge`."
            )
        if run.clips is not None:
            model = with_clips(model, run.clips)
        if run.lora is not None:
            self._adapt(model, run.lora)
        return model

    def _adapt(self, model: VLJEPA, config: AdaptersConfig) -> None:
        steps = {model.x_encoder.steps(source.frames or 1) for source in self.run.data.train}
        adapt(model, config, base=str(self.run.start), seed=self.run.train.seed, steps=steps)

    def _check_base(self, given: VLJEPA) -> None:
        """Adapters of a given model are loaded onto `start` later: it has to be the same."""
        start = self.run.start
        if start is None or VLJEPA.from_pretrained(start).fingerprint() != given.fingerprint():
            raise ConfigError(
                f"the adapters could not be loaded again: start = {start!r} is another model than the given one.",
                fix="save the model, name that folder as `start`, and give no model.",
            )


class _BoundedScale(Hook):
    """Keeps 1 / temperature below its bound."""

    def __init__(self, model: VLJEPA) -> None:
        self.model = model

    @torch.no_grad()
    def after_step(self, *, step: int) -> None:
        """See `Hook`."""
        del step
        self.model.log_scale.clamp_(max=math.log(self.model.config.max_logit_scale))
