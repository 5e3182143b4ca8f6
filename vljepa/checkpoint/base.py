"""A JEPA with what its files know of it and its tensors do not."""

from __future__ import annotations

from pathlib import Path

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

    def x_encoder_fingerprint(self) -> str:
        """Key of the feature cache: encoder, weights, preprocessing and token pooling."""
        return digest(self.config.x_encoder.stated())

    def text_space_hash(self) -> str:
        """Hash of the text side: a decoder or an index made in another text space must refuse this model."""
        return text_space_digest(self)

    def fingerprint(self) -> str:
        """Hash of the whole model but its temperatures: an index made by another model must refuse this one."""
        return model_digest(self)
