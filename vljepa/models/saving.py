"""Thin saves: what was trained, plus the specs and hashes of the frozen parts; and the way back."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vljepa.backends import part_folder, resolve_preferences
from vljepa.backends.files import copy_tokenizer, resolve_part
from vljepa.configs import PartSpec, VLJEPAConfig
from vljepa.errors import CheckpointError
from vljepa.models.adapters import base_name
from vljepa.models.decoder_saving import save_decoder
from vljepa.models.sharded import load_tensors, whole_state
from vljepa.parts.folders import verify_part
from vljepa.parts.saved import (
    CONFIG_FILE,
    DECODER_FOLDER,
    TOKENIZERS_FOLDER,
    WEIGHTS_FILE,
    read_config,
    saved_folder,
)

if TYPE_CHECKING:
    from vljepa.models.modeling import VLJEPA

_SLOTS = ("x_encoder", "predictor", "y_encoder")
_CARD = """---
library_name: vljepa
license: apache-2.0
---

# A VL-JEPA model

Made with the Python package `vljepa` (`pip install vljepa-torch`); load this folder with
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


def load_parts(model: VLJEPA) -> None:
    """Load every pretrained part into its place; a part with another hash than the config's is refused."""
    for _, spec, module in _parts(model):
        if spec.source != "random":
            folder = part_folder(spec)
            verify_part(spec, folder)
            module.load_pretrained(folder)


def referenced_keys(model: VLJEPA) -> set[str]:
    """Names of the tensors that a thin save leaves out: frozen, and to be had from a part's own files."""
    referenced: set[str] = set()
    for prefix, spec, _ in _parts(model):
        if spec.source != "random":
            for key in _own_tensors(model):
                name = base_name(key)
                if key.startswith(prefix) and name is not None and name not in model.trained:
                    referenced.add(key)
    return referenced


def saved_state(model: VLJEPA, *, full: bool = False, keep: bool = True) -> dict[str, Tensor]:
    """Tensors that a save has.

    Args:
        model: Sharded by FSDP2 or not; if it is, all processes must call this together.
        full: Frozen parts too.
        keep: As for `whole_state`.
    """
    left_out = set() if full else referenced_keys(model)
    kept = {key: tensor for key, tensor in _own_tensors(model).items() if key not in left_out}
    state: dict[str, Tensor] = whole_state(kept, keep=keep)
    return state


def save_model(
    model: VLJEPA,
    folder: Path,
    *,
    full: bool,
    dtype: torch.dtype | None = None,
    state_dict: dict[str, Tensor] | None = None,
) -> None:
    """Write config.json and model.safetensors; `dtype` narrows floating tensors for shipping."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    if model.adapters is not None:
        if full or dtype is not None:
            raise CheckpointError(
                "adapters are saved as they are.", fix="merge them first: `vljepa export MODEL OUT --merge`."
            )
        model.adapters.save(folder)
        return
    state = saved_state(model, full=full) if state_dict is None else state_dict
    tensors = {key: _narrow(tensor, dtype).detach().cpu().contiguous().clone() for key, tensor in state.items()}
    # One entry, since safetensors writes several in any order: equal weights are to be equal files.
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / CONFIG_FILE).write_text(model.config.model_dump_json(indent=2), encoding="utf-8")
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


def save_tokenizers(model: VLJEPA, folder: Path) -> None:
    """Copy the tokenizer files of both text parts, each into a folder of its slot; random parts have none."""
    for slot in ("predictor", "y_encoder"):
        part: PartSpec = getattr(model.config, slot).part
        if part.source == "random":
            continue
        source = part_folder(part) if model.tokenizers is None else model.tokenizers / slot
        copy_tokenizer(part, source, folder / slot)


def model_card(config: VLJEPAConfig) -> str:
    """README.md of a saved model: what is known of it, and a place for what only its maker knows."""
    return _CARD.format(**{slot: getattr(config, slot).part for slot in _SLOTS})


def read_model(name: str | Path, *, revision: str | None = None) -> tuple[VLJEPAConfig, dict[str, Tensor]]:
    """Config and tensors of a saved model: a shipped preset, a folder, or a hub repository."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = saved_folder(name, revision=revision)
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{str(folder / WEIGHTS_FILE)!r} is not readable: {error}.", fix="copy or save the model again."
        ) from error
    return read_config(folder), tensors


def load_weights(model: VLJEPA, folder: Path) -> None:
    """Fill a model, or its adapters, from a save of its own kind; its frozen parts stay as they are."""
    if model.adapters is not None:
        model.adapters.load_weights(folder)
    else:
        load_tensors(model, read_model(folder)[1])


def restore(model: VLJEPA, tensors: dict[str, Tensor]) -> None:
    """Fill `model` from a save: frozen parts from their own places, then every saved tensor, with no gap."""
    own = _own_tensors(model).keys()
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
    try:
        model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise CheckpointError(
            f"the saved tensors have other shapes than the config says: {error}.",
            fix="use the config.json that was saved with them.",
        ) from error


def digest(value: Any) -> str:
    """Short stable hash of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def text_space_digest(model: VLJEPA, state: dict[str, Tensor] | None = None) -> str:
    """Hash over the Y-Encoder's spec and over every tensor of it that its part's files do not determine.

    Args:
        model: The model.
        state: Its tensors, from `saved_state`, where it does not hold them whole.
    """
    spec = model.config.y_encoder.stated()
    state = model.y_encoder.state_dict(prefix="y_encoder.") if state is None else state
    return _digest_tensors(model, spec, {key: one for key, one in state.items() if key.startswith("y_encoder.")})


def model_digest(model: VLJEPA) -> str:
    """Hash over what embeds pictures and texts: config without temperatures, and tensors no part's files determine.

    Of the calibration only the residual's factor moves an embedding.
    """
    config = model.config.stated()
    calibration = config.pop("calibration", {})
    residual = {name: one for name, one in calibration.items() if name == "residual"}
    return _digest_tensors(model, config | residual, _own_tensors(model))


def _own_tensors(model: VLJEPA) -> dict[str, Tensor]:
    """Tensors of the model without its Y-Decoder, which has a folder of its own."""
    return {key: tensor for key, tensor in model.state_dict().items() if not key.startswith("y_decoder.")}


def _digest_tensors(model: VLJEPA, spec: Any, tensors: dict[str, Tensor]) -> str:
    hashed = hashlib.sha256(digest(spec).encode())
    referenced = referenced_keys(model)
    for key, tensor in sorted(tensors.items()):
        if key not in referenced:
            hashed.update(key.encode())
            hashed.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return hashed.hexdigest()[:16]


def trainable_report(model: nn.Module) -> list[tuple[str, int, int, bool]]:
    """Rows (module, tensors, parameters, trainable), so that nobody freezes a fresh projection unseen."""
    rows: dict[tuple[str, bool], list[int]] = {}
    for name, parameter in model.named_parameters():
        if ".original_module." in name:  # peft keeps what a module was before it was trained whole
            continue
        group = ".".join(name.split(".")[:2]) if name.count(".") > 1 else name.split(".")[0]
        rows.setdefault((group, parameter.requires_grad), []).append(parameter.numel())
    return [(group, len(sizes), sum(sizes), trainable) for (group, trainable), sizes in rows.items()]


def _parts(model: VLJEPA) -> list[tuple[str, PartSpec, Any]]:
    """Where each pretrained part's tensors are in the model, its spec, and the module that loads it."""
    config = model.config
    parts: list[tuple[str, PartSpec, Any]] = [
        ("x_encoder.backend.", config.x_encoder.part, model.x_encoder),
        ("predictor.backbone.", config.predictor.part, model.predictor.backbone),
        ("y_encoder.backbone.", config.y_encoder.part, model.y_encoder.backbone),
    ]
    if model.clip_predictor is not None:
        parts.append(("clip_predictor.backbone.", config.predictor.part, model.clip_predictor.backbone))
    return parts


def _narrow(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor
