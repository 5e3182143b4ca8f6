"""Parts that do not do what they would be asked are found before a training, in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as tf

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import ImageConfig, PartSpec, VLJEPAConfig, load_preset
from vljepa.errors import PartError

_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def part(config: Any, **options: Any) -> PartSpec:
    return PartSpec(backend="transformers", name="t", source="random", config=config.to_dict(), **options)


def toy(**parts: PartSpec) -> VLJEPAConfig:
    config = load_preset("toy")
    config.residual = None
    config.x_encoder.image = ImageConfig(size=(32, 32))
    for name, one in parts.items():
        getattr(config, name).part = one
    return config


def test_a_tower_that_masks_at_random_is_refused() -> None:
    config = tf.ViTMAEConfig(**_SIZES, image_size=32, patch_size=8)
    with pytest.raises(PartError, match="sees another thing in the same image each time"):
        VLJEPA.from_parts(toy(x_encoder=part(config)))


def test_images_of_another_size_than_the_tower_s_are_refused() -> None:
    config = tf.ViTConfig(**_SIZES, image_size=48, patch_size=8)
    with pytest.raises(PartError, match=r"does not take images of 32 x 32 pixels .*x_encoder\.image\.size"):
        VLJEPA.from_parts(toy(x_encoder=part(config)))


@pytest.mark.parametrize("name", ["ResNetConfig", "RegNetConfig"])
def test_a_pooler_without_weights_stays_where_its_class_calls_it(name: str) -> None:
    config = getattr(tf, name)(embedding_size=8, hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], groups_width=8)
    model = VLJEPA.from_parts(toy(x_encoder=part(config)))
    assert model.encode_vision(torch.zeros(1, 1, 3, 64, 64)).tokens_BND.shape == (1, 4, 16)


def test_layers_that_take_no_mask_of_ours_are_refused() -> None:
    config = tf.DebertaV2Config(**_SIZES, vocab_size=64, relative_attention=True, pos_att_type=["p2c", "c2p"])
    with pytest.raises(PartError, match="do not run on embeddings under a mask of ours"):
        VLJEPA.from_parts(toy(predictor=part(config)))


def test_a_probe_leaves_the_model_and_the_generator_as_they_were() -> None:
    torch.manual_seed(3)
    one = VLJEPA.from_parts(load_preset("toy"))
    drawn = torch.rand(1)
    torch.manual_seed(3)
    VLJEPA(load_preset("toy"))
    assert torch.equal(torch.rand(1), drawn)
    assert one.training
