"""Updates for clips alone: pictures to the last bit, clips of their own, and layers that are computed again."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from tests.unit.models.test_clips import clip_of
from vljepa.configs import ClipsConfig
from vljepa.errors import ConfigError
from vljepa.models.clips import with_clips
from vljepa.models.modeling import VLJEPA
from vljepa.training.compiling import compile_layers
from vljepa.training.memory import checkpoint_layers


def learn(model: VLJEPA) -> VLJEPA:
    assert model.clip_updates is not None
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for up in model.clip_updates.up.parameters():
            torch.nn.init.normal_(up, generator=generator)
    return model


@pytest.fixture
def updated(toy: VLJEPA) -> VLJEPA:
    return with_clips(toy, ClipsConfig(rank=2))


def test_clips_are_learned_and_pictures_stay_as_they_are(toy: VLJEPA, updated: VLJEPA) -> None:
    picture, clip = clip_of(toy, steps=1), clip_of(toy)
    assert torch.equal(updated.predict(clip), toy.predict(clip)), "zero at first"
    learn(updated)
    assert torch.equal(updated.predict(picture), toy.predict(picture))
    assert (updated.predict(clip) - toy.predict(clip)).abs().max() > 0.1
    assert torch.equal(updated.predict(picture), toy.predict(picture)), "after a clip too"


def test_nothing_else_is_trained_and_all_is_saved(toy: VLJEPA, updated: VLJEPA, tmp_path: Path) -> None:
    trained = {name for name, parameter in updated.named_parameters() if parameter.requires_grad}
    assert {name.partition(".weight")[0].rpartition(".")[0] for name in trained} == {
        "predictor.clip_places",
        "clip_updates.down",
        "clip_updates.up",
    }
    learn(updated).save_pretrained(tmp_path)
    loaded = VLJEPA.from_pretrained(tmp_path)
    for steps in (1, 4):
        vision = clip_of(toy, steps=steps)
        assert torch.equal(loaded.predict(vision), updated.predict(vision))


def gradients(model: VLJEPA, *, checkpointed: bool) -> list[torch.Tensor]:
    """Of a clip's prediction, with a picture between its forward and its backward."""
    checkpoint_layers(model, enabled=checkpointed)
    model.train().zero_grad()
    said = model.predict(clip_of(model))
    model.predict(clip_of(model, steps=1))
    (said * torch.arange(said.shape[1])).sum().backward()
    checkpoint_layers(model, enabled=False)
    return [one.grad for one in model.parameters() if one.grad is not None]


def test_layers_that_are_computed_again_are_updated_again(updated: VLJEPA, monkeypatch: pytest.MonkeyPatch) -> None:
    learn(updated)
    plain, again = (gradients(updated, checkpointed=checkpointed) for checkpointed in (False, True))
    assert len(plain) > 10
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))
    assert updated.clip_updates is not None
    monkeypatch.setattr(updated.clip_updates, "recomputed", lambda: (nullcontext(), nullcontext()))
    with pytest.raises(RuntimeError, match="recomput"):
        gradients(updated, checkpointed=True)


def test_the_compiler_updates_clips_alone(toy: VLJEPA, updated: VLJEPA) -> None:
    vision = [clip_of(toy, steps=steps) for steps in (1, 4, 1)]
    wanted = [learn(updated).predict(one) for one in vision]
    compile_layers(updated, backend="aot_eager")
    for one, prediction in zip(vision, wanted, strict=True):
        torch.testing.assert_close(updated.predict(one), prediction)


def test_the_compiler_does_not_compute_them_again(updated: VLJEPA) -> None:
    checkpoint_layers(updated, enabled=True)
    with pytest.raises(ConfigError, match=r"do not go together with predictor\.clips\.rank"):
        compile_layers(updated)
