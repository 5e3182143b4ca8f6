"""LLM-JEPAs on disk: a folder of transformers that `AutoModelForCausalLM` loads, and what it was trained for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vljepa.configs import LLMJEPAConfig
from vljepa.errors import CheckpointError, ConfigError
from vljepa.models.language.llm_jepa import LLMJEPA

ABOUT_FILE = "llm_jepa.json"


def predictor_names(count: int) -> list[str]:
    """The added tokens, in the order in which they follow a view."""
    return [f"<|predictor_{number}|>" for number in range(count, 0, -1)]


def load_language_model(config: LLMJEPAConfig, *, seed: int = 0) -> tuple[Any, Any]:
    """The causal language model that a config starts from, and its tokenizer, with the added tokens.

    Args:
        config: Its `start`, and how many tokens are added.
        seed: Of the added tokens' embeddings.

    Raises:
        ConfigError: There is none, or its tokenizer has no token that ends a text.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(config.start)
        language_model = AutoModelForCausalLM.from_pretrained(config.start, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"model.start = {config.start!r} cannot be loaded: {str(error).strip().splitlines()[0]}",
            fix="name a folder or repository of transformers with a causal language model and its tokenizer.",
        ) from error
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            f"the tokenizer of {config.start!r} has no eos_token.", fix="give it one: it is what ends a text."
        )
    tokenizer.add_special_tokens({"additional_special_tokens": predictor_names(config.predictor_tokens)})
    if len(tokenizer) > language_model.get_input_embeddings().num_embeddings:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            language_model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return language_model, tokenizer


def write_llm_jepa(model: LLMJEPA, tokenizer: Any, state: Mapping[str, Tensor], folder: Path) -> None:
    """Write a model as `read_into` and transformers read it.

    Args:
        model: Whose config it is.
        tokenizer: With the added tokens.
        state: Tensors of its language model.
        folder: Made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.language_model.save_pretrained(folder, state_dict=dict(state))
    tokenizer.save_pretrained(folder)
    (folder / ABOUT_FILE).write_text(model.config.model_dump_json(indent=2), encoding="utf-8")


def read_into(model: LLMJEPA, folder: Path) -> None:
    """Fill a model from a folder.

    Raises:
        CheckpointError: It is of another model.
    """
    from transformers import AutoModelForCausalLM

    file = folder / ABOUT_FILE
    try:
        about = LLMJEPAConfig.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{str(file)!r} is not readable: {str(error).splitlines()[0]}",
            fix="name a folder of `vljepa train` with method llm_jepa.",
        ) from error
    if about != model.config:
        raise CheckpointError(f"{str(folder)!r} holds a model with another config.", fix="choose another train.output.")
    found = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.language_model.load_state_dict(found.state_dict())
