"""Low-rank adapters of language models, and 4-bit layers beneath them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from vljepa.configs import LoraConfig
from vljepa.errors import ConfigError


def add_lora(model: Any, config: LoraConfig, *, seed: int) -> Any:
    """Wrap a transformers model so that only low-rank updates of `config.targets` are trained.

    Args:
        model: The frozen model.
        config: Rank, scale and layers.
        seed: Of the adapters' first weights.
    """
    import peft

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return peft.get_peft_model(
            model,
            peft.LoraConfig(
                r=config.rank,
                lora_alpha=config.alpha,
                target_modules=config.targets or "all-linear",
                lora_dropout=config.dropout,
                task_type="CAUSAL_LM",
            ),
        )


def to_four_bits(model: nn.Module, layers: Sequence[str]) -> None:
    """Replace frozen linear layers, given by name, by 4-bit ones, packed where they are; a GPU takes them as they are.

    Raises:
        ConfigError: The package for it is missing.
    """
    try:
        import bitsandbytes
    except ImportError as error:
        raise ConfigError(
            "lora.four_bit needs the package bitsandbytes.",
            fix="pip install 'vljepa-torch[qlora]', or set lora.four_bit=false.",
        ) from error
    for name in layers:
        parent, _, leaf = name.rpartition(".")
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        small = bitsandbytes.nn.Linear4bit(
            linear.in_features, linear.out_features, bias=linear.bias is not None, quant_type="nf4"
        )
        small.load_state_dict(linear.state_dict())
        # In eval mode it would repack its weights for such a CPU, and give no gradients when it trains again.
        small.support_avx512bf16_for_cpu = False
        small.to(linear.weight.device)
        setattr(model.get_submodule(parent), leaf, small.requires_grad_(False))


def base_name(key: str) -> str | None:
    """Name that a tensor had before the model was adapted; None for what the adapters brought."""
    if ".lora_" in key or ".modules_to_save." in key:
        return None
    return key.replace(".base_layer.", ".").replace(".original_module.", ".")
