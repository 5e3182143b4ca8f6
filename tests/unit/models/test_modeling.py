"""VLJEPA's forward: borders, queries, padding, precision. Row numbers refer to mistakes met in other projects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import load_preset
from vljepa.errors import ConfigError
from vljepa.models.residuals import Ablation
from vljepa.models.types import Batch, Latents, Tokens
from vljepa.training.optim import trainable_report

Make = Callable[..., Batch]
ABLATIONS: tuple[Ablation, Ablation] = ("residual", "learned")


def test_embeddings_are_fp32_and_of_unit_norm_at_the_border(toy: VLJEPA, batch: Make) -> None:
    out = toy(batch())
    for embedding in (out.prediction_BD, out.target_BD):
        assert embedding.dtype == torch.float32
        torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(4))


def test_cached_features_give_what_pixels_give(toy: VLJEPA, batch: Make) -> None:
    full = batch()
    vision = toy.encode_vision(full.pixels_BTCHW)
    cached = Batch(latents=vision, query=full.query, target_features_BE=toy.text_features(full.target))
    direct, through_cache = toy(full), toy(cached)
    assert torch.equal(direct.prediction_BD, through_cache.prediction_BD)
    assert torch.equal(direct.target_BD, through_cache.target_BD)


def test_an_empty_query_still_tells_images_apart(toy: VLJEPA, batch: Make) -> None:
    """Row 3."""
    vision = toy.encode_vision(batch().pixels_BTCHW)
    free = toy.predict(vision)
    empty = toy.predict(vision, Tokens(torch.zeros(4, 3, dtype=torch.long), torch.zeros(4, 3, dtype=torch.bool)))
    torch.testing.assert_close(free, empty, rtol=0, atol=1e-6)
    assert (free[0] - free[1]).abs().max() > 1e-4


def test_the_query_and_its_word_order_change_the_prediction(toy: VLJEPA, batch: Make) -> None:
    """Row 13."""
    vision = toy.encode_vision(batch(1).pixels_BTCHW)
    mask = torch.ones(1, 4, dtype=torch.bool)
    one = toy.predict(vision, Tokens(torch.tensor([[5, 6, 7, 8]]), mask))
    other = toy.predict(vision, Tokens(torch.tensor([[8, 7, 6, 5]]), mask))
    assert (one - other).abs().max() > 1e-5
    assert (one - toy.predict(vision)).abs().max() > 1e-5


def test_batch_mates_order_and_padding_change_nothing(toy: VLJEPA, batch: Make) -> None:
    """Row 9, for predictions and for text."""
    full = batch()
    together = toy(full)
    for row in range(4):
        single = toy(full.choose([row]).cut(target=True))
        torch.testing.assert_close(single.prediction_BD[0], together.prediction_BD[row], rtol=0, atol=1e-5)
        torch.testing.assert_close(single.target_BD[0], together.target_BD[row], rtol=0, atol=1e-5)
    reversed_rows = toy(full.choose([3, 2, 1, 0]))
    torch.testing.assert_close(reversed_rows.prediction_BD.flip(0), together.prediction_BD, rtol=0, atol=1e-5)


def test_padded_visual_tokens_are_never_seen(toy: VLJEPA, batch: Make) -> None:
    vision = toy.encode_vision(batch().pixels_BTCHW)
    tokens, mask = vision.tokens_BND, vision.mask_BN
    padded = Latents(
        torch.cat([tokens, torch.full_like(tokens, 9.0)], dim=1),
        torch.cat([mask, torch.zeros_like(mask)], dim=1),
        logits_BK=vision.logits_BK,
    )
    torch.testing.assert_close(toy.predict(padded), toy.predict(vision), rtol=0, atol=1e-5)
    seen = Latents(padded.tokens_BND, torch.ones_like(padded.mask_BN), logits_BK=vision.logits_BK)
    assert (toy.predict(seen) - toy.predict(vision)).abs().max() > 1e-4, "unmasked padding must be visible"


def test_similarity_and_scale_stay_in_fp32_under_autocast(toy: VLJEPA, batch: Make) -> None:
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


def test_the_residual_and_the_learned_part_both_carry(toy: VLJEPA, batch: Make) -> None:
    """Row 32."""
    vision = toy.encode_vision(batch().pixels_BTCHW)
    both = toy.predict(vision)
    learned_only, residual_only = toy.predict(vision, ablate="residual"), toy.predict(vision, ablate="learned")
    assert (both - learned_only).abs().max() > 1e-4
    assert (both - residual_only).abs().max() > 1e-4


def toy_with(*, trainable: bool = False, **prior: Any) -> VLJEPA:
    """The toy with other settings of its label prior, filled; a refiner that does something."""
    config = load_preset("toy")
    config.y_encoder.target = "trained" if trainable else "frozen"
    assert config.residual is not None
    config.residual = config.residual.model_copy(update=prior)
    torch.manual_seed(0)
    model = VLJEPA.from_parts(config).eval()
    assert model.residual is not None
    model.residual.label_features_KE.normal_(generator=torch.Generator().manual_seed(1))
    if model.residual.refiner is not None:
        torch.nn.init.normal_(model.residual.refiner[-1].weight)
    return model


def loss_of(model: VLJEPA, rows: Batch) -> torch.Tensor:
    out = model(rows)
    return (model.similarity(out.prediction_BD, out.target_BD) * out.logit_scale).logsumexp(1).sum()


def moved_by(model: VLJEPA, rows: Batch) -> set[str]:
    """Names of the parameters that a batch gives a gradient other than zero."""
    model.zero_grad()
    loss_of(model, rows).backward()
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None and parameter.grad.any()}


def text_rows(model: VLJEPA, rows: Batch) -> Batch:
    """Rows of text alone: a guess of the label prior instead of an image and a query."""
    prior = torch.randn(4, model.y_encoder.width, generator=torch.Generator().manual_seed(3))
    return Batch(prior_BE=prior, target=rows.target)


@pytest.mark.parametrize("bias", [-60.0, 0.0])
def test_the_gate_is_never_negative(toy: VLJEPA, batch: Make, bias: float) -> None:
    """However far it is driven down, the prediction never turns away from the residual."""
    assert toy.predictor.gate is not None
    with torch.no_grad():
        last = [module for module in toy.predictor.gate.modules() if isinstance(module, torch.nn.Linear)][-1]
        last.bias.fill_(bias)
    vision = toy.encode_vision(batch().pixels_BTCHW)
    both, learned, residual = toy.predict(vision), *(toy.predict(vision, ablate=part) for part in ABLATIONS)
    gain = (both * residual).sum(1) - (learned * residual).sum(1)
    if bias < 0:
        torch.testing.assert_close(both, learned)
    else:
        assert (gain > 0.01).all()


def test_the_prediction_is_the_learned_part_plus_the_gated_residual(toy: VLJEPA, batch: Make) -> None:
    assert toy.predictor.gate is not None
    assert toy.residual is not None
    vision = toy.encode_vision(batch().pixels_BTCHW)
    assert vision.logits_BK is not None
    prior = toy.residual.features(vision)
    state = toy.predictor(vision, hint_BE=prior)
    gated = toy.predictor.gate(state, vision) * F.normalize(toy.y_encoder.head(prior), dim=-1)
    expected = F.normalize(F.normalize(toy.predictor.head(state), dim=-1) + gated, dim=-1)
    torch.testing.assert_close(toy.predict(vision), expected)


@pytest.mark.parametrize("hidden", [None, 16])
@pytest.mark.parametrize("trainable", [False, True])
def test_gate_only_rows_train_the_gate_and_nothing_else(batch: Make, hidden: int | None, trainable: bool) -> None:
    model = toy_with(hidden=hidden, trainable=trainable)
    rows = batch()
    moved = moved_by(model, replace(rows, gate_only=True))
    assert moved == {name for name, _ in model.named_parameters() if name.startswith("predictor.gate.")}
    for free in (rows, replace(rows, gate_only=False)):
        moved = moved_by(model, free)
        assert {"predictor.gate.mlp.0.weight", "predictor.head.weight", "y_encoder.head.weight", "log_scale"} < moved
        assert any(name.startswith("y_encoder.backbone.") for name in moved) == trainable


def test_gate_only_changes_gradients_and_no_value(batch: Make) -> None:
    model = toy_with(hidden=16)
    rows = batch()
    free, gated = model(rows), model(replace(rows, gate_only=True))
    for name in ("prediction_BD", "target_BD", "logit_scale"):
        assert torch.equal(getattr(free, name), getattr(gated, name))


def test_images_do_not_train_a_refined_residual_but_texts_do(batch: Make) -> None:
    model, rows = toy_with(hidden=16), batch()
    refiner = {name for name, _ in model.named_parameters() if name.startswith("residual.refiner.")}
    assert len(refiner) == 6
    by_images, by_texts = moved_by(model, rows), moved_by(model, text_rows(model, rows))
    assert not refiner & by_images
    assert by_texts == refiner | {"log_scale", "y_encoder.head.weight", "y_encoder.head.bias"}
    assert {"predictor.gate.mlp.0.weight", "predictor.head.weight"} < by_images


def test_a_plain_residual_is_trained_by_images(batch: Make) -> None:
    """The head's gradient through the residual, targets held still: none if refined, some if not."""
    for hidden, expected in ((None, True), (16, False)):
        model, rows = toy_with(hidden=hidden), batch()
        fixed = model(rows).target_BD.detach()
        model.similarity(model(rows).prediction_BD, fixed).logsumexp(1).sum().backward()
        gradient = model.y_encoder.head.weight.grad
        assert (gradient is not None and bool(gradient.any())) == expected


def test_rows_of_text_alone_are_answered_from_the_prior(batch: Make) -> None:
    model = toy_with(hidden=16)
    rows = batch()
    text = text_rows(model, rows)
    out = model(text)
    assert torch.equal(out.prediction_BD, model.predict_from_prior(text.prior_BE))
    torch.testing.assert_close(out.prediction_BD.norm(dim=-1), torch.ones(4))
    assert torch.equal(out.target_BD, model(rows).target_BD)
    one = model(text.choose([0]))
    torch.testing.assert_close(one.prediction_BD, out.prediction_BD[:1], rtol=0, atol=1e-6)
    with torch.no_grad():
        model.predictor.head.weight.zero_()
    assert torch.equal(model(text).prediction_BD, out.prediction_BD), "the Predictor has no say"


def test_an_image_and_its_own_prior_meet_in_the_residual(batch: Make) -> None:
    """What rows of text train is what rows with images read."""
    model = toy_with(hidden=16)
    vision = model.encode_vision(batch().pixels_BTCHW)
    assert model.residual is not None
    assert vision.logits_BK is not None
    residual = model.predict_from_prior(model.residual.features(vision))
    assert torch.equal(model.predict(vision, ablate="learned"), residual)


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
    assert {"predictor.vision_projection", "predictor.head", "y_encoder.head", "log_scale"} <= trained
    assert "predictor.gate" in trained


def test_gradients_reach_every_trainable_parameter(parts_config: Any, batch: Make) -> None:
    model = VLJEPA.from_parts(parts_config).train()
    assert model.residual is not None
    model.residual.label_features_KE.normal_()
    out = model(batch())
    (model.similarity(out.prediction_BD, out.target_BD) * out.logit_scale).logsumexp(1).sum().backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert without == []
