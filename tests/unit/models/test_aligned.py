"""The residual of a dual encoder: untrained it is the encoder itself to the last bit, trained it moves away."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.contract.test_open_clip_text import CONFIGS
from vljepa.backends.open_clip import build_open_clip
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import PartSpec, VLJEPAConfig, load_preset
from vljepa.errors import ConfigError
from vljepa.models.types import Tokens


def dual(*, embed_dim: int | None = None, gate: float = 0.0) -> VLJEPA:
    config = CONFIGS["clip"]
    part = PartSpec(backend="open_clip", name="t", source="random", config=config, seed=4)
    width = embed_dim or config["model_cfg"]["embed_dim"]
    raw = {
        "x_encoder": {"part": part.model_dump()},
        "predictor": load_preset("toy").predictor.model_dump(),
        "y_encoder": {"part": part.model_dump(), "head": "identity" if embed_dim is None else "linear"},
        "residual": {"name": "aligned", "gate": gate},
        "embed_dim": width,
    }
    torch.manual_seed(0)
    return VLJEPA.from_parts(VLJEPAConfig.model_validate(raw)).eval()


def seen(model: VLJEPA) -> torch.Tensor:
    size = model.config.x_encoder.image.size
    assert size is not None
    return torch.randn(3, 2, 3, *size, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_at_first_the_prediction_is_the_towers_own_embedding_to_the_last_bit() -> None:
    model = dual()
    pixels = seen(model)
    latents = model.encode_vision(pixels)
    assert latents.pooled_BD is not None
    question = Tokens(torch.tensor([[5, 6, 7]] * 3), torch.ones(3, 3, dtype=torch.bool))
    for query in (None, question):
        assert torch.equal(model.predict(latents, query), F.normalize(latents.pooled_BD, dim=-1))
    whole = build_open_clip(model.config.x_encoder.part)
    whole.visual.load_state_dict(model.x_encoder.backend.model.state_dict())
    own = torch.stack([whole.eval().encode_image(frame) for frame in pixels.unbind(1)]).mean(0)
    torch.testing.assert_close(latents.pooled_BD, own, rtol=1e-5, atol=1e-6)


def test_the_learned_part_is_added_as_it_is_and_trains() -> None:
    model = dual(gate=0.5)
    latents = model.encode_vision(seen(model))
    own = model.predict(latents, ablate="learned")
    state = model.predictor.head(model.predictor(latents.still()))
    torch.testing.assert_close(model.predict(latents), F.normalize(own + 0.5 * state, dim=-1))
    assert (model.predict(latents) - own).abs().max() > 1e-3
    model.predict(latents).sum().backward()
    assert model.predictor.gate.value.grad[0].abs() > 0
    assert model.predictor.head.weight.grad.abs().max() > 0


def test_questions_alone_leave_what_is_predicted_without_one() -> None:
    """To the last bit, whatever was learned; a row without a question among others too."""
    model = dual(gate=0.0).train()
    latents, question = model.encode_vision(seen(model)), Tokens(torch.tensor([[5, 6, 7]] * 3), torch.ones(3, 3).bool())
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (1 - model.predict(latents, question)[:, 0]).sum().backward()
        optimizer.step()
    own, mixed = F.normalize(latents.pooled_BD, dim=-1), Tokens(question.ids_BL, question.mask_BL.clone())
    mixed.mask_BL[1] = False
    model.eval()
    asked, some = model.predict(latents, question), model.predict(latents, mixed)
    assert (asked - own).abs().max() > 1e-2, "the control: it has learned"
    assert torch.equal(model.predict(latents), own)
    assert torch.equal(some[1], own[1])
    torch.testing.assert_close(some[[0, 2]], asked[[0, 2]], rtol=1e-5, atol=1e-6)
    model.predict(latents).sum().backward()
    assert model.predictor.gate.value.grad[0] != 0, "rows without a question can teach it all the same"


def test_towers_without_a_common_space_are_refused() -> None:
    with pytest.raises(ConfigError, match="residual 'aligned' needs one space"):
        dual(embed_dim=7)
    config = load_preset("toy")
    with pytest.raises(ConfigError, match="embeds images in none"):
        VLJEPA(VLJEPAConfig.model_validate(config.model_dump() | {"residual": "aligned"}))
