"""Overrides of what a vision tower's files say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers as tf

from tests.contract.test_vision_towers_of_strangers import (
    _VIT,
    TOWERS,
    config_of,
)
from vljepa.configs import ImageConfig, PartSpec, XEncoderConfig
from vljepa.errors import PartError
from vljepa.models.x_encoder import XEncoder


@pytest.mark.parametrize("name", TOWERS)
def test_an_override_wins(name: str, tmp_path: Path) -> None:
    TOWERS[name](tmp_path / "part")
    config = config_of(name, tmp_path / "part", image=ImageConfig(mean=(0.1, 0.2, 0.3)))
    assert config.image.mean == (0.1, 0.2, 0.3)
    assert config.image.std == config_of(name, tmp_path / "part").image.std
    assert config.image.is_resolved


def test_another_size_keeps_the_share_that_is_cut_off(tmp_path: Path) -> None:
    TOWERS["dinov2"](tmp_path / "part")
    config = config_of("dinov2", tmp_path / "part", image=ImageConfig(size=(84, 84)))
    assert (config.image.size, config.image.resize_to) == ((84, 84), 98)


def test_a_folder_that_does_not_say_how_it_wants_to_see_is_refused(tmp_path: Path) -> None:
    TOWERS["dinov3"](tmp_path / "part")
    (tmp_path / "part" / "preprocessor_config.json").unlink()
    with pytest.raises(PartError, match=r"has no preprocessor_config\.json.*set x_encoder\.image"):
        config_of("dinov3", tmp_path / "part")
    by_hand = ImageConfig(size=(48, 48), mean=(0.5,) * 3, std=(0.5,) * 3, resize="squash", interpolation="bicubic")
    assert config_of("dinov3", tmp_path / "part", image=by_hand).image == by_hand


def test_steps_that_we_do_not_have_are_refused_and_not_left_out(tmp_path: Path) -> None:
    """EfficientNet's processor of transformers divides by the deviation twice, and no key of its files says so."""
    folder = tmp_path / "part"
    TOWERS["convnext"](folder)
    tf.EfficientNetImageProcessor(size={"height": 64, "width": 64}, image_std=[0.3] * 3).save_pretrained(folder)
    with pytest.raises(PartError, match=r"has steps that vljepa does not know \(difference .*x_encoder\.image"):
        config_of("convnext", folder)


def test_a_naflex_tower_is_refused_by_name(tmp_path: Path) -> None:
    vision = {**_VIT, "patch_size": 16, "num_patches": 256}
    config = tf.Siglip2Config(text_config={**_VIT, "vocab_size": 50}, vision_config=vision)
    part = PartSpec(backend="transformers", name="t", source="random", config=config.to_dict())
    with pytest.raises(PartError, match="NaFlex"):
        XEncoder(XEncoderConfig(part=part))


def test_v_jepa_2_sees_every_frame_and_an_image_has_a_step(tmp_path: Path) -> None:
    """With min_frames 1 an image had no step at all, and the last of an odd number of frames was dropped."""
    TOWERS["vjepa2"](tmp_path / "part")
    config = config_of("vjepa2", tmp_path / "part")
    assert config.min_frames == 2
    encoder = XEncoder(config.model_copy(update={"min_frames": 1}))
    encoder.load_pretrained(tmp_path / "part")
    clip = torch.randn(1, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert [encoder.steps(frames) for frames in (1, 2, 3, 4)] == [1, 1, 2, 2]
    one, three = encoder(clip[:, :1]), encoder(clip)
    assert (one.steps, one.tokens_BND.shape[1], three.steps, three.tokens_BND.shape[1]) == (1, 4, 2, 8)
    filled = encoder(torch.cat([clip, clip[:, -1:]], dim=1))
    assert torch.equal(three.tokens_BND, filled.tokens_BND)
