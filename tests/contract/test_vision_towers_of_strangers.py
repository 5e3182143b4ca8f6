"""Vision towers in the layouts that the hub has: from a file on disk to tokens, ours are the library's own.

Random weights, but real configuration and preprocessing files, and real images of several shapes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
import torch.nn.functional as F
import transformers as tf
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from tests.contract.hub_text_towers import OPEN_CLIP, shaken
from vljepa.backends import backend_of
from vljepa.backends.resolve import resolve_vision
from vljepa.configs import ImageConfig, PartSpec, XEncoderConfig
from vljepa.configs.part import BACKENDS
from vljepa.models.x_encoder import XEncoder
from vljepa.processing.image import ImageTransform, open_image

IMAGES = Path(__file__).parents[2] / "examples" / "images"
Library = Callable[[list[Image.Image]], Tensor]
_VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_CLIP_MEAN, _CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
_IMAGENET_MEAN, _IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def images(folder: Path) -> list[Path]:
    """Real images: as they are, tall, wide, and with sides whose margins are odd."""
    cat, coffee = (Image.open(IMAGES / name).convert("RGB") for name in ("cat.jpg", "coffee.jpg"))
    made = {"cat": cat, "tall": cat.crop((40, 0, 201, 300)), "wide": coffee.resize((410, 171))}
    made["odd"] = cat.resize((97, 131))
    for name, image in made.items():
        image.save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in made]


def _transformers(cls: Any, config: Any, folder: Path, files: dict[str, dict[str, Any]], *, base: str = "") -> Library:
    torch.manual_seed(1)
    own = cls(config).eval()
    shaken(own)
    own.save_pretrained(folder)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    processor = tf.AutoImageProcessor.from_pretrained(folder)
    tower = getattr(own, base) if base else own
    return torch.no_grad()(lambda images: tower(**processor(images=images, return_tensors="pt")).last_hidden_state)


def clip(folder: Path) -> Library:
    """As OpenAI's repositories: the size is a bare number."""
    text = {**_VIT, "vocab_size": 50}
    vision = {**_VIT, "image_size": 48, "patch_size": 16}
    preprocessing = {
        "crop_size": 48, "do_center_crop": True, "do_normalize": True, "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": _CLIP_MEAN, "image_std": _CLIP_STD,
        "resample": 3, "size": 48,
    }  # fmt: skip
    config = tf.CLIPConfig(text_config=text, vision_config=vision)
    return _transformers(tf.CLIPModel, config, folder, {"preprocessor_config.json": preprocessing}, base="vision_model")


def _siglip(folder: Path, resample: int) -> Library:
    vision = {**_VIT, "image_size": 48, "patch_size": 16}
    preprocessing = {
        "do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True, "resample": resample,
        "image_mean": [0.5] * 3, "image_processor_type": "SiglipImageProcessor", "image_std": [0.5] * 3,
        "processor_class": "SiglipProcessor", "rescale_factor": 1 / 255, "size": {"height": 48, "width": 48},
    }  # fmt: skip
    config = tf.SiglipConfig(text_config={**_VIT, "vocab_size": 50}, vision_config=vision)
    return _transformers(
        tf.SiglipModel, config, folder, {"preprocessor_config.json": preprocessing}, base="vision_model"
    )


def siglip(folder: Path) -> Library:
    return _siglip(folder, 3)


def siglip2(folder: Path) -> Library:
    return _siglip(folder, 2)


def dinov3(folder: Path) -> Library:
    preprocessing = {
        "crop_size": None, "do_center_crop": None, "do_convert_rgb": None, "do_normalize": True, "do_rescale": True,
        "do_resize": True, "image_mean": _IMAGENET_MEAN, "image_processor_type": "DINOv3ViTImageProcessorFast",
        "image_std": _IMAGENET_STD, "resample": 2, "rescale_factor": 1 / 255, "size": {"height": 48, "width": 48},
    }  # fmt: skip
    config = tf.DINOv3ViTConfig(**_VIT, image_size=48, patch_size=16, num_register_tokens=4)
    return _transformers(tf.DINOv3ViTModel, config, folder, {"preprocessor_config.json": preprocessing})


def dinov2(folder: Path) -> Library:
    """Scaled to more than is kept of the centre, and a class whose pooled output nobody needs."""
    preprocessing = {
        "crop_size": {"height": 42, "width": 42}, "do_center_crop": True, "do_normalize": True, "do_rescale": True,
        "do_resize": True, "image_mean": _IMAGENET_MEAN, "image_processor_type": "BitImageProcessor", "resample": 3,
        "image_std": _IMAGENET_STD, "rescale_factor": 1 / 255, "size": {"shortest_edge": 49},
    }  # fmt: skip
    config = tf.Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=42, patch_size=14)
    return _transformers(tf.Dinov2Model, config, folder, {"preprocessor_config.json": preprocessing})


def convnext(folder: Path) -> Library:
    preprocessing = {
        "crop_pct": 0.875, "do_normalize": True, "do_resize": True, "image_processor_type": "ConvNextImageProcessor",
        "image_mean": _IMAGENET_MEAN, "image_std": _IMAGENET_STD, "resample": 3, "size": 64,
    }  # fmt: skip
    config = tf.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
    library = _transformers(tf.ConvNextModel, config, folder, {"preprocessor_config.json": preprocessing})
    return lambda images: library(images).flatten(2).transpose(1, 2)


def vjepa2(folder: Path) -> Library:
    """A clip of the image twice: its least frames."""
    config = tf.VJEPA2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2.0, crop_size=32, patch_size=16,
        tubelet_size=2, frames_per_clip=4, pred_hidden_size=24, pred_num_attention_heads=2, pred_num_hidden_layers=1,
        pred_num_mask_tokens=1,
    )  # fmt: skip
    preprocessing = {
        "crop_size": 32, "do_center_crop": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": _IMAGENET_MEAN, "image_std": _IMAGENET_STD, "resample": 2, "rescale_factor": 1 / 255,
        "size": {"shortest_edge": 292}, "video_processor_type": "VJEPA2VideoProcessor",
    }  # fmt: skip
    torch.manual_seed(1)
    own = tf.VJEPA2Model(config).eval()
    shaken(own)
    own.save_pretrained(folder)
    (folder / "video_preprocessor_config.json").write_text(json.dumps(preprocessing))
    processor = tf.AutoVideoProcessor.from_pretrained(folder)

    def tokens(images: list[Image.Image]) -> Tensor:
        clips = [processor(videos=[[image, image]], return_tensors="pt")["pixel_values_videos"] for image in images]
        hidden: Tensor = own(pixel_values_videos=torch.cat(clips), skip_predictor=True).last_hidden_state
        return hidden

    return torch.no_grad()(tokens)


def _open_clip(folder: Path, model_cfg: dict[str, Any], preprocess_cfg: dict[str, Any]) -> Library:
    folder.mkdir(exist_ok=True)
    raw = {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}
    (folder / "open_clip_config.json").write_text(json.dumps(raw))
    torch.manual_seed(1)
    fresh = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    shaken(fresh)
    save_file({k: v.contiguous() for k, v in fresh.state_dict().items()}, folder / "open_clip_model.safetensors")
    own, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    own.eval()

    normed = "multimodal_cfg" not in model_cfg  # CoCa's norm has the width of its pooled tokens

    def tokens(images: list[Image.Image]) -> Tensor:
        pixels = torch.stack([preprocess(image) for image in images])
        out = own.visual.forward_intermediates(
            pixels, indices=1, normalize_intermediates=normed, intermediates_only=True, output_fmt="NLC"
        )
        last: Tensor = out["image_intermediates"][-1]
        return last

    return torch.no_grad()(tokens)


_SMALL = {**OPEN_CLIP, "vision_cfg": {**OPEN_CLIP["vision_cfg"], "image_size": 48}}


def open_clip_clip(folder: Path) -> Library:
    return _open_clip(folder, _SMALL, {"mean": _CLIP_MEAN, "std": _CLIP_STD})


def open_clip_custom(folder: Path) -> Library:
    """Everything is kept and the rest is filled."""
    return _open_clip(folder, {**_SMALL, "custom_text": True}, {"resize_mode": "longest", "fill_color": 90})


def open_clip_siglip(folder: Path) -> Library:
    vision = {
        "image_size": 48, "timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "avg",
        "timm_proj": "linear",
    }  # fmt: skip
    squashed = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    return _open_clip(folder, {**_SMALL, "custom_text": True, "vision_cfg": vision}, squashed)


def open_clip_coca(folder: Path) -> Library:
    vision = {**_SMALL["vision_cfg"], "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    text = {**OPEN_CLIP["text_cfg"], "context_length": 76, "embed_cls": True, "output_tokens": True}
    decoder = {"context_length": 76, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1, "attn_pooler_heads": 2}
    config = {**_SMALL, "vision_cfg": vision, "text_cfg": text, "multimodal_cfg": decoder, "custom_text": True}
    return _open_clip(folder, config, {})


def _timm(folder: Path, architecture: str, wanted: dict[str, Any], **model_args: Any) -> Library:
    """As `timm.models.push_to_hf_hub` writes a folder."""
    torch.manual_seed(1)
    own = timm.create_model(architecture, pretrained=False, num_classes=9, **model_args).eval()
    shaken(own)
    own.pretrained_cfg = {**timm.get_pretrained_cfg(architecture).to_dict(), **wanted}
    timm.models.save_for_hf(own, str(folder), model_args=model_args or None, safe_serialization="both")
    own = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(own), is_training=False)

    def tokens(images: list[Image.Image]) -> Tensor:
        features: Tensor = own.forward_features(torch.stack([transform(image) for image in images]))
        if features.ndim == 4:
            nhwc = own.output_fmt == "NHWC" if hasattr(own, "output_fmt") else False
            features = features.flatten(1, 2) if nhwc else features.flatten(2).transpose(1, 2)
        return features

    return torch.no_grad()(tokens)


def timm_vit(folder: Path) -> Library:
    """As timm's SigLIP towers: squashed, mean and deviation of a half."""
    wanted = {"input_size": (3, 64, 64), "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 0.9, "crop_mode": "squash"}
    return _timm(folder, "test_vit", {**wanted, "interpolation": "bicubic"}, img_size=64)


def timm_swin(folder: Path) -> Library:
    small = {"img_size": 64, "window_size": 2, "embed_dim": 16, "depths": (1, 1), "num_heads": (1, 1)}
    wanted = {"input_size": (3, 64, 64), "crop_pct": 0.9, "crop_mode": "center", "interpolation": "bicubic"}
    return _timm(folder, "swin_tiny_patch4_window7_224", wanted, **small)


def timm_convnext(folder: Path) -> Library:
    wanted = {"input_size": (3, 96, 96), "crop_pct": 0.95, "crop_mode": "border", "interpolation": "bilinear"}
    return _timm(folder, "test_convnext", wanted)


def timm_efficientnet(folder: Path) -> Library:
    wanted = {"input_size": (3, 96, 96), "crop_pct": 0.875, "interpolation": "bicubic", "mean": tuple(_IMAGENET_MEAN)}
    return _timm(folder, "test_efficientnet", {**wanted, "std": tuple(_IMAGENET_STD), "crop_mode": "center"})


TOWERS: dict[str, Callable[[Path], Library]] = {
    one.__name__: one
    for one in (
        clip, siglip, siglip2, dinov3, dinov2, convnext, vjepa2,
        open_clip_clip, open_clip_custom, open_clip_siglip, open_clip_coca,
        timm_vit, timm_swin, timm_convnext, timm_efficientnet,
    )
}  # fmt: skip


def config_of(name: str, folder: Path, **options: Any) -> XEncoderConfig:
    backend = next((one for one in BACKENDS if name.startswith(f"{one}_")), "transformers")
    part = PartSpec.model_validate(f"{backend}:{folder}")
    raw = json.loads((folder / backend_of(part).config_file).read_text())
    return resolve_vision(XEncoderConfig(part=part.model_copy(update={"config": raw}), **options))


def tokens_of(config: XEncoderConfig, folder: Path) -> Callable[[list[Path]], Tensor]:
    """Ours, from files: as a processor and a model see them."""
    encoder, transform = XEncoder(config), ImageTransform(config.image)
    encoder.load_pretrained(folder)

    def tokens(paths: list[Path]) -> Tensor:
        pixels = [transform(open_image(path, max_pixels=config.image.max_pixels)) for path in paths]
        return encoder(torch.stack(pixels).unsqueeze(1)).tokens_BND

    return tokens


@pytest.mark.parametrize("name", TOWERS)
def test_our_tokens_are_the_library_s_own_alone_and_batched(name: str, tmp_path: Path) -> None:
    library, paths = TOWERS[name](tmp_path / "part"), images(tmp_path)
    ours = tokens_of(config_of(name, tmp_path / "part"), tmp_path / "part")
    wanted = library([Image.open(path) for path in paths]).flatten(1)
    assert F.cosine_similarity(wanted[0], wanted[2], dim=0) < 0.999, "the images are told apart"
    for got in (ours(paths), torch.cat([ours([path]) for path in paths])):
        assert got.flatten(1).shape == wanted.shape
        alike = F.cosine_similarity(got.flatten(1), wanted)
        assert alike.min() > 0.9999, alike


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("clip", {"resize": "squash"}),
        ("clip", {"rounding": "half_even"}),
        ("siglip2", {"mean": (0.485, 0.456, 0.406)}),
        ("dinov2", {"resize_to": None}),
        ("open_clip_siglip", {"resize": "shortest_edge"}),
        ("timm_vit", {"std": (0.2, 0.2, 0.2)}),
    ],
)
def test_another_preprocessing_gives_other_tokens(name: str, wrong: dict[str, Any], tmp_path: Path) -> None:
    """The control: what the files say is what makes them equal."""
    library, paths = TOWERS[name](tmp_path / "part"), images(tmp_path)
    config = config_of(name, tmp_path / "part")
    config.image = ImageConfig.model_validate({**config.image.model_dump(), **wrong})
    got = tokens_of(config, tmp_path / "part")(paths).flatten(1)
    alike = F.cosine_similarity(got, library([Image.open(path) for path in paths]).flatten(1))
    assert alike.min() < 0.999
