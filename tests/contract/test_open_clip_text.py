"""The text tower of open_clip: its own features, its whole context, and nothing that is not its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file

from tests.contract.test_x_encoders import OPEN_CLIP
from vljepa.backends.open_clip import OpenClipTokenizer, build_open_clip
from vljepa.configs import PartSpec, YEncoderConfig
from vljepa.models.y_encoder import YEncoder

TEXT: dict[str, Any] = {**OPEN_CLIP["model_cfg"]["text_cfg"], "vocab_size": 49408}
CONFIGS = {
    "clip": {"model_cfg": {**OPEN_CLIP["model_cfg"], "text_cfg": TEXT}},
    "custom": {"model_cfg": {**OPEN_CLIP["model_cfg"], "text_cfg": TEXT, "custom_text": True}},
    "bias": {"model_cfg": {**OPEN_CLIP["model_cfg"], "text_cfg": TEXT, "init_logit_bias": -10.0}},
}


def part(name: str) -> PartSpec:
    return PartSpec(backend="open_clip", name="t", source="random", config=CONFIGS[name])


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("max_tokens", [5, 64])
def test_features_are_the_tower_s_own_whatever_max_tokens_says(name: str, max_tokens: int, tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = build_open_clip(part(name)).eval()
    save_file({k: v.contiguous() for k, v in whole.state_dict().items()}, tmp_path / "open_clip_model.safetensors")
    config = YEncoderConfig(part=part(name), pooling="pooler", head="identity")
    ours = YEncoder(config, embed_dim=16).eval()
    ours.backbone.load_pretrained(tmp_path)
    ids, mask = OpenClipTokenizer(SimpleTokenizer(context_length=TEXT["context_length"]))(
        ["a fish", "a b c d e f g h i j"], max_tokens=max_tokens
    )
    with torch.no_grad():
        torch.testing.assert_close(ours.features(ids, mask), whole.encode_text(ids), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_trainable_tower_has_no_0_d_parameter(name: str) -> None:
    """FSDP refuses scalars; the two-tower model's temperature and bias are such."""
    assert any(parameter.ndim == 0 for parameter in build_open_clip(part(name)).parameters())
    config = YEncoderConfig(part=part(name), pooling="pooler", target="trained")
    ours = YEncoder(config, embed_dim=8)
    assert [key for key, parameter in ours.named_parameters() if parameter.ndim == 0] == []
