"""Folders of dual encoders in the layouts that the hub has: both towers, preprocessing and tokenizer of one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
import transformers as tf
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.contract import hub_text_towers as texts
from tests.contract import hub_tokenizers

CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


@dataclass
class Library:
    """The library's own use of the folder.

    Args:
        images: Embeddings of images, unit norm.
        texts: Embeddings of texts, unit norm.
        scale: Factor on cosines.
        bias: Of a sigmoid; None for a softmax.
    """

    images: Callable[[list[Image.Image]], Tensor]
    texts: Callable[[list[str]], Tensor]
    scale: float
    bias: float | None = None


def _apart(weights: dict[str, Tensor], **changes: float) -> dict[str, Tensor]:
    """Scale and bias as a training leaves them, not as it begins."""
    return {**weights, **{name: torch.full_like(weights[name], value) for name, value in changes.items()}}


def _transformers(
    cls: Any, folder: Path, preprocessing: dict[str, Any], texts_of: Callable[[list[str]], Tensor], **changes: float
) -> Library:
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    file = folder / "model.safetensors"
    save_file(_apart(load_file(file), **changes), file, metadata={"format": "pt"})
    model = cls.from_pretrained(folder, dtype=torch.float32).eval()
    processor = tf.AutoImageProcessor.from_pretrained(folder)

    def images(given: list[Image.Image]) -> Tensor:
        out = model.get_image_features(**processor(images=given, return_tensors="pt"))
        return F.normalize(out.pooler_output, dim=-1)

    bias = getattr(model, "logit_bias", None)
    return Library(
        torch.no_grad()(images),
        torch.no_grad()(lambda given: F.normalize(texts_of(given), dim=-1)),
        scale=float(model.logit_scale.detach().exp()),
        bias=None if bias is None else float(bias.detach()),
    )


_CLIP_FILES = {
    "crop_size": 32, "do_center_crop": True, "do_normalize": True, "do_resize": True, "resample": 3, "size": 32,
    "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": CLIP_MEAN, "image_std": CLIP_STD,
}  # fmt: skip


def _siglip_files(resample: int) -> dict[str, Any]:
    return {
        "do_normalize": True, "do_rescale": True, "do_resize": True, "resample": resample, "image_mean": [0.5] * 3,
        "image_processor_type": "SiglipImageProcessor", "image_std": [0.5] * 3, "processor_class": "SiglipProcessor",
        "rescale_factor": 1 / 255, "size": {"height": 32, "width": 32},
    }  # fmt: skip


def clip(folder: Path) -> Library:
    return _transformers(tf.CLIPModel, folder, _CLIP_FILES, texts.clip(folder), logit_scale=4.6)


def metaclip(folder: Path) -> Library:
    """MetaCLIP's repositories: CLIP's class with the fast approximation of GELU and OpenAI's old end mark."""
    texts.clip(folder)
    raw = json.loads((folder / "config.json").read_text())
    raw["text_config"] |= {"eos_token_id": 2, "hidden_act": "quick_gelu"}
    raw["vision_config"] |= {"hidden_act": "quick_gelu"}
    (folder / "config.json").write_text(json.dumps(raw))
    own = texts.class_features(tf.CLIPModel, folder, padding=True)
    return _transformers(tf.CLIPModel, folder, _CLIP_FILES, own, logit_scale=4.6)


def metaclip2(folder: Path) -> Library:
    """MetaCLIP 2's: many languages, XLM-V's pieces, and the end mark's position as the pooling."""
    vocabulary = hub_tokenizers.unigram(folder)
    text = {**texts.TOWER, "vocab_size": vocabulary, "max_position_embeddings": 77, "eos_token_id": 2,
            "bos_token_id": 0, "pad_token_id": 1}  # fmt: skip
    config = tf.MetaClip2Config(text_config=text, vision_config=texts.VISION, projection_dim=24)
    texts.plain(tf.MetaClip2Model, config, folder)
    own = texts.class_features(tf.MetaClip2Model, folder, padding=True, max_length=77)
    return _transformers(tf.MetaClip2Model, folder, _CLIP_FILES, own, logit_scale=4.6)


def siglip(folder: Path) -> Library:
    own = texts.siglip(folder)
    return _transformers(tf.SiglipModel, folder, _siglip_files(3), own, logit_scale=4.7, logit_bias=-12.9)


def siglip2(folder: Path) -> Library:
    own = texts.siglip2(folder)
    return _transformers(tf.SiglipModel, folder, _siglip_files(2), own, logit_scale=4.7, logit_bias=-16.5)


def siglip2_with_a_mask(folder: Path) -> Library:
    own = texts.siglip2_with_a_mask(folder)
    return _transformers(tf.SiglipModel, folder, _siglip_files(2), own, logit_scale=4.7, logit_bias=-16.5)


def _open_clip(folder: Path, preprocess_cfg: dict[str, Any], **changes: float) -> Library:
    raw = json.loads((folder / "open_clip_config.json").read_text())
    (folder / "open_clip_config.json").write_text(json.dumps({**raw, "preprocess_cfg": preprocess_cfg}))
    file = folder / "open_clip_model.safetensors"
    save_file(_apart(load_file(file), **changes), file)
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    bias = getattr(model, "logit_bias", None)
    return Library(
        torch.no_grad()(
            lambda given: model.encode_image(torch.stack([preprocess(one) for one in given]), normalize=True)
        ),
        torch.no_grad()(lambda given: model.encode_text(tokenizer(given), normalize=True)),
        scale=float(model.logit_scale.detach().exp()),
        bias=None if bias is None else float(bias.detach()),
    )


def open_clip_clip(folder: Path) -> Library:
    texts.open_clip_clip(folder)
    return _open_clip(folder, {"mean": CLIP_MEAN, "std": CLIP_STD}, logit_scale=4.6)


def open_clip_metaclip(folder: Path) -> Library:
    texts.open_clip_folder(folder, {**texts.OPEN_CLIP, "quick_gelu": True})
    return _open_clip(folder, {"mean": CLIP_MEAN, "std": CLIP_STD}, logit_scale=4.6)


def open_clip_eva(folder: Path) -> Library:
    """EVA02-CLIP's: a vision tower of timm, without pooling and projection of open_clip's own."""
    vision = {"image_size": 32, "timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "token",
              "timm_proj": None}  # fmt: skip
    config = {**texts.OPEN_CLIP, "embed_dim": 64, "custom_text": True, "vision_cfg": vision}
    texts.open_clip_folder(folder, config)
    return _open_clip(folder, {"mean": CLIP_MEAN, "std": CLIP_STD}, logit_scale=4.6)


def open_clip_siglip(folder: Path) -> Library:
    texts.open_clip_siglip(folder)
    squashed = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    return _open_clip(folder, squashed, logit_scale=4.7, logit_bias=-12.9)


def open_clip_coca(folder: Path) -> Library:
    """A third head, a captioner, that no embedding needs."""
    texts.open_clip_coca(folder)
    return _open_clip(folder, {"mean": CLIP_MEAN, "std": CLIP_STD}, logit_scale=4.6)


DUAL_ENCODERS: dict[str, Callable[[Path], Library]] = {
    one.__name__: one
    for one in (
        clip, metaclip, metaclip2, siglip, siglip2, siglip2_with_a_mask,
        open_clip_clip, open_clip_metaclip, open_clip_eva, open_clip_siglip, open_clip_coca,
    )
}  # fmt: skip
