"""The hub presets, composed from small random models of the very same classes that their parts are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import GatedRepoError
from transformers import (
    BertConfig,
    BertModel,
    Gemma3TextModel,
    LlamaForCausalLM,
    SiglipImageProcessor,
    SiglipModel,
    VJEPA2VideoProcessor,
)

from tests.contract.text_classes import text_models
from tests.contract.vision_classes import vision_models
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import VLJEPAConfig, load_preset, preset_names
from vljepa.errors import PartError
from vljepa.models.types import Batch, Tokens


def _save(model: Any, folder: Path) -> str:
    model.save_pretrained(folder)
    return str(folder)


def _llama(folder: Path) -> str:
    """A causal LM with its head and thirty layers, as on the hub."""
    config = text_models()["llama"][1] | {"num_hidden_layers": 30}
    return _save(LlamaForCausalLM(LlamaForCausalLM.config_class(**config)), folder)


def _siglip(folder: Path) -> str:
    text = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = SiglipModel.config_class(
        text_config={**text, "vocab_size": 50}, vision_config=vision_models()["siglip2"][1]
    )
    return _save(SiglipModel(config), folder)


def small(name: str, folder: Path) -> VLJEPAConfig:
    """The preset itself, with each part's name pointed at a small model of the same class."""
    config = load_preset(name)
    if name == "base":
        cls, vjepa = vision_models()["vjepa2"]
        vision = _save(cls(cls.config_class(**vjepa)), folder / "vision")
        VJEPA2VideoProcessor(crop_size=32).save_pretrained(vision)
        text = _save(Gemma3TextModel(Gemma3TextModel.config_class(**text_models()["embeddinggemma"][1])), folder / "y")
    else:
        vision = _siglip(folder / "vision")
        SiglipImageProcessor(size={"height": 32, "width": 32}, resample=2).save_pretrained(vision)
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        text = _save(BertModel(BertConfig(**sizes, vocab_size=64)), folder / "y")
    sections = (config.x_encoder, config.predictor, config.y_encoder)
    for section, path in zip(sections, (vision, _llama(folder / "p"), text), strict=True):
        section.part = section.part.model_copy(update={"source": "folder", "name": path})
    return config


def make_batch(frames: int) -> Batch:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 60, (2, 3, 5), generator=draw)
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[1, 3:] = False
    pixels = torch.randn(3, frames, 3, 32, 32, generator=draw)
    return Batch(pixels_BTCHW=pixels, query=Tokens(ids[0], mask), target=Tokens(ids[1], mask))


@pytest.mark.parametrize("name", ["base", "base-open"])
def test_a_preset_builds_trains_a_step_and_comes_back_from_a_thin_save(name: str, tmp_path: Path) -> None:
    config = small(name, tmp_path)
    model = VLJEPA.from_parts(config)
    assert len(model.predictor.backbone.model.layers) == 8
    image = model.config.x_encoder.image
    how = {"base": ((32, 32), "shortest_edge", 36, 2), "base-open": ((32, 32), "squash", None, 1)}[name]
    assert (image.size, image.resize, image.resize_to, model.config.x_encoder.min_frames) == how
    assert image.interpolation == "bilinear"
    batch = make_batch(frames=1)
    out = model.train()(batch)
    assert out.prediction_BD.shape == (3, config.embed_dim)
    (out.prediction_BD @ out.target_BD.T).logsumexp(1).sum().backward()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.grad is not None], lr=0.1)
    optimizer.step()
    model.eval().save_pretrained(tmp_path / "saved")
    again = VLJEPA.from_pretrained(tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(model(batch).prediction_BD, again(batch).prediction_BD)
        assert torch.equal(model(batch).target_BD, again(batch).target_BD)


def test_base_is_the_paper_s_composition() -> None:
    config = load_preset("base")
    assert str(config.x_encoder.part) == "transformers:facebook/vjepa2-vitl-fpc64-256"
    assert str(config.predictor.part) == "transformers:meta-llama/Llama-3.2-1B#8:16"
    assert str(config.y_encoder.part) == "transformers:google/embeddinggemma-300m"
    assert (config.embed_dim, config.predictor.attention, config.predictor.max_query_tokens) == (1536, "full", 512)
    assert (config.y_encoder.target, config.y_encoder.max_tokens) == ("trained", 512)


def test_a_gated_part_says_what_a_person_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def gated(*_args: Any, **_kwargs: Any) -> str:
        raise GatedRepoError("401", response=MagicMock())

    monkeypatch.setattr(huggingface_hub, "snapshot_download", gated)
    with pytest.raises(PartError, match=r"facebook/vjepa2.*gated.*base-open"):
        VLJEPA.from_parts(load_preset("base"))


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_survives_its_own_json(name: str) -> None:
    config = load_preset(name)
    assert VLJEPAConfig.model_validate(json.loads(config.model_dump_json())) == config
