"""Both sides of a dual encoder in one space: our embeddings and logits are the library's own, from the same files."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch
import torch.nn.functional as F
import transformers as tf
from PIL import Image
from torch import Tensor

from tests.contract.test_vision_towers_of_strangers import TOWERS, config_of, images
from vljepa.backends import backend_of
from vljepa.configs import PartSpec
from vljepa.models.x_encoder import XEncoder
from vljepa.processing.image import ImageTransform, open_image

DUALS = {"clip": tf.CLIPModel, "siglip": tf.SiglipModel}


def embedded(name: str, folder: Path, paths: list[Path]) -> Tensor:
    """Our embeddings of images, unit norm."""
    config = config_of(name, folder)
    encoder = XEncoder(config)
    encoder.load_pretrained(folder)
    transform = ImageTransform(config.image)
    pixels = torch.stack([transform(open_image(path, max_pixels=10**8)) for path in paths]).unsqueeze(1)
    pooled = encoder(pixels).pooled_BD
    assert pooled is not None
    assert pooled.shape == (len(paths), encoder.pooled_width)
    return F.normalize(pooled, dim=-1)


@pytest.mark.parametrize("name", DUALS)
@torch.no_grad()
def test_images_of_transformers_lie_where_the_library_puts_them(name: str, tmp_path: Path) -> None:
    TOWERS[name](tmp_path / "part")
    paths = images(tmp_path)
    own = DUALS[name].from_pretrained(tmp_path / "part").eval()
    processor = tf.AutoImageProcessor.from_pretrained(tmp_path / "part")
    opened = [Image.open(path) for path in paths]
    wanted = F.normalize(own.get_image_features(**processor(images=opened, return_tensors="pt")).pooler_output, dim=-1)
    ours = embedded(name, tmp_path / "part", paths)
    assert (ours * wanted).sum(-1).min() > 0.9999
    assert (ours * wanted.roll(1, 0)).sum(-1).min() < 0.999, "the control: images are told apart"
    contrast = backend_of(config_of(name, tmp_path / "part").part).contrast(
        config_of(name, tmp_path / "part").part, tmp_path / "part"
    )
    assert contrast is not None
    assert contrast.scale == pytest.approx(float(own.logit_scale.exp()))
    assert contrast.bias == (pytest.approx(float(own.logit_bias)) if hasattr(own, "logit_bias") else None)


@torch.no_grad()
def test_images_of_open_clip_lie_where_the_library_puts_them(tmp_path: Path) -> None:
    TOWERS["open_clip_clip"](tmp_path / "part")
    paths = images(tmp_path)
    own, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'part'}")
    wanted = own.eval().encode_image(torch.stack([preprocess(Image.open(path)) for path in paths]), normalize=True)
    assert (embedded("open_clip_clip", tmp_path / "part", paths) * wanted).sum(-1).min() > 0.9999
    part = config_of("open_clip_clip", tmp_path / "part").part
    contrast = backend_of(part).contrast(part, tmp_path / "part")
    assert contrast is not None
    assert contrast.scale == pytest.approx(float(own.logit_scale.exp()))


def test_what_is_no_dual_encoder_has_no_contrast(tmp_path: Path) -> None:
    TOWERS["dinov2"](tmp_path / "part")
    config = config_of("dinov2", tmp_path / "part")
    assert backend_of(config.part).contrast(config.part, tmp_path / "part") is None
    assert XEncoder(config).pooled_width is None
    timm = PartSpec(backend="timm", name="t", source="random", config={"architecture": "test_vit"})
    assert backend_of(timm).contrast(timm, tmp_path / "part") is None
