"""The language model inside a Y-Decoder: how it is made, and what may be asked of its generation."""

from __future__ import annotations

from typing import Any

import torch

from vljepa.backends.text_layers import text_config
from vljepa.configs.decoder import YDecoderConfig
from vljepa.errors import ConfigError


def causal_lm(config: YDecoderConfig) -> Any:
    """A causal language model of the part's architecture, drawn from its seed, fp32."""
    from transformers import AutoModelForCausalLM

    architecture = text_config(config.part)
    if config.part.source == "random":
        for key in ("attention_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob"):
            if hasattr(architecture, key):
                setattr(architecture, key, config.dropout)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.part.seed)
        return AutoModelForCausalLM.from_config(architecture, dtype=torch.float32)


def generation_options(
    *,
    num_beams: int,
    top_p: float | None,
    temperature: float,
    repetition_penalty: float,
    max_new_tokens: int,
    length_penalty: float,
) -> dict[str, Any]:
    """Options of transformers' `generate`; what does not go together is refused."""
    for name, value, allowed in (
        ("num_beams", num_beams, num_beams >= 1),
        ("top_p", top_p, top_p is None or 0 < top_p <= 1),
        ("temperature", temperature, temperature > 0),
        ("repetition_penalty", repetition_penalty, repetition_penalty >= 1),
        ("max_new_tokens", max_new_tokens, max_new_tokens >= 2),
    ):
        if not allowed:
            raise ConfigError(f"{name} = {value} is out of range.", fix=f"see the help of {name}.")
    options: dict[str, Any] = {
        "num_beams": num_beams,
        "repetition_penalty": repetition_penalty,
        "max_new_tokens": max_new_tokens,
        "do_sample": top_p is not None,
    }
    if num_beams > 1:
        options["length_penalty"] = length_penalty
    if top_p is not None:
        options |= {"top_p": top_p, "temperature": temperature}
    return options
