"""Thin and full saves: bit-equal in a new process, and never silently incomplete."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from vljepa.checkpoint import digests
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import VLJEPAConfig
from vljepa.errors import CheckpointError, PartError

Batch = Callable[..., dict[str, Any]]

_LOAD_AND_PREDICT = """
import sys, torch
from vljepa import VLJEPA
from vljepa.models.types import Batch, Tokens
model = VLJEPA.from_pretrained(sys.argv[1])
with torch.no_grad():
    pixels, query, target = torch.load(sys.argv[2], weights_only=True)
    out = model(Batch(pixels_BTCHW=pixels, query=Tokens(*query), target=Tokens(*target)))
torch.save((out.prediction_BD, out.target_BD), sys.argv[3])
"""


def trained(config: VLJEPAConfig) -> VLJEPA:
    """A model whose every trainable tensor has moved, as after training."""
    torch.manual_seed(5)
    model = VLJEPA.from_parts(config)
    assert model.residual is not None
    model.residual.label_features_KE.normal_()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("full", [False, True])
def test_a_new_process_gives_equal_outputs_to_the_last_bit(
    full: bool, parts_config: VLJEPAConfig, batch: Batch, tmp_path: Path
) -> None:
    """Row 30."""
    model = trained(parts_config)
    model.save_pretrained(tmp_path / "saved", full=full)
    given = batch()
    texts = [(one.ids_BL, one.mask_BL) for one in (given.query, given.target)]
    torch.save((given.pixels_BTCHW, *texts), tmp_path / "batch.pt")
    arguments = [str(tmp_path / name) for name in ("saved", "batch.pt", "out.pt")]
    subprocess.run([sys.executable, "-c", _LOAD_AND_PREDICT, *arguments], check=True)
    prediction, target = torch.load(tmp_path / "out.pt", weights_only=True)
    with torch.no_grad():
        out = model(batch())
    assert torch.equal(out.prediction_BD, prediction)
    assert torch.equal(out.target_BD, target)


def test_equal_weights_are_equal_files(parts_config: VLJEPAConfig, tmp_path: Path) -> None:
    model = VLJEPA.from_parts(parts_config)
    files = set()
    for number in range(6):
        model.save_pretrained(tmp_path / str(number))
        files.add((tmp_path / str(number) / "model.safetensors").read_bytes())
    assert len(files) == 1
    with torch.no_grad():
        model.log_scale += 1
    model.save_pretrained(tmp_path / "other")
    assert (tmp_path / "other" / "model.safetensors").read_bytes() not in files, "the control"


def test_a_thin_save_holds_what_was_trained_and_nothing_else(parts_config: VLJEPAConfig, tmp_path: Path) -> None:
    model = trained(parts_config)
    model.save_pretrained(tmp_path / "thin")
    saved = set(load_file(tmp_path / "thin" / "model.safetensors"))
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert saved == trainable | {"residual.label_features_KE"}


def test_fresh_layers_are_saved_and_words_are_not(parts_config: VLJEPAConfig, batch: Batch, tmp_path: Path) -> None:
    pretrained = VLJEPA.from_parts(parts_config).predictor.backbone.state_dict()
    parts_config.predictor.init = "random"
    model = VLJEPA.from_parts(parts_config).eval()
    fresh = model.predictor.backbone.state_dict()
    words = "model.embeddings.word_embeddings.weight"
    assert torch.equal(fresh[words], pretrained[words])
    layer = "model.encoder.layer.0.intermediate.dense.weight"
    assert not torch.equal(fresh[layer], pretrained[layer])
    model.save_pretrained(tmp_path / "thin")
    assert f"predictor.backbone.{words}" not in load_file(tmp_path / "thin" / "model.safetensors")
    again = VLJEPA.from_pretrained(tmp_path / "thin")
    with torch.no_grad():
        assert torch.equal(model(batch()).prediction_BD, again(batch()).prediction_BD)


def test_a_thin_save_of_a_trainable_y_encoder_holds_it(parts_config: VLJEPAConfig, tmp_path: Path) -> None:
    parts_config.y_encoder.target = "trained"
    model = trained(parts_config)
    model.save_pretrained(tmp_path / "thin")
    assert any(key.startswith("y_encoder.backbone.") for key in load_file(tmp_path / "thin" / "model.safetensors"))


def test_a_full_save_needs_no_part_files(parts_config: VLJEPAConfig, batch: Batch, tmp_path: Path) -> None:
    model = trained(parts_config)
    model.save_pretrained(tmp_path / "full", full=True)
    (tmp_path / "parts").rename(tmp_path / "gone")
    again = VLJEPA.from_pretrained(tmp_path / "full")
    assert torch.equal(model(batch()).prediction_BD, again(batch()).prediction_BD)


def test_a_changed_frozen_part_is_refused(parts_config: VLJEPAConfig, tmp_path: Path) -> None:
    trained(parts_config).save_pretrained(tmp_path / "thin")
    file = tmp_path / "parts" / "text" / "model.safetensors"
    tensors = load_file(file)
    first = min(tensors)
    tensors[first] = tensors[first] + 1
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(PartError):
        VLJEPA.from_pretrained(tmp_path / "thin")


def test_a_missing_trained_tensor_is_refused(parts_config: VLJEPAConfig, tmp_path: Path) -> None:
    trained(parts_config).save_pretrained(tmp_path / "thin")
    file = tmp_path / "thin" / "model.safetensors"
    tensors = load_file(file)
    del tensors["predictor.head.weight"]
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match=r"lacks 1 trained tensors, first 'predictor\.head\.weight'"):
        VLJEPA.from_pretrained(tmp_path / "thin")


def test_tensors_of_another_shape_are_refused(parts_config: VLJEPAConfig, tmp_path: Path) -> None:
    trained(parts_config).save_pretrained(tmp_path / "thin")
    file = tmp_path / "thin" / "model.safetensors"
    tensors = load_file(file)
    tensors["predictor.head.bias"] = torch.zeros(3)
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match="other shapes"):
        VLJEPA.from_pretrained(tmp_path / "thin")


@pytest.mark.parametrize("name", ["toy", "base", "./nowhere", "no-such-model"])
def test_what_is_no_saved_model_is_named(name: str) -> None:
    with pytest.raises(CheckpointError, match=name):
        VLJEPA.from_pretrained(name)


def test_a_truncated_weights_file_is_refused(parts_config: VLJEPAConfig, tmp_path: Path) -> None:
    trained(parts_config).save_pretrained(tmp_path / "thin")
    file = tmp_path / "thin" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not readable"):
        VLJEPA.from_pretrained(tmp_path / "thin")


def test_the_text_space_hash_follows_the_text_side_only(parts_config: VLJEPAConfig) -> None:
    """Row 31."""
    model = trained(parts_config)
    before = model.text_space_hash()
    with torch.no_grad():
        model.predictor.head.weight.add_(1.0)
    assert model.text_space_hash() == before
    with torch.no_grad():
        model.y_encoder.head.weight[0, 0] += 1e-3
    assert model.text_space_hash() != before


def test_the_fingerprint_follows_every_trained_tensor_and_not_the_calibration(
    parts_config: VLJEPAConfig, tmp_path: Path
) -> None:
    model = trained(parts_config)
    before = model.fingerprint()
    model.save_pretrained(tmp_path / "thin")
    model.save_pretrained(tmp_path / "full", full=True)
    assert VLJEPA.from_pretrained(tmp_path / "thin").fingerprint() == before
    assert VLJEPA.from_pretrained(tmp_path / "full").fingerprint() == before
    model.config.calibration.classify *= 2
    assert model.fingerprint() == before
    with torch.no_grad():
        model.predictor.head.weight[0, 0] += 1e-3
    assert model.fingerprint() != before


def test_the_fingerprint_follows_the_config(parts_config: VLJEPAConfig) -> None:
    model = trained(parts_config)
    before = model.fingerprint()
    model.config.prompts.caption += " please"
    assert model.fingerprint() != before
    model.config.prompts.caption = model.config.prompts.caption.removesuffix(" please")
    assert model.fingerprint() == before
    model.config.calibration.residual *= 2
    assert model.fingerprint() != before


def test_a_key_that_a_later_version_adds_leaves_the_fingerprint_alone(
    parts_config: VLJEPAConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defaults are not hashed: a model from before the key existed and one that has it by default are the same."""
    hashed: list[dict[str, Any]] = []
    real = digests.digest
    monkeypatch.setattr(digests, "digest", lambda spec: hashed.append(spec) or real(spec))
    model = trained(parts_config)
    model.fingerprint()
    model.config.predictor.attention = "causal"
    model.fingerprint()
    assert ["attention" in spec["predictor"] for spec in hashed] == [False, True]


def test_the_model_card_is_ours_and_never_replaces_another(parts_config: VLJEPAConfig, tmp_path: Path) -> None:
    model = trained(parts_config)
    model.save_pretrained(tmp_path / "thin")
    card = (tmp_path / "thin" / "README.md").read_text(encoding="utf-8")
    assert "mixin" not in card.lower()
    assert "[More Information Needed]" not in card
    assert str(parts_config.x_encoder.part) in card
    assert "license: apache-2.0" in card
    assert "say here what it was trained on" in card
    (tmp_path / "thin" / "README.md").write_text("my own")
    model.save_pretrained(tmp_path / "thin")
    assert (tmp_path / "thin" / "README.md").read_text() == "my own"


def test_the_feature_cache_key_follows_encoder_and_preprocessing(parts_config: VLJEPAConfig) -> None:
    model = VLJEPA.from_parts(parts_config)
    before = model.x_encoder_fingerprint()
    model.config.predictor.dropout = 0.5
    assert model.x_encoder_fingerprint() == before
    model.config.x_encoder.image.resize = "pad"
    assert model.x_encoder_fingerprint() != before


@pytest.mark.parametrize("which", ["fingerprint", "text_space_hash", "x_encoder_fingerprint"])
def test_a_key_at_its_neutral_value_is_as_if_it_were_not_there(which: str, parts_config: VLJEPAConfig) -> None:
    """Every hash: an index, a decoder, adapters and a cache from before the key stay this model's."""
    model = trained(parts_config)
    before = getattr(model, which)()
    raw = model.config.model_dump(mode="json")
    for section, key in (("y_encoder", "dense"), ("y_encoder", "prefix"), ("x_encoder", "pool_grid")):
        assert raw[section].pop(key) in ([], "", None)
    raw["y_encoder"]["part"].pop("revision")
    model.config = VLJEPAConfig.model_validate(raw)
    assert getattr(model, which)() == before


def test_the_commit_of_a_part_is_not_hashed_its_weights_are(parts_config: VLJEPAConfig) -> None:
    model = trained(parts_config)
    before = model.text_space_hash()
    model.config.y_encoder.part.revision = "0" * 40
    assert model.text_space_hash() == before
    model.config.y_encoder.part.sha256 = "1" * 64
    assert model.text_space_hash() != before


@pytest.mark.assets
def test_what_was_made_with_the_shipped_model_stays_its_own() -> None:
    """Indexes and adapters on people's disks hold these: a change here makes all of them foreign."""
    model = VLJEPA.from_pretrained("mini")
    assert (model.fingerprint(), model.text_space_hash()) == ("3ced1f82c61ff151", "d38bc872a783bff2")


def test_a_save_leaves_no_tokenizer_of_another_model(parts_config: VLJEPAConfig, tmp_path: Path) -> None:
    model = trained(parts_config)
    stale = tmp_path / "saved" / "tokenizers" / "predictor" / "tokenizer.json"
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    model.save_pretrained(tmp_path / "saved")
    assert not stale.exists()
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    model.tokenizers = tmp_path / "saved" / "tokenizers"
    model.save_pretrained(tmp_path / "saved")
    assert stale.exists(), "its own stay"
