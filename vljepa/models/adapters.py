"""Low-rank adapters: the one place that touches peft."""

from __future__ import annotations

from typing import Any

import torch

from vljepa.configs.decoder import LoraConfig


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
                target_modules=config.targets,
                lora_dropout=config.dropout,
                task_type="CAUSAL_LM",
            ),
        )
