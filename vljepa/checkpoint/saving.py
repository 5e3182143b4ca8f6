"""Thin saves: what was trained, plus the specs and hashes of the frozen parts; and the way back."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from torch import Tensor

from vljepa.backends import part_folder, resolve_preferences
from vljepa.backends.files import copy_tokenizer, resolve_part
from vljepa.checkpoint.base import PretrainedJEPA
from vljepa.checkpoint.decoder import save_decoder
from vljepa.checkpoint.digests import text_space_digest
from vljepa.checkpoint.frozen import own_tensors, parts_of, referenced_keys
from vljepa.checkpoint.tensors import fill, read_tensors, write_tensors
from vljepa.configs import PartSpec, VLJEPAConfig
from vljepa.errors import CheckpointError
from vljepa.models.jepa import JEPA
from vljepa.models.layers.sharded import load_tensors, whole_state
from vljepa.parts.folders import verify_part
from vljepa.parts.saved import (
    DECODER_FOLDER,
    TOKENIZERS_FOLDER,
    WEIGHTS_FILE,
    read_config,
    saved_folder,
    write_config,
)

_SLOTS = ("x_encoder", "predictor", "y_encoder")
_CARD = """---
library_name: vljepa
license: apache-2.0
---

# {name}

A VL-JEPA model, made with the Python package `vljepa` (`pip install vljepa-torch`); load this folder with
`vljepa.VLJEPA.from_pretrained("PATH/TO/FOLDER")`.

| Part | What it is |
|---|---|
| X-Encoder | `{x_encoder}` |
| Predictor | `{predictor}` |
| Y-Encoder | `{y_encoder}` |

Licence of what was trained here: apache-2.0. The parts above, and the data, keep their own licences.

Training data and results: say here what it was trained on, how it was measured, and what it cannot do.
"""


def resolve_parts(config: VLJEPAConfig) -> VLJEPAConfig:
    """Copy of `config` with nothing left open: parts carry their architecture, commit and the hash of their weights."""
    resolved = config.model_copy(deep=True)
    for slot in _SLOTS:
        section = getattr(resolved, slot)
        spec: PartSpec = section.part
        if spec.source == "random":
            continue
        section.part = resolve_part(spec)
    return resolve_preferences(resolved)


def load_parts(model: JEPA) -> None:
    """Load every pretrained part into its place; a part with another hash than the config's is refused."""
    for _, spec, module in parts_of(model):
        if spec.source != "random":
            folder = part_folder(spec)
            verify_part(spec, folder)
            module.load_pretrained(folder)


def saved_state(model: JEPA, *, full: bool = False, keep: bool = True) -> dict[str, Tensor]:
    """Tensors that a save has.

    Args:
        model: Sharded by FSDP2 or not; if it is, all processes must call this together.
        full: Frozen parts too.
        keep: As for `whole_state`.
    """
    left_out = set() if full else referenced_keys(model)
    kept = {key: tensor for key, tensor in own_tensors(model).items() if key not in left_out}
    state: dict[str, Tensor] = whole_state(kept, keep=keep)
    return state


def save_model(
    model: PretrainedJEPA,
    folder: Path,
    *,
    full: bool,
    dtype: torch.dtype | None = None,
    state_dict: dict[str, Tensor] | None = None,
) -> None:
    """Write config.json and model.safetensors; `dtype` narrows floating tensors for shipping."""
    folder.mkdir(parents=True, exist_ok=True)
    if model.adapters is not None:
        if full or dtype is not None:
            raise CheckpointError(
                "adapters are saved as they are.", fix="merge them first: `vljepa export MODEL OUT --merge`."
            )
        model.adapters.save(folder)
        return
    state = saved_state(model, full=full) if state_dict is None else state_dict
    write_tensors(state, folder / WEIGHTS_FILE, dtype=dtype)
    write_config(model.config, folder)
    # Another model's words and tokenizers are none of this one's.
    decoder_tokenizer = None if model.y_decoder is None else model.y_decoder.tokenizer
    for stale, own in ((TOKENIZERS_FOLDER, model.tokenizers), (DECODER_FOLDER, decoder_tokenizer)):
        if own is None or not own.resolve().is_relative_to((folder / stale).resolve()):
            shutil.rmtree(folder / stale, ignore_errors=True)
    if full:
        save_tokenizers(model, folder / TOKENIZERS_FOLDER)
    # Words of another text space are none of this model's: training may have moved it.
    if model.y_decoder is not None and model.y_decoder.config.text_space == text_space_digest(model, state):
        save_decoder(model.y_decoder, folder / DECODER_FOLDER, dtype=dtype, full=full)


def save_tokenizers(model: PretrainedJEPA, folder: Path) -> None:
    """Copy the tokenizer files of both text parts, each into a folder of its slot; random parts have none."""
    for slot in ("predictor", "y_encoder"):
        part: PartSpec = getattr(model.config, slot).part
        if part.source == "random":
            continue
        source = part_folder(part) if model.tokenizers is None else model.tokenizers / slot
        copy_tokenizer(part, source, folder / slot)


def model_card(config: VLJEPAConfig, *, name: str = "A VL-JEPA model") -> str:
    """README.md of a saved model: what is known of it, and a place for what only its maker knows."""
    return _CARD.format(name=name, **{slot: getattr(config, slot).part for slot in _SLOTS})


def read_model(name: str | Path, *, revision: str | None = None) -> tuple[VLJEPAConfig, dict[str, Tensor]]:
    """Config and tensors of a saved model: a shipped preset, a folder, or a hub repository."""
    folder = saved_folder(name, revision=revision)
    tensors = read_tensors(folder / WEIGHTS_FILE, fix="copy or save the model again.")
    return read_config(folder), tensors


def load_weights(model: PretrainedJEPA, folder: Path) -> None:
    """Fill a model, or its adapters, from a save of its own kind; its frozen parts stay as they are."""
    if model.adapters is not None:
        model.adapters.load_weights(folder)
    else:
        load_tensors(model, read_model(folder)[1])


def restore(model: JEPA, tensors: dict[str, Tensor]) -> None:
    """Fill `model` from a save: frozen parts from their own places, then every saved tensor, with no gap."""
    own = own_tensors(model).keys()
    lacking = own - tensors.keys()
    if lacking:
        gap = sorted(lacking - referenced_keys(model))
        if gap:
            raise CheckpointError(
                f"the save lacks {len(gap)} trained tensors, first {gap[0]!r}.", fix="use a complete save."
            )
        load_parts(model)
    unknown = sorted(tensors.keys() - own)
    if unknown:
        raise CheckpointError(
            f"the save has {len(unknown)} tensors that the model has not, first {unknown[0]!r}.",
            fix="use the config.json that was saved with it.",
        )
    fill(model, tensors, what="the saved tensors")
