"""Adapters of a whole model: given, saved, loaded, and merged, by peft."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from vljepa.checkpoint.adapters import Adapters
from vljepa.checkpoint.base import PretrainedJEPA
from vljepa.configs import AdaptersConfig, CalibrationConfig
from vljepa.errors import CheckpointError, ConfigError
from vljepa.models.lora import to_four_bits
from vljepa.parts.saved import (
    ADAPTER_FILE,
    ADAPTER_WEIGHTS_FILE,
    read_adapter_base,
    read_config,
)


def adapt(
    model: PretrainedJEPA, config: AdaptersConfig, *, base: str, seed: int, steps: Collection[int] | None = None
) -> None:
    """Freeze a trained model, and give it adapters and modules to be trained; `model.adapters` holds them.

    Args:
        model: The model, changed in place.
        config: What is adapted.
        base: Name by which the model can be loaded again.
        steps: Steps in time of what it is trained on: a Predictor that is not asked for these is left as it is.
        seed: Of the adapters' first weights. Their product is 0 at first, so the model still says what it said.

    Raises:
        ConfigError: No layer of that name, or 4 bits without the package for them.
    """
    import peft

    fingerprint = model.fingerprint()
    if "y_encoder" in config.parts:
        model.config.y_encoder.target = "trained"  # its features may not be cached, and get gradients
    if config.four_bit:
        to_four_bits(model, _layers(model, config, steps))
    places = [place for name in config.full for place in model.places_of(name, steps)]
    full = [name for name in places if _has(model, name)]
    with torch.random.fork_rng(devices=[]), _hidden(model, parts=config.parts, full=full):
        torch.manual_seed(seed)
        wrapped = peft.get_peft_model(
            model,
            peft.LoraConfig(
                r=config.rank,
                lora_alpha=config.alpha,
                target_modules=_layers(model, config, steps),
                lora_dropout=config.dropout,
                modules_to_save=full or None,
            ),
        )
    model.adapters = Adapters(model, base=base, wrapped=wrapped, fingerprint=fingerprint)


def is_adapted(folder: Path) -> bool:
    """Whether a folder holds adapters, and not a whole model."""
    return (folder / ADAPTER_FILE).is_file()


def apply_saved(model: PretrainedJEPA, folder: Path, *, trainable: bool = False) -> None:
    """Give a base model the adapters of a folder; a decoder of the base goes if they move the text space.

    Raises:
        CheckpointError: They were trained on another base, are of another kind, or do not load.
    """
    import peft
    from safetensors import SafetensorError

    _check_saved(folder)
    (base, wanted), found = read_adapter_base(folder), model.fingerprint()
    if wanted != found:
        raise CheckpointError(
            f"the adapters in {str(folder)!r} were trained on {base!r} with fingerprint {wanted!r}, this model has "
            f"{found!r}.",
            fix=f"put the very model back at {base!r}, or train the adapters again.",
        )
    config = read_config(folder)
    model.config.y_encoder.target = config.y_encoder.target
    model.config.calibration = CalibrationConfig.model_validate(config.calibration.model_dump())
    try:
        raw = json.loads((folder / ADAPTER_FILE).read_text(encoding="utf-8"))
        parts = {one.split(".")[0] for one in raw["target_modules"]}
        with _hidden(model, parts=sorted(parts), full=raw.get("modules_to_save") or []):
            wrapped = peft.PeftModel.from_pretrained(model, str(folder), is_trainable=trainable)
    except (OSError, RuntimeError, ValueError, TypeError, SafetensorError) as error:
        raise CheckpointError(
            f"the adapters in {str(folder)!r} do not load: {error}.", fix="save them again."
        ) from error
    model.adapters = Adapters(model, base=base, wrapped=wrapped, fingerprint=found)
    if model.y_decoder is not None and model.y_decoder.config.text_space != model.text_space_hash():
        model.y_decoder = None


def _check_saved(folder: Path) -> None:
    """Refuse what would make peft do more than fill matrices, for a stranger's folder.

    Without the safetensors file it would unpickle another or ask the hub; a config may name a module to import, and a
    pattern of layer names may take for ever.
    """
    try:
        raw = json.loads((folder / ADAPTER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{str(folder / ADAPTER_FILE)!r} is not readable: {error}.", fix="save the adapters again."
        ) from error
    lora = isinstance(raw, dict) and raw.get("peft_type") == "LORA" and isinstance(raw.get("target_modules"), list)
    if not lora or raw.get("megatron_config") is not None or not (folder / ADAPTER_WEIGHTS_FILE).is_file():
        raise CheckpointError(
            f"{str(folder)!r} holds no adapters that vljepa saved.",
            fix=f"it needs LoRA with a list of layers in {ADAPTER_FILE}, and {ADAPTER_WEIGHTS_FILE}.",
        )


def _layers(model: PretrainedJEPA, config: AdaptersConfig, steps: Collection[int] | None) -> list[str]:
    """Full names of the linear layers to adapt."""
    prefixes = tuple(f"{place}.backbone." for part in config.parts for place in model.places_of(part, steps))
    linear = [
        name
        for name, module in model.named_modules()
        # torch's attention reads this kind's matrix by itself: what is put around the layer is never called.
        if isinstance(module, nn.Linear) and not isinstance(module, NonDynamicallyQuantizableLinear)
        if name.startswith(prefixes)
    ]
    kinds = sorted({name.rsplit(".", 1)[-1] for name in linear})
    unknown = [target for target in config.targets or [] if target not in kinds]
    if unknown or not linear:
        raise ConfigError(
            f"lora.targets: {', '.join(config.parts)} has no linear layer {unknown[0] if unknown else ''!r}.",
            fix=f"choose among {', '.join(kinds)}, or leave targets out for all.",
        )
    return [name for name in linear if config.targets is None or name.rsplit(".", 1)[-1] in config.targets]


@contextmanager
def _hidden(model: PretrainedJEPA, *, parts: Sequence[str], full: Sequence[str]) -> Iterator[None]:
    """Take out of peft's sight, and freeze, what is neither adapted nor trained whole: it matches names by their ends.

    Raises:
        ConfigError: A module in an adapted part ends like one that is to be trained whole.
    """
    seen = {name.split(".")[0] for name in [*parts, *full]}
    away = {name: module for name, module in model.named_children() if name not in seen}
    for name in away:
        setattr(model, name, None)
    try:
        for name, _ in model.named_modules():
            if name not in full and any(name.endswith(one) for one in full) and ".original_module" not in name:
                raise ConfigError(
                    f"lora.full names {next(one for one in full if name.endswith(one))!r}, and {name!r} ends alike.",
                    fix="name the module by a longer part of its name.",
                )
        yield
    finally:
        for name, module in away.items():
            setattr(model, name, module.requires_grad_(False))


def _has(model: nn.Module, name: str) -> bool:
    try:
        module = model.get_submodule(name)
    except AttributeError:
        return False
    return any(True for _ in module.parameters())
