"""A JEPA with what its files know of it and its tensors do not."""

from __future__ import annotations

from pathlib import Path

import torch

from vljepa.checkpoint.adapters import Adapters
from vljepa.checkpoint.digests import digest, model_digest, text_space_digest
from vljepa.configs import VLJEPAConfig
from vljepa.models.jepa import JEPA


class PretrainedJEPA(JEPA):
    """What is saved and loaded.

    Args:
        config: As of `JEPA`.
    """

    def __init__(self, config: VLJEPAConfig) -> None:
        super().__init__(config)
        self.tokenizers: Path | None = None
        """Folder of the tokenizers, where the model was saved whole; else they are the parts' own."""
        self.adapters: Adapters | None = None
        """Low-rank adapters, where the model has been adapted."""

        self._digests: dict[str, str] = {}

    def narrow(self, dtype: torch.dtype) -> None:
        """Compute in another precision, such as `torch.bfloat16`; in place.

        Its fingerprints stay those of the weights as they were, so that an index or a decoder fits in any precision.
        """
        self._digests = {"model": self.fingerprint(), "text": self.text_space_hash()}
        self.to(dtype)

    def x_encoder_fingerprint(self) -> str:
        """Key of the feature cache: encoder, weights, preprocessing and token pooling."""
        return digest(self.config.x_encoder.stated())

    def text_space_hash(self) -> str:
        """Hash of the text side: a decoder or an index made in another text space must refuse this model."""
        return self._digests.get("text") or text_space_digest(self)

    def fingerprint(self) -> str:
        """Hash of the whole model but its temperatures: an index made by another model must refuse this one."""
        return self._digests.get("model") or model_digest(self)
