"""The entities of what a decoder is trained on: of texts by drawing them, of images by what the encoder says."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vljepa.configs import EntityConfig
from vljepa.data.entities import EntityEstimate
from vljepa.data.features import FeatureCache
from vljepa.data.records import Visual
from vljepa.models.types import Entities
from vljepa.processing.class_names import name_rows
from vljepa.processing.taxonomy import Taxonomy
from vljepa.validation.encoder import Encoder


def names_of(config: EntityConfig) -> list[str]:
    """The name of every class."""
    return list(Taxonomy.of(config.names).names())


class Naming:
    """Entities of what a decoder reads.

    Args:
        config: How many, of which names; nothing is left open.
        encoder: Embeds the names.
        reader: Gives the logits of images.
    """

    def __init__(self, config: EntityConfig, *, encoder: Encoder, reader: FeatureCache) -> None:
        self.config = config
        self.names = names_of(config)
        self.words = Taxonomy.of(config.names).every_name()
        prompts = encoder.model.config.prompts
        self.names_KD = torch.from_numpy(name_rows(self.names, prompts=prompts, embed=encoder.texts))
        self.estimate = EntityEstimate(
            Taxonomy.of(config.names),
            names_KD=self.names_KD,
            embed=lambda some: torch.from_numpy(encoder.texts(some)),
            count=config.count,
        )
        self._reader = reader
        self._by_classifier = config.of_classifier(encoder.model.config.residual)

    def of_images(self, images: Sequence[Visual], predictions_ND: Tensor) -> Entities:
        """Entities of images: by the X-Encoder's classifier, or by what is near to their predictions."""
        if self._by_classifier:
            return Entities.of_logits(self._reader.logits(list(images)), count=self.config.count)
        config = self.config
        assert config.temperature is not None
        return Entities.nearest(predictions_ND, self.names_KD, temperature=config.temperature, count=config.count)
