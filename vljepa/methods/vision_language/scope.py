"""What a VL-JEPA's run would read and train, without weights and images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from vljepa.backends import part_config, resolve_preferences
from vljepa.backends.aligned import config_of
from vljepa.checkpoint.adaptation import adapt
from vljepa.checkpoint.clips import freeze_images, trains_clips_alone
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import RunConfig, VLJEPAConfig
from vljepa.data.formats import is_there
from vljepa.data.replay import replay_place
from vljepa.data.shards import is_shards, shard_addresses
from vljepa.data.sources import load_source
from vljepa.errors import AssetError, PartError
from vljepa.methods.protocol import Scope
from vljepa.methods.vision_language.checks import check_run
from vljepa.methods.vision_language.inputs import step_sampler
from vljepa.models.types import Tokens

_TOKENS = 8


def scope_of(run: RunConfig) -> Scope:
    """Rows of the sources and sizes of the model, after the checks that training makes first.

    Rows of sources that exist are read, images are not. The model is built, and run on a batch of the recipe's frames,
    on torch's meta device: shapes without numbers. For that its parts' files are looked up, and fetched if need be, as
    training would.

    Raises:
        ConfigError: The recipe asks for something impossible.
        DataError: A source that is there is not usable.
        CheckpointError: The model in `start` is not there.
        PartError: The parts are there but do not fit together, such as too many frames for the Predictor's positions.
    """
    wanted = run.model if run.model is not None else config_of(str(run.start))
    assert isinstance(wanted, VLJEPAConfig)
    if run.clips is not None:
        wanted = wanted.model_copy(update={"predictor": wanted.predictor.model_copy(update={"clips": run.clips})})
    check_run(run, wanted)
    rows, missing = _rows(run)
    try:
        config = _with_architectures(wanted)
    except (PartError, AssetError) as error:
        return Scope(rows=rows, missing=missing, parts=str(error))
    return replace(_sizes(config, run), rows=rows, missing=missing)


def _rows(run: RunConfig) -> tuple[int | None, tuple[str, ...]]:
    """Number of training rows, when all sources are there; and the files that are not."""
    data, missing = run.data, list[str]()
    sizes: list[int | None] = []
    for source in [*data.train, *data.validation]:
        if source in data.train and is_shards(source.path):
            shard_addresses(source.path)
            sizes.append(None)
        elif is_there(Path(data.root) / source.path):
            sizes.append(len(load_source(source, root=data.root, max_skipped=data.max_skipped)))
        else:
            missing.append(str(Path(data.root) / source.path))
    if data.replay is not None and not (place := replay_place(data.replay, data.root)).exists():
        missing.append(str(place))
    if missing:
        return None, tuple(dict.fromkeys(missing))
    sizes = sizes[: len(data.train)]
    step_sampler(run, [*sizes, *([None] if data.replay else [])])
    known = [size for size in sizes if size is not None]
    return (sum(known) if len(known) == len(sizes) else None), ()


def _with_architectures(config: VLJEPAConfig) -> VLJEPAConfig:
    """Copy of `config` whose parts carry their architecture; weights are not looked at."""
    filled = config.model_copy(deep=True)
    for section in (filled.x_encoder, filled.predictor, filled.y_encoder):
        if section.part.source != "random":
            section.part = section.part.model_copy(update={"config": part_config(section.part)})
    return resolve_preferences(filled)


class _Outline(VLJEPA):
    """A model on torch's meta device, which has no numbers that could be hashed."""

    def fingerprint(self) -> str:
        return ""


@torch.no_grad()
def _sizes(config: VLJEPAConfig, run: RunConfig) -> Scope:
    """Parameters of a model whose Predictor takes two clips of the longest source with queries."""
    frames = [source.frames for source in run.data.train]
    with torch.device("meta"):
        model = _Outline(config).eval()
        ids = torch.zeros(2, _TOKENS, dtype=torch.long)
        mask = torch.ones(2, _TOKENS, dtype=torch.bool)
        assert config.x_encoder.image.size is not None
        pixels = torch.zeros(2, max(frames), 3, *config.x_encoder.image.size)
    vision = model.encode_vision(pixels)
    assert model.predict(vision, Tokens(ids, mask)).shape == (2, config.embed_dim)
    if run.lora is not None:
        steps = {model.x_encoder.steps(one) for one in frames}
        lora = run.lora.model_copy(update={"four_bit": False})  # packed ones are as many
        adapt(model, lora, base="", seed=0, steps=steps)
    elif trains_clips_alone(model, frames):
        freeze_images(model)
    return Scope.of(model)
