"""What the files of a sentence-transformers model say: pooling, dense heads, prompts and length.

Layout: `modules.json` lists the modules in order, each with a folder of its own (`1_Pooling`, `2_Dense`);
`config_sentence_transformers.json` has the prompts, `sentence_bert_config.json` the length.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from vljepa.backends.weights import safetensors_state
from vljepa.configs import DenseConfig, PartSpec
from vljepa.errors import PartError
from vljepa.parts.folders import read_object, restore_hint

MODULES_FILE = "modules.json"
LENGTH_FILE = "sentence_bert_config.json"
Pooling = Literal["mean", "last", "cls"]
_POOLINGS: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
_LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS: dict[str, Literal["identity", "tanh", "gelu", "relu"]] = {
    "Identity": "identity",
    "Tanh": "tanh",
    "GELU": "gelu",
    "ReLU": "relu",
}
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")
"""In the order in which sentence-transformers' `encode_document` looks; an empty one says that there is none."""


@dataclass(frozen=True)
class SentenceModel:
    """What the files say.

    Args:
        pooling: Of the tokens.
        prefix: Prompt of a text that is to be found.
        dense: Layers after the pooling.
        dense_folders: Where their weights are.
        max_tokens: Longest text in tokens, where it is stated.
    """

    pooling: Pooling
    prefix: str
    dense: tuple[DenseConfig, ...]
    dense_folders: tuple[Path, ...]
    max_tokens: int | None


def read_sentence_model(part: PartSpec, folder: Path) -> SentenceModel | None:
    """The model's own statements; None for a folder that is no sentence-transformers model.

    Raises:
        PartError: A file is missing or unreadable, or asks for a module that vljepa does not have.
    """
    if not (folder / MODULES_FILE).is_file():
        return None
    pooling: Pooling | None = None
    dense: list[DenseConfig] = []
    folders: list[Path] = []
    for module in _modules(part, folder):
        name, place = str(module.get("type", "")).rsplit(".", 1)[-1], folder / str(module.get("path", ""))
        if name == "Transformer" and place == folder:
            continue
        if name == "Pooling":
            pooling = _pooling(part, read_object(part, place / "config.json"))
        elif name == "Dense":
            dense.append(_dense(part, read_object(part, place / "config.json")))
            folders.append(place)
        elif name != "Normalize":
            raise _unknown(part, f"a module {name!r} at {module.get('path', '')!r}")
    if pooling is None:
        raise _unknown(part, "no pooling")
    return SentenceModel(pooling, _document_prompt(part, folder), tuple(dense), tuple(folders), _length(part, folder))


def dense_state(part: PartSpec, folder: Path) -> dict[str, Tensor]:
    """Weights of the dense layers, named as in `torch.nn.ModuleList`: `0.weight`, `0.bias`, `1.weight` ..."""
    model = read_sentence_model(part, folder)
    state: dict[str, Tensor] = {}
    for number, place in enumerate(model.dense_folders if model is not None else ()):
        for name, tensor in safetensors_state(place, prefix="linear.").items():
            state[f"{number}.{name}"] = tensor.float()
    return state


def lowers_texts(part: PartSpec, folder: Path) -> bool:
    """Whether the model wants its texts in lower case, whatever its tokenizer does."""
    path = folder / LENGTH_FILE
    return bool(read_object(part, path).get("do_lower_case")) if path.is_file() else False


def _modules(part: PartSpec, folder: Path) -> list[dict[str, Any]]:
    path = folder / MODULES_FILE
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PartError(f"{path} is not readable JSON: {error}.", fix=restore_hint(part)) from error
    if not isinstance(modules, list) or not all(isinstance(one, dict) for one in modules):
        raise PartError(f"{path} is not a list of modules.", fix=restore_hint(part))
    return modules


def _pooling(part: PartSpec, raw: dict[str, Any]) -> Pooling:
    stated = raw.get("pooling_mode")
    modes = [mode for key, mode in _LEGACY.items() if raw.get(key)] if stated is None else stated
    modes = [modes] if isinstance(modes, str) else list(modes)
    if raw.get("include_prompt", True) is False:
        raise _unknown(part, "a pooling without the prompt's tokens")
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        raise _unknown(part, f"the pooling {' + '.join(map(str, modes)) or 'nothing'}")
    return _POOLINGS[modes[0]]


def _dense(part: PartSpec, raw: dict[str, Any]) -> DenseConfig:
    activation = str(raw.get("activation_function", "torch.nn.modules.activation.Tanh")).rsplit(".", 1)[-1]
    if activation not in _ACTIVATIONS:
        raise _unknown(part, f"the activation {activation!r}")
    if raw.get("module_input_name", "sentence_embedding") != "sentence_embedding":
        raise _unknown(part, "a dense layer on tokens")
    return DenseConfig(
        in_features=raw["in_features"],
        out_features=raw["out_features"],
        bias=raw.get("bias", True),
        activation=_ACTIVATIONS[activation],
    )


def _document_prompt(part: PartSpec, folder: Path) -> str:
    path = folder / "config_sentence_transformers.json"
    raw = read_object(part, path) if path.is_file() else {}
    prompts = raw.get("prompts") or {}
    name = next((one for one in _DOCUMENT_PROMPTS if one in prompts), raw.get("default_prompt_name"))
    return str(prompts.get(name) or "")


def _length(part: PartSpec, folder: Path) -> int | None:
    path = folder / LENGTH_FILE
    length = read_object(part, path).get("max_seq_length") if path.is_file() else None
    return int(length) if length is not None else None


def _unknown(part: PartSpec, what: str) -> PartError:
    return PartError(
        f"{part} is a sentence-transformers model with {what}, which vljepa does not have.",
        fix="take a model with mean, cls or last-token pooling and dense heads, or set y_encoder.pooling, dense, "
        "prefix and max_tokens by hand.",
    )
