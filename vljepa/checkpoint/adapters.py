"""The adapters of a model: what peft has put around its layers, and their files."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from vljepa.errors import CheckpointError
from vljepa.models.jepa import JEPA
from vljepa.parts.saved import ADAPTER_WEIGHTS_FILE, BASE_FILE, write_config


class Adapters:
    """The adapters of a VL-JEPA, which is changed in place and keeps its methods.

    Args:
        model: A trained model.
        base: Its name: "mini", a folder, or a hub repository.
        wrapped: peft's wrapper around `model`.
        fingerprint: Of the model before it was adapted.
    """

    def __init__(self, model: JEPA, *, base: str, wrapped: Any, fingerprint: str) -> None:
        self.model = model
        self.base = base
        self.wrapped = wrapped
        self.fingerprint = fingerprint

    def left_out(self) -> AbstractContextManager[None]:
        """Context in which the model is what it was before it was adapted."""
        context: AbstractContextManager[None] = self.wrapped.disable_adapter()
        return context

    def save(self, folder: Path) -> None:
        """Write a standard peft folder, with the model's config and the hash of its base beside it."""
        folder.mkdir(parents=True, exist_ok=True)
        self.wrapped.save_pretrained(folder)
        write_config(self.model.config, folder)
        base = {"base": self.base, "fingerprint": self.fingerprint}
        (folder / BASE_FILE).write_text(json.dumps(base, indent=2), encoding="utf-8")

    def load_weights(self, folder: Path) -> None:
        """Take the adapters' weights from a folder that `save` wrote.

        Raises:
            CheckpointError: The file is missing or of other adapters.
        """
        import peft
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            peft.set_peft_model_state_dict(self.wrapped, load_file(folder / ADAPTER_WEIGHTS_FILE))
        except (OSError, SafetensorError, RuntimeError, KeyError) as error:
            raise CheckpointError(
                f"the adapters in {str(folder)!r} do not load: {error}.", fix="save them again."
            ) from error

    def merged_state(self) -> dict[str, torch.Tensor]:
        """Tensors of the model with the updates added to its matrices; the adapters are gone after it."""
        state: dict[str, torch.Tensor] = self.wrapped.merge_and_unload().state_dict()
        return state
