"""VLJEPA's forward: borders, queries, padding, precision. Row numbers refer to mistakes met in other projects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from vljepa.configs import load_preset
from vljepa.errors import ConfigError
from vljepa.models.modeling import VLJEPA
from vljepa.models.outputs import VisionTokens
from vljepa.models.saving import trainable_report

Batch = Callable[..., dict[str, Any]]


def test_embeddings_are_fp32_and_of_unit_norm_at_the_border(toy: VLJEPA, batch: Batch) -> None:
    out = toy(batch())
    for embedding in (out.prediction_BD, out.target_BD):
        assert embedding.dtype == torch.float32
        torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(4))


def test_cached_features_give_what_pixels_give(toy: VLJEPA, batch: Batch) -> None:
    full = batch()
    vision = toy.encode_vision(full["pixel_values"])
    cached = {
        "vision_tokens": vision.tokens_BND,
        "vision_mask": vision.mask_BN,
        "vision_logits": vision.logits_BK,
        "query_ids": full["query_ids"],
        "query_mask": full["query_mask"],
        "target_features": toy.text_features(full["target_ids"], full["target_mask"]),
    }
    direct, through_cache = toy(full), toy(cached)
    assert torch.equal(direct.prediction_BD, through_cache.prediction_BD)
    assert torch.equal(direct.target_BD, through_cache.target_BD)


def test_an_empty_query_still_tells_pictures_apart(toy: VLJEPA, batch: Batch) -> None:
    """Row 3."""
    vision = toy.encode_vision(batch()["pixel_values"])
    free = toy.predict(vision)
    empty = toy.predict(vision, torch.zeros(4, 3, dtype=torch.long), torch.zeros(4, 3, dtype=torch.bool))
    torch.testing.assert_close(free, empty, rtol=0, atol=1e-6)
    assert (free[0] - free[1]).abs().max() > 1e-4


def test_the_query_and_its_word_order_change_the_prediction(toy: VLJEPA, batch: Batch) -> None:
    """Row 13."""
    vision = toy.encode_vision(batch(1)["pixel_values"])
    mask = torch.ones(1, 4, dtype=torch.bool)
    one = toy.predict(vision, torch.tensor([[5, 6, 7, 8]]), mask)
    other = toy.predict(vision, torch.tensor([[8, 7, 6, 5]]), mask)
    assert (one - other).abs().max() > 1e-5
    assert (one - toy.predict(vision)).abs().max() > 1e-5


def test_batch_mates_order_and_padding_change_nothing(toy: VLJEPA, batch: Batch) -> None:
    """Row 9, for predictions and for text."""
    full = batch()
    together = toy(full)
    for row in range(4):
        length = int(full["query_mask"][row].sum())
        alone = {key: value[[row]] for key, value in full.items()}
        for key in ("query_ids", "query_mask", "target_ids", "target_mask"):
            alone[key] = alone[key][:, :length]
        single = toy(alone)
        torch.testing.assert_close(single.prediction_BD[0], together.prediction_BD[row], rtol=0, atol=1e-5)
        torch.testing.assert_close(single.target_BD[0], together.target_BD[row], rtol=0, atol=1e-5)
    reversed_rows = toy({key: value.flip(0) for key, value in full.items()})
    torch.testing.assert_close(reversed_rows.prediction_BD.flip(0), together.prediction_BD, rtol=0, atol=1e-5)


def test_padded_visual_tokens_are_never_seen(toy: VLJEPA, batch: Batch) -> None:
    vision = toy.encode_vision(batch()["pixel_values"])
    tokens, mask = vision.tokens_BND, vision.mask_BN
    padded = VisionTokens(
        torch.cat([tokens, torch.full_like(tokens, 9.0)], dim=1),
        torch.cat([mask, torch.zeros_like(mask)], dim=1),
        vision.logits_BK,
    )
    torch.testing.assert_close(toy.predict(padded), toy.predict(vision), rtol=0, atol=1e-5)
    seen = VisionTokens(padded.tokens_BND, torch.ones_like(padded.mask_BN), vision.logits_BK)
    assert (toy.predict(seen) - toy.predict(vision)).abs().max() > 1e-4, "unmasked padding must be visible"


def test_similarity_and_scale_stay_in_fp32_under_autocast(toy: VLJEPA, batch: Batch) -> None:
    """Row 4."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = toy(batch())
        similarity = toy.similarity(out.prediction_BD.bfloat16(), out.target_BD.bfloat16())
    assert out.prediction_BD.dtype == out.target_BD.dtype == out.logit_scale.dtype == torch.float32
    assert similarity.dtype == torch.float32


def test_the_temperature_has_one_dimension_and_a_ceiling(toy: VLJEPA) -> None:
    """Row 28: FSDP refuses 0-d parameters."""
    assert all(parameter.ndim > 0 for parameter in toy.parameters())
    assert toy.log_scale.shape == (1,)
    torch.testing.assert_close(toy.scale(), torch.tensor([1 / 0.07]))
    with torch.no_grad():
        toy.log_scale.fill_(100.0)
    assert toy.scale().item() == toy.config.max_logit_scale


def test_the_residual_and_the_learned_part_both_carry(toy: VLJEPA, batch: Batch) -> None:
    """Row 32."""
    vision = toy.encode_vision(batch()["pixel_values"])
    both = toy.predict(vision)
    learned_only, residual_only = toy.predict(vision, ablate="residual"), toy.predict(vision, ablate="learned")
    assert (both - learned_only).abs().max() > 1e-4
    assert (both - residual_only).abs().max() > 1e-4


def test_a_label_prior_needs_a_classifier() -> None:
    config = load_preset("toy")
    assert config.x_encoder.part.config is not None
    config.x_encoder.part.config["num_classes"] = 0
    with pytest.raises(ConfigError, match="needs an X-Encoder with a classifier"):
        VLJEPA(config)


def test_an_identity_head_needs_equal_widths() -> None:
    config = load_preset("toy")
    config.y_encoder.head = "identity"
    with pytest.raises(ConfigError, match="needs embed_dim = 32, got 24"):
        VLJEPA(config)


def test_only_the_x_encoder_the_frozen_text_side_and_word_tables_are_frozen(parts_config: Any) -> None:
    """Row 13: freezing an encoder must not freeze the fresh projection beside it."""
    model = VLJEPA.from_parts(parts_config)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert all(
        name.startswith(("x_encoder.", "y_encoder.backbone."))
        or (name.startswith("predictor.backbone.") and "embeddings" in name)
        for name in frozen
    )
    trained = {group for group, _, _, trainable in trainable_report(model) if trainable}
    assert {"predictor.vision_projection", "predictor.head", "y_encoder.head", "gate", "log_scale"} <= trained


def test_gradients_reach_every_trainable_parameter(parts_config: Any, batch: Batch) -> None:
    model = VLJEPA.from_parts(parts_config).train()
    assert model.label_prior is not None
    model.label_prior.label_features_KE.normal_()
    out = model(batch())
    (model.similarity(out.prediction_BD, out.target_BD) * out.logit_scale).logsumexp(1).sum().backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert without == []
