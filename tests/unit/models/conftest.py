"""Tiny pretrained parts on disk, and models made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.contract.text_classes import text_models
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import VLJEPAConfig, load_preset
from vljepa.models.types import Batch, Tokens


def write_vision_part(folder: Path) -> Path:
    import timm

    folder.mkdir(parents=True)
    torch.manual_seed(11)
    model = timm.create_model("test_efficientnet", pretrained=False, num_classes=12)
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": "test_efficientnet", "num_classes": 12}))
    return folder


def write_text_part(folder: Path) -> Path:
    cls, config = text_models()["minilm"]
    torch.manual_seed(12)
    cls(cls.config_class(**config)).save_pretrained(folder)
    return folder


@pytest.fixture
def parts_config(tmp_path: Path) -> VLJEPAConfig:
    """Config whose parts are folders with real files, as `mini`'s are assets."""
    vision, text = write_vision_part(tmp_path / "parts" / "vision"), write_text_part(tmp_path / "parts" / "text")
    return VLJEPAConfig.model_validate(
        {
            "x_encoder": {"part": f"timm:{vision}", "image": {"size": [64, 64]}},
            "predictor": {"part": f"transformers:{text}#1:3"},
            "residual": {"name": "label_prior", "label_names": ["l"] * 12, "top_k": 3},
            "y_encoder": {"part": f"transformers:{text}"},
            "embed_dim": 24,
        }
    )


@pytest.fixture
def toy() -> VLJEPA:
    """The toy preset, seeded, its label prior filled."""
    torch.manual_seed(0)
    model = VLJEPA.from_parts(load_preset("toy"))
    assert model.residual is not None
    model.residual.label_features_KE.normal_(generator=torch.Generator().manual_seed(1))
    return model.eval()


@pytest.fixture
def batch() -> Callable[..., Batch]:
    """Batch of random images with queries and targets."""

    def make(size: int = 4, *, seed: int = 0, vocabulary: int = 60) -> Batch:
        draw = torch.Generator().manual_seed(seed)
        ids = torch.randint(3, vocabulary, (2, size, 6), generator=draw)
        mask = torch.ones(size, 6, dtype=torch.bool)
        mask[1:, 4:] = False
        return Batch(
            pixels_BTCHW=torch.randn(size, 1, 3, 64, 64, generator=draw),
            query=Tokens(ids[0], mask),
            target=Tokens(ids[1], mask),
        )

    return make
