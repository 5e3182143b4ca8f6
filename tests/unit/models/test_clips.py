"""Time in the Predictor: places of steps, their limit, pooled steps, and a model that is given them later."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy.fft import dct

from tests.contract.vision_classes import vision_models
from vljepa.checkpoint.clips import with_clips
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import ClipsConfig, PartSpec, VLJEPAConfig, XEncoderConfig, load_preset, validate
from vljepa.errors import ConfigError
from vljepa.models.layers.time import CHANGE_WIDTH, ClipChanges, ClipPlaces, pool_steps
from vljepa.models.types import Latents
from vljepa.models.x_encoder import XEncoder

STEPS = 4


def clip_of(model: VLJEPA, *, steps: int = STEPS) -> Latents:
    pixels = torch.randn(2, steps, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    return model.encode_vision(pixels)


def shuffled(vision: Latents, order: list[int]) -> Latents:
    tokens = vision.tokens_BND.unflatten(1, (vision.steps, -1))[:, order].flatten(1, 2)
    return replace(vision, tokens_BND=tokens)


def without_backbone_positions(model: VLJEPA) -> VLJEPA:
    with torch.no_grad():
        for name, table in model.predictor.backbone.named_parameters():
            if "position_embeddings" in name:
                table.zero_()
    return model


def difference(model: VLJEPA, order: list[int]) -> float:
    vision = clip_of(model)
    return float((model.predict(shuffled(vision, order)) - model.predict(vision)).abs().max().detach())


@pytest.fixture
def pooled() -> VLJEPA:
    """Toy with four tokens a frame."""
    raw = load_preset("toy").model_dump(mode="json")
    raw["x_encoder"]["pool_grid"] = 2
    torch.manual_seed(0)
    return VLJEPA.from_parts(validate(VLJEPAConfig, raw, where="test")).eval()


@pytest.fixture
def timed(toy: VLJEPA) -> VLJEPA:
    """Toy with places that are no longer zero, and a backbone that gives no positions of its own."""
    model = without_backbone_positions(with_clips(toy, ClipsConfig()))
    assert model.predictor.clip_places is not None
    torch.nn.init.normal_(model.predictor.clip_places.places, generator=torch.Generator().manual_seed(3))
    return model


def test_the_order_of_frames_is_seen_by_the_places_alone(timed: VLJEPA, toy: VLJEPA) -> None:
    assert difference(timed, [3, 2, 1, 0]) > 1e-3
    assert difference(timed, [0, 1, 2, 3]) == 0
    assert difference(without_backbone_positions(toy), [3, 2, 1, 0]) < 1e-6, "the control: without places, a set"
    assert timed.predictor.clip_places is not None
    torch.nn.init.zeros_(timed.predictor.clip_places.places)
    assert difference(timed, [3, 2, 1, 0]) < 1e-6, "the control: at zero they say nothing"


def test_at_first_the_model_is_the_one_that_it_was(toy: VLJEPA) -> None:
    longer = with_clips(toy, ClipsConfig())
    for steps in (1, STEPS):
        assert torch.equal(longer.predict(clip_of(longer, steps=steps)), toy.predict(clip_of(toy, steps=steps)))
    assert "predictor.clip_places.places" in longer.trained
    assert longer.fingerprint() != toy.fingerprint()
    assert longer.text_space_hash() == toy.text_space_hash()
    with pytest.raises(ConfigError, match="has clips already"):
        with_clips(longer, ClipsConfig())


def test_an_image_has_no_time_however_much_was_learned(timed: VLJEPA, toy: VLJEPA) -> None:
    image = clip_of(toy, steps=1)
    assert torch.equal(timed.predict(image), without_backbone_positions(toy).predict(image))


def test_places_are_stretched_over_the_steps_up_to_their_number() -> None:
    places = ClipPlaces(ClipsConfig(max_frames=5), width=3)
    torch.nn.init.normal_(places.places)
    got = places(torch.zeros(1, 6, 3), steps=3)[0]
    for step, row in enumerate((0, 2, 4)):
        torch.testing.assert_close(got[2 * step], places.places[row])
        torch.testing.assert_close(got[2 * step + 1], places.places[row])
    between = places(torch.zeros(1, 2, 3), steps=2)[0]
    torch.testing.assert_close(between, places.places[[0, -1]])
    with pytest.raises(ConfigError, match=r"6 steps in time.*places for 5"):
        places(torch.zeros(1, 6, 3), steps=6)


def test_changes_are_cosines_of_what_is_seen() -> None:
    changes = ClipChanges(2, places=5, vision_width=CHANGE_WIDTH, width=5 * CHANGE_WIDTH)
    torch.nn.init.eye_(changes.narrow.weight)
    torch.nn.init.eye_(changes.together.weight)
    tokens = torch.randn(2, STEPS * 5, CHANGE_WIDTH)
    mask = torch.ones(2, STEPS * 5, dtype=torch.bool)
    mask[1, -5:] = False
    got, kept = changes(tokens, mask, steps=STEPS)
    whole = dct(tokens.unflatten(1, (STEPS, 5)).numpy(), type=2, norm="ortho", axis=1)
    torch.testing.assert_close(got, torch.from_numpy(whole[:, 1:3]).flatten(2), rtol=1e-4, atol=1e-5)
    assert kept.tolist() == [[True, True], [False, False]]
    assert changes(tokens[:, :5].repeat(1, STEPS, 1), mask, steps=STEPS)[0].abs().max() < 1e-5, "nothing changes"
    backwards = tokens.unflatten(1, (STEPS, 5)).flip(1).flatten(1, 2)
    other = changes(backwards, mask, steps=STEPS)[0]
    torch.testing.assert_close(other, got * torch.tensor([-1.0, 1.0])[:, None], rtol=1e-4, atol=1e-5)


def test_the_query_weighs_the_changes() -> None:
    changes = ClipChanges(1, places=1, vision_width=4, width=6)
    torch.nn.init.normal_(changes.together.weight)
    tokens, mask = torch.randn(2, STEPS, 4), torch.ones(2, STEPS, dtype=torch.bool)
    asked = torch.randn(2, 6)

    def seen(query: torch.Tensor | None) -> torch.Tensor:
        return changes(tokens, mask, steps=STEPS, query_BD=query)[0]

    assert torch.equal(seen(asked), seen(None)), "at first it does not"
    torch.nn.init.normal_(changes.weigh.weight)
    torch.nn.init.normal_(changes.weigh.bias)
    assert (seen(asked) - seen(asked.flip(0))).abs().max() > 1e-3
    assert torch.equal(seen(torch.zeros(2, 6)), seen(None)), "an empty query is none"


def test_the_order_of_frames_is_seen_by_the_changes_alone(pooled: VLJEPA) -> None:
    model = without_backbone_positions(with_clips(pooled, ClipsConfig(changes=2)))
    assert difference(model, [3, 2, 1, 0]) < 1e-6, "at zero they say nothing"
    assert model.predictor.clip_changes is not None
    torch.nn.init.normal_(model.predictor.clip_changes.together.weight, generator=torch.Generator().manual_seed(3))
    assert difference(model, [3, 2, 1, 0]) > 1e-3
    image = clip_of(pooled, steps=1)
    assert torch.equal(model.predict(image), without_backbone_positions(pooled).predict(image))


def test_steps_are_pooled_each_by_itself(toy: VLJEPA) -> None:
    tokens = torch.arange(2 * 3 * 4, dtype=torch.float32).reshape(2, 12, 1)
    mask = torch.ones(2, 12, dtype=torch.bool)
    mask[1, 8:] = False
    pooled, kept = pool_steps(tokens, mask, steps=3, side=1)
    assert pooled[0, :, 0].tolist() == [1.5, 5.5, 9.5]
    assert kept.tolist() == [[True, True, True], [True, True, False]]


def test_a_grid_for_clips_changes_clips_alone(pooled: VLJEPA) -> None:
    whole, coarse = (with_clips(pooled, ClipsConfig(grid=grid)) for grid in (None, 1))
    image, clip = clip_of(whole, steps=1), clip_of(whole)
    assert torch.equal(whole.predict(image), coarse.predict(image))
    assert (whole.predict(clip) - coarse.predict(clip)).abs().max() > 1e-5


@pytest.mark.parametrize(
    ("grid", "clips", "message"),
    [
        (2, {"grid": 3}, r"clips\.grid = 3 pools a grid of x_encoder\.pool_grid = 2"),
        (None, {"grid": 1}, r"x_encoder\.pool_grid = None"),
        (None, {"changes": 2}, r"clips\.changes = 2 needs frames of equal grids"),
    ],
)
def test_what_needs_a_grid(grid: int | None, clips: dict[str, int], message: str) -> None:
    raw = load_preset("toy").model_dump(mode="json")
    raw["x_encoder"]["pool_grid"], raw["predictor"]["clips"] = grid, clips
    with pytest.raises(ConfigError, match=message):
        validate(VLJEPAConfig, raw, where="test")


def test_an_encoder_that_joins_frames_has_a_step_per_tubelet() -> None:
    part = PartSpec(backend="transformers", name="tiny", source="random", config=vision_models()["vjepa2"][1])
    joint = XEncoder(XEncoderConfig(part=part, min_frames=2))
    for frames, steps in ((1, 1), (2, 1), (4, 2)):
        vision = joint(torch.zeros(1, frames, 3, 32, 32))
        assert vision.steps == joint.steps(frames) == steps
        assert vision.tokens_BND.shape[1] % steps == 0
