"""Sections of a recipe that do not go together, found before a file is read."""

from __future__ import annotations

from vljepa.configs import AlignedConfig, LabelPriorConfig, RunConfig, TextView, VLJEPAConfig
from vljepa.data.shards import is_shards
from vljepa.errors import ConfigError


def check_run(run: RunConfig, config: VLJEPAConfig) -> None:
    """Refuse a recipe whose sections do not go together; no file is read.

    Args:
        run: The recipe.
        config: Of the model that it trains.

    Raises:
        ConfigError: Naming the source and what it lacks.
    """
    _check_sources(run, config)
    _check_average(run)
    check_replay(run, config)
    check_text_tower(config)
    if run.objective.answers > 0 and config.y_encoder.target == "trained":
        raise ConfigError(
            f"objective.answers = {run.objective.answers:g} embeds the answers once, and the Y-Encoder is trained.",
            fix="set model.y_encoder.target=frozen (with adapters: lora.parts=[predictor]), or objective.answers=0.",
        )


def _check_sources(run: RunConfig, model: VLJEPAConfig) -> None:
    """Refuse sources that ask for a label prior that is not there, or that cannot share a group."""
    prior = model.residual
    kinds: dict[str, tuple[bool, bool, int]] = {}
    for source in run.data.validation:
        if isinstance(source.view, TextView):
            raise ConfigError(f"the view of the validation source {source.name!r} is text.", fix="validate on images.")
    for source in run.data.train:
        kind = (isinstance(source.view, TextView), source.gate_only, source.frames)
        if kinds.setdefault(source.group, kind) != kind:
            raise ConfigError(
                f"the source {source.name!r} is in group {source.group!r} with sources of another kind.",
                fix="give sources with gate_only, or a view of text or of other `frames`, a `group` of their own.",
            )
        if is_shards(source.path) and run.data.cache is not None:
            raise ConfigError(
                f"the source {source.name!r} is read shard by shard, and a cache keeps what comes again.",
                fix="set data.cache=null, or download the shards and give their folder.",
            )
        if all(kind[:2]):
            raise ConfigError(
                f"the view of the source {source.name!r} is text, and gate_only needs images.", fix="drop one."
            )
        if source.views is not None and source.views > 1 and run.data.cache is None:
            raise ConfigError(
                f"the source {source.name!r} wants {source.views} views, which only data.cache stores.",
                fix="set data.cache, or remove `views`.",
            )
        if any(kind[:2]) and not (isinstance(prior, LabelPriorConfig) and prior.gated):
            raise ConfigError(
                f"the source {source.name!r} needs model.residual=label_prior, gated.",
                fix="set it, or remove the source.",
            )
        if kind[0] and (model.y_encoder.target == "trained" or run.data.cache is None):
            raise ConfigError(
                f"the view of text of {source.name!r} needs model.y_encoder.target=frozen and data.cache.",
                fix="set them, or remove the source.",
            )


def _check_average(run: RunConfig) -> None:
    if run.train.ema > 0 and not run.data.validation:
        raise ConfigError(
            f"train.ema = {run.train.ema} averages the weights that validation chooses, and there is no validation.",
            fix="add a source to data.validation, or set train.ema=0.",
        )


def check_replay(run: RunConfig, config: VLJEPAConfig) -> None:
    """Refuse distillation without images, images without distillation, and a start that is not there any more."""
    weight = run.objective.distillation
    if weight == 0 and run.data.replay is not None:
        raise ConfigError(
            "objective.distillation = 0, and data.replay gives images for it.",
            fix="set objective.distillation=10, or data.replay=null.",
        )
    if weight > 0 and run.data.replay is None:
        raise ConfigError(
            f"objective.distillation = {weight:g} has no images to keep the predictions of.",
            fix="set data.replay.path to a folder of images of any kind or to mini:replay, or "
            "objective.distillation=0.",
        )
    if weight > 0 and run.lora is None and not isinstance(config.residual, AlignedConfig):
        raise ConfigError(
            f"objective.distillation = {weight:g} keeps what the start predicted, and nothing is left of the start "
            "where all weights are trained.",
            fix="set `lora`, or objective.distillation=0 and data.replay=null.",
        )


def check_text_tower(config: VLJEPAConfig) -> None:
    """Refuse to move a dual encoder's text side: what its image side says would mean something else."""
    if not isinstance(config.residual, AlignedConfig):
        return
    wrong = {"target": "trained", "head": "linear"}
    for key, value in wrong.items():
        if getattr(config.y_encoder, key) == value:
            raise ConfigError(
                f"model.y_encoder.{key} = {value!r} trains the text side, and the residual 'aligned' is the image side "
                "of a dual encoder, whose texts have to stay where they are.",
                fix="set model.y_encoder.target=frozen and model.y_encoder.head=identity; of adapters, "
                "lora.parts=[predictor].",
            )
