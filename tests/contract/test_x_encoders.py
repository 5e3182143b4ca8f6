"""Every vision backend keeps the contract, and its tokens are the library's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.contract.vision_classes import vision_models
from vljepa.backends.open_clip import build_open_clip
from vljepa.configs import PartSpec, XEncoderConfig
from vljepa.errors import PartError
from vljepa.models.x_encoder import XEncoder

OPEN_CLIP = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
    }
}


def encoder(backend: str, config: dict[str, Any], **options: Any) -> XEncoder:
    part = PartSpec(backend=backend, name="tiny", source="random", config=config)
    return XEncoder(XEncoderConfig(part=part, **options))


def clip(frames: int = 1, size: int = 32, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, frames, 3, size, size, generator=torch.Generator().manual_seed(0))


def reference(model: Any, pixels: torch.Tensor, name: str) -> Any:
    if name.startswith("vjepa2"):
        extra = {} if name.endswith("classifier") else {"skip_predictor": True}
        return model(pixel_values_videos=pixels, output_hidden_states=True, **extra)
    return model(pixel_values=pixels[:, 0], output_hidden_states=True)


@pytest.mark.parametrize("name", vision_models())
def test_tokens_and_logits_are_the_class_s_own(name: str, tmp_path: Path) -> None:
    cls, config = vision_models()[name]
    torch.manual_seed(1)
    own = cls(cls.config_class(**config)).eval()
    own.save_pretrained(tmp_path)
    ours = encoder("transformers", json.loads((tmp_path / "config.json").read_text()))
    ours.load_pretrained(tmp_path)
    pixels = clip(frames=4 if name.startswith("vjepa2") else 1)
    with torch.no_grad():
        expected = reference(own, pixels, name)
        base = getattr(own, own.base_model_prefix, own) if name.endswith("classifier") else own
        tokens = reference(base, pixels, name.removesuffix("-classifier")).last_hidden_state
    got = ours(pixels)
    torch.testing.assert_close(got.tokens_BND, tokens, rtol=1e-5, atol=1e-5)
    assert got.mask_BN.all()
    if name.endswith("classifier"):
        assert got.logits_BK is not None
        torch.testing.assert_close(got.logits_BK, expected.logits, rtol=1e-5, atol=1e-5)
    else:
        assert got.logits_BK is None


def test_a_two_tower_checkpoint_gives_its_vision_tower(tmp_path: Path) -> None:
    import transformers as tf

    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    vision = vision_models()["siglip2"][1]
    config = tf.SiglipConfig(text_config={**text, "vocab_size": 50}, vision_config=vision)
    whole = tf.SiglipModel(config).eval()
    whole.save_pretrained(tmp_path)
    ours = encoder("transformers", json.loads((tmp_path / "config.json").read_text()))
    ours.load_pretrained(tmp_path)
    pixels = clip()
    with torch.no_grad():
        expected = whole.vision_model(pixel_values=pixels[:, 0]).last_hidden_state
    torch.testing.assert_close(ours(pixels).tokens_BND, expected, rtol=1e-5, atol=1e-5)


def test_v_jepa_2_never_runs_its_own_predictor() -> None:
    ours = encoder("transformers", vision_models()["vjepa2"][1], min_frames=2)
    assert ours.backend.model.predictor is None
    assert ours(clip(frames=1)).tokens_BND.shape[1] == 4


def test_open_clip_tokens_are_the_tower_s_own(tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = build_open_clip(PartSpec(backend="open_clip", name="t", source="random", config=OPEN_CLIP)).eval()
    save_file({k: v.contiguous() for k, v in whole.state_dict().items()}, tmp_path / "open_clip_model.safetensors")
    ours = encoder("open_clip", OPEN_CLIP)
    ours.load_pretrained(tmp_path)
    pixels = clip()
    whole.visual.output_tokens = True
    with torch.no_grad():
        _, tokens = whole.visual(pixels[:, 0])
        normed = whole.visual.ln_post(whole.visual.transformer(whole.visual._embeds(pixels[:, 0])))[:, 1:]
    assert tokens.shape == normed.shape
    torch.testing.assert_close(ours(pixels).tokens_BND, normed, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["test_efficientnet", "test_vit"])
def test_timm_tokens_and_logits_are_the_model_s_own(architecture: str, tmp_path: Path) -> None:
    import timm

    own = timm.create_model(architecture, pretrained=False, num_classes=9).eval()
    save_file(own.state_dict(), tmp_path / "model.safetensors")
    ours = encoder("timm", {"architecture": architecture, "num_classes": 9})
    ours.load_pretrained(tmp_path)
    pixels = clip(size=160)
    with torch.no_grad():
        features, logits = own.forward_features(pixels[:, 0]), own(pixels[:, 0])
    tokens = features.flatten(2).transpose(1, 2) if features.ndim == 4 else features
    got = ours(pixels)
    torch.testing.assert_close(got.tokens_BND, tokens, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got.logits_BK, logits, rtol=1e-5, atol=1e-5)


SWIN: dict[str, Any] = {
    "architecture": "swin_tiny_patch4_window7_224",
    "num_classes": 9,
    "model_args": {"img_size": 64, "window_size": 2, "embed_dim": 16, "depths": (1, 1), "num_heads": (1, 1)},
}


def test_a_map_with_channels_last_becomes_tokens_row_by_row(tmp_path: Path) -> None:
    """timm's Swin gives [B, H, W, C], where others give [B, C, H, W]."""
    import timm

    own = timm.create_model(SWIN["architecture"], pretrained=False, num_classes=9, **SWIN["model_args"]).eval()
    save_file({k: v.contiguous() for k, v in own.state_dict().items()}, tmp_path / "model.safetensors")
    ours = encoder("timm", SWIN)
    ours.load_pretrained(tmp_path)
    pixels = clip(size=64)
    with torch.no_grad():
        features, logits = own.forward_features(pixels[:, 0]), own(pixels[:, 0])
    assert features.shape == (2, 8, 8, 32)
    got = ours(pixels)
    assert got.tokens_BND.shape == (2, 64, ours.width)
    torch.testing.assert_close(got.tokens_BND[:, 8 * 3 + 5], features[:, 3, 5], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got.tokens_BND, features.reshape(2, 64, 32), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got.logits_BK, logits, rtol=1e-5, atol=1e-5)


CASES = {
    "siglip2": ("transformers", vision_models()["siglip2"][1], 32),
    "dinov3": ("transformers", vision_models()["dinov3"][1], 32),
    "vjepa2": ("transformers", vision_models()["vjepa2"][1], 32),
    "open_clip": ("open_clip", OPEN_CLIP, 32),
    "timm": ("timm", {"architecture": "test_efficientnet", "num_classes": 9}, 64),
    "swin": ("timm", SWIN, 64),
}


@pytest.mark.parametrize("name", CASES)
def test_the_contract(name: str) -> None:
    backend, config, size = CASES[name]
    ours = encoder(backend, config, min_frames=2 if name == "vjepa2" else 1).train()
    one, four = ours(clip(1, size)), ours(clip(4, size))
    assert one.tokens_BND.shape[0] == 2
    assert one.tokens_BND.shape[2] == ours.width
    assert four.tokens_BND.shape[1] == one.tokens_BND.shape[1] * (2 if name == "vjepa2" else 4)
    assert (one.logits_BK is not None) == (ours.num_classes > 0)
    assert not any(parameter.requires_grad for parameter in ours.parameters())
    assert not any(module.training for module in ours.modules()), "a frozen encoder stays in eval mode"
    assert all(parameter.ndim > 0 for parameter in ours.parameters()), "PITFALLS 28: FSDP refuses scalars"


@pytest.mark.parametrize("name", [name for name in CASES if name != "vjepa2"])
def test_frames_keep_their_order(name: str) -> None:
    backend, config, size = CASES[name]
    ours = encoder(backend, config)
    video = clip(3, size, batch=1)
    tokens = ours(video).tokens_BND
    per_frame = torch.cat([ours(video[:, [t]]).tokens_BND for t in range(3)], dim=1)
    torch.testing.assert_close(tokens, per_frame, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_pooling_keeps_the_mean_and_drops_prefix_tokens(name: str) -> None:
    backend, config, size = CASES[name]
    frames = 2 if name == "vjepa2" else 1
    full = encoder(backend, config)(clip(frames, size)).tokens_BND
    pooled = encoder(backend, config, pool_grid=1)(clip(frames, size)).tokens_BND
    assert pooled.shape[1] == 1
    spatial = 64 if name == "swin" else 4
    grid = full[:, -spatial:].mean(1, keepdim=True)
    torch.testing.assert_close(pooled, grid, rtol=0, atol=1e-5)


def test_a_missing_frame_axis_is_refused() -> None:
    with pytest.raises(PartError, match=r"expected \[B, T, C, H, W\]"):
        encoder("timm", CASES["timm"][1])(torch.zeros(1, 3, 64, 64))


def test_missing_weights_are_refused_not_filled_with_noise(tmp_path: Path) -> None:
    cls, config = vision_models()["siglip2"]
    model = cls(cls.config_class(**config))
    model.save_pretrained(tmp_path)
    state = {k: v.contiguous() for k, v in model.state_dict().items() if "layers.1" not in k}
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PartError, match="lack"):
        encoder("transformers", config).load_pretrained(tmp_path)
