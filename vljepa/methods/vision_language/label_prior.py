"""Give the label prior its text: the Y-Encoder's features of the names of the X-Encoder's classes."""

from __future__ import annotations

import torch

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import LabelPriorConfig
from vljepa.errors import ConfigError
from vljepa.models.residuals import LabelPrior
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.processing.taxonomy import Taxonomy


def label_names(config: LabelPriorConfig) -> list[str]:
    """Text per class: all of its synonyms, in the classifier's order."""
    if config.label_names != "imagenet-1k":
        return config.label_names
    taxonomy = Taxonomy.of(config.label_names)
    return [", ".join(taxonomy.names_of(number)) for number in range(len(taxonomy))]


@torch.no_grad()
def fill_label_prior(model: VLJEPA, processor: VLJEPAProcessor, *, batch_size: int = 64) -> None:
    """Set the label features once, before training; a model without a label prior is left alone.

    Raises:
        ConfigError: The list of names and the classifier differ in length.
    """
    prior = model.residual
    if not isinstance(prior, LabelPrior) or prior.is_filled:
        return
    names = label_names(prior.config)
    classes = len(prior.label_features_KE)
    if len(names) != classes:
        raise ConfigError(
            f"residual.label_names has {len(names)} names, the X-Encoder has {classes} classes.",
            fix="give one name per class, in the classifier's order.",
        )
    device = prior.label_features_KE.device
    order = sorted(range(classes), key=lambda label: len(names[label]))  # less padding, half the time
    for start in range(0, classes, batch_size):
        labels = order[start : start + batch_size]
        features = model.text_features(processor.targets([names[label] for label in labels]).to(device))
        prior.label_features_KE[labels] = features.float()
