"""LLM-JEPAs on disk: a folder of transformers that `AutoModelForCausalLM` loads, and what it was trained for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vljepa.checkpoint.tensors import read_tensors, write_tensors
from vljepa.configs import LLMJEPAConfig
from vljepa.errors import CheckpointError, ConfigError
from vljepa.models.language.llm_jepa import LLMJEPA
from vljepa.models.lora import to_four_bits

ABOUT_FILE, ADAPTERS_FILE = "llm_jepa.json", "adapters.safetensors"


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


def adapted(language_model: Any, tokenizer: Any, config: LLMJEPAConfig, *, seed: int, four_bit: bool = True) -> Any:
    """Low-rank adapters around a language model; the added tokens' embeddings are trained whole.

    Args:
        language_model: Changed in place, and frozen.
        tokenizer: With the added tokens.
        config: Its `lora`.
        seed: Of the adapters' first weights.
        four_bit: Whether `lora.four_bit` is followed.

    Raises:
        ConfigError: No layer of a name that `lora.targets` has, or 4 bits without the package for them.
    """
    import peft

    lora = config.lora
    assert lora is not None
    head = language_model.get_output_embeddings()
    linear = {
        name: module.weight
        for name, module in language_model.named_modules()
        if module is not head and type(module).__name__ in ("Linear", "Conv1D")
    }
    kinds = sorted({name.rsplit(".", 1)[-1] for name in linear})
    unknown = [one for one in lora.targets or [] if one not in kinds]
    if unknown:
        raise ConfigError(
            f"model.lora.targets: there is no linear layer {unknown[0]!r}.", fix=f"choose among {', '.join(kinds)}."
        )
    targets = [name for name in linear if name.rsplit(".", 1)[-1] in (lora.targets or kinds)]
    if lora.four_bit and four_bit:
        to_four_bits(language_model, targets)
    added = tokenizer.convert_tokens_to_ids(predictor_names(config.predictor_tokens))
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that GPT-2's matrices lie the other way round, which peft then heeds
        torch.manual_seed(seed)
        return peft.get_peft_model(
            language_model,
            peft.LoraConfig(
                r=lora.rank,
                lora_alpha=lora.alpha,
                target_modules=targets,
                lora_dropout=lora.dropout,
                task_type="CAUSAL_LM",
                trainable_token_indices=added or None,
            ),
        )


def write_llm_jepa(model: LLMJEPA, tokenizer: Any, state: Mapping[str, Tensor], folder: Path) -> None:
    """Write a model as `read_into` and transformers read it; adapters are merged, and kept beside it for resuming.

    Args:
        model: Whose config it is.
        tokenizer: With the added tokens.
        state: Tensors of its language model.
        folder: Made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole: Any = model.language_model
    if model.config.lora is not None:
        adapters = {name: one.detach().cpu().clone() for name, one in state.items() if _of_adapters(name)}
        whole = adapted(*load_language_model(model.config), model.config, seed=0, four_bit=False)
        whole.load_state_dict(adapters, strict=False)
        whole = whole.merge_and_unload()
        state = whole.state_dict()
        write_tensors(adapters, folder / ADAPTERS_FILE)
    whole.save_pretrained(folder, state_dict=dict(state))
    tokenizer.save_pretrained(folder)
    (folder / ABOUT_FILE).write_text(model.config.model_dump_json(indent=2), encoding="utf-8")


def read_llm_jepa(folder: Path) -> tuple[LLMJEPA, Any]:
    """A trained model and its tokenizer.

    Raises:
        CheckpointError: There is none.
    """
    config = _read_config(folder)
    language_model, tokenizer = _read_transformers(folder)
    return LLMJEPA(config, language_model), tokenizer


def read_into(model: LLMJEPA, folder: Path) -> None:
    """Fill a model from a folder.

    Raises:
        CheckpointError: It is of another model.
    """
    if _read_config(folder) != model.config:
        raise CheckpointError(f"{str(folder)!r} holds a model with another config.", fix="choose another train.output.")
    if model.config.lora is None:
        model.language_model.load_state_dict(_read_transformers(folder)[0].state_dict())
        return
    adapters = read_tensors(folder / ADAPTERS_FILE, fix="save the model again.")
    missing = {name for name in model.language_model.state_dict() if _of_adapters(name)} ^ set(adapters)
    if missing:
        raise CheckpointError(f"the adapters in {str(folder)!r} are of another model.", fix="save the model again.")
    model.language_model.load_state_dict(adapters, strict=False)


def _read_config(folder: Path) -> LLMJEPAConfig:
    file = folder / ABOUT_FILE
    try:
        return LLMJEPAConfig.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{str(file)!r} is not readable: {str(error).splitlines()[0]}",
            fix="name a folder of `vljepa train` with method llm_jepa.",
        ) from error


def _read_transformers(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        return (
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
            AutoTokenizer.from_pretrained(folder),
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"the model in {str(folder)!r} does not load: {str(error).splitlines()[0]}", fix="save the model again."
        ) from error


def _of_adapters(name: str) -> bool:
    return ".lora_" in name or "trainable_tokens_delta" in name
