"""Every class of the label prior has the feature of its own name, in whatever order the names are encoded."""

from __future__ import annotations

import pytest
import torch

from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import load_preset
from vljepa.errors import ConfigError
from vljepa.methods.vision_language.label_prior import fill_label_prior


def test_each_class_has_the_feature_of_its_own_name() -> None:
    config = load_preset("toy")
    assert config.residual is not None
    names = [f"{'very ' * (number % 5)}thing {number}" for number in range(12)]
    config.residual.label_names = names
    model, processor = VLJEPA.from_parts(config).eval(), VLJEPAProcessor(config)
    fill_label_prior(model, processor, batch_size=5)
    assert model.residual is not None
    with torch.no_grad():
        alone = [processor.targets([name]) for name in names]
        expected_KE = torch.cat([model.text_features(one) for one in alone])
    rows_KE = model.residual.label_features_KE
    torch.testing.assert_close(rows_KE, expected_KE, rtol=0, atol=1e-5)
    # negative control: names differ by more than that, so that a swap would be seen
    assert (expected_KE[:, None] - expected_KE).abs().amax(-1).fill_diagonal_(1).min() > 1e-4


def test_as_many_names_as_classes() -> None:
    config = load_preset("toy")
    assert config.residual is not None
    config.residual.label_names = ["cat"]
    with pytest.raises(ConfigError, match="has 1 names, the X-Encoder has 12 classes"):
        fill_label_prior(VLJEPA.from_parts(config), VLJEPAProcessor(config))
