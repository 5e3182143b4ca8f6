"""Small random configs of the very vision classes that the hub models are made of."""

from __future__ import annotations

from typing import Any

import transformers as tf

_VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_VJEPA = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2.0, "crop_size": 32,
    "patch_size": 16, "tubelet_size": 2, "frames_per_clip": 4, "pred_hidden_size": 24, "pred_num_attention_heads": 2,
    "pred_num_hidden_layers": 1, "pred_num_mask_tokens": 1,
}  # fmt: skip


def _with_architecture(config: Any, architecture: str) -> dict[str, Any]:
    return {**config.to_dict(), "architectures": [architecture]}


def vision_models() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Name -> (class, the config dict that its checkpoint folder would hold)."""
    image = {**_VIT, "image_size": 32, "patch_size": 16}
    return {
        "siglip2": (tf.SiglipVisionModel, tf.SiglipVisionConfig(**image).to_dict()),
        "clip": (tf.CLIPVisionModel, tf.CLIPVisionConfig(**image).to_dict()),
        "dinov3": (tf.DINOv3ViTModel, tf.DINOv3ViTConfig(**image, num_register_tokens=4).to_dict()),
        "vit-classifier": (
            tf.ViTForImageClassification,
            _with_architecture(tf.ViTConfig(**image, num_labels=7), "ViTForImageClassification"),
        ),
        "vjepa2": (tf.VJEPA2Model, tf.VJEPA2Config(**_VJEPA).to_dict()),
        "vjepa2-classifier": (
            tf.VJEPA2ForVideoClassification,
            _with_architecture(tf.VJEPA2Config(**_VJEPA, num_labels=5), "VJEPA2ForVideoClassification"),
        ),
    }
