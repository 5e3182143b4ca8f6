"""Released V-JEPA 2 weights: transformers' own classes, small and random, say what ours have to compute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from torch import Tensor

from tests.trained_clips import write_clips
from vljepa.backends.files import part_config
from vljepa.backends.resolve import resolve_vision
from vljepa.backends.v_jepa import OwnVideo
from vljepa.checkpoint.v_jepa import read_v_jepa, write_as_transformers, write_v_jepa
from vljepa.cli.main import main
from vljepa.configs import PartSpec, RunConfig, XEncoderConfig
from vljepa.configs.v_jepa import RopePositions, VJEPAConfig
from vljepa.errors import CheckpointError, PartError
from vljepa.models.video.v_jepa import VJEPA
from vljepa.models.x_encoder import XEncoder
from vljepa.training.trainer import Trainer

FRAMES, SIDE = 4, 32
TOKENS = 2 * 4 * 4


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder as transformers writes it, and its model; mask tokens and biases are not zero."""
    torch.manual_seed(0)
    config = tf.VJEPA2Config(
        patch_size=8, crop_size=SIDE, frames_per_clip=FRAMES, hidden_size=48, num_hidden_layers=3,
        num_attention_heads=2, pred_hidden_size=24, pred_num_attention_heads=2, pred_num_hidden_layers=2,
        pred_num_mask_tokens=3,
    )  # fmt: skip
    model = tf.VJEPA2Model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    folder = tmp_path_factory.mktemp("released")
    model.save_pretrained(folder)
    tf.VJEPA2VideoProcessor(crop_size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder, model


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randn(2, FRAMES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def masks() -> tuple[Tensor, Tensor]:
    """What is seen and what is asked for, of two clips."""
    order = torch.stack([torch.randperm(TOKENS, generator=torch.Generator().manual_seed(seed)) for seed in (2, 3)])
    return order[:, :10].sort(1).values, order[:, 10:25].sort(1).values


@torch.no_grad()
def test_latents_are_those_of_transformers(released: tuple[Path, Any], pixels: Tensor) -> None:
    folder, theirs = released
    wanted = theirs(pixels, skip_predictor=True).last_hidden_state
    ours = read_v_jepa(folder)
    torch.testing.assert_close(ours.encoder(pixels)[-1], wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.represent(pixels), wanted, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_order_of_the_released_rotations_is_a_flag(released: tuple[Path, Any], pixels: Tensor) -> None:
    folder, theirs = released
    ours = read_v_jepa(folder)
    assert ours.config.encoder.positions == RopePositions(released=True)
    mended = VJEPA(ours.config.model_copy(deep=True))
    mended.encoder.body.positions = RopePositions(released=False)
    mended.load_state_dict(ours.state_dict())
    apart = (mended.encoder(pixels)[-1] - theirs(pixels, skip_predictor=True).last_hidden_state).abs().max()
    assert apart > 1e-2, "pairs that turn together give other latents"


@torch.no_grad()
def test_predictions_from_the_same_context_are_those_of_transformers(
    released: tuple[Path, Any], pixels: Tensor
) -> None:
    folder, theirs = released
    seen, asked = masks()
    out = theirs(pixels, context_mask=[seen], target_mask=[asked])
    ours = read_v_jepa(folder)
    context = out.last_hidden_state.gather(1, seen.unsqueeze(-1).expand(-1, -1, 48))
    mine, _ = ours.predictor(context, seen, asked, grid=(2, 4, 4), mask=1)  # theirs always takes token 1
    torch.testing.assert_close(mine, out.predictor_output.last_hidden_state, atol=1e-5, rtol=0)
    whole = theirs(pixels)
    every = torch.arange(TOKENS).expand(2, -1)
    mine, _ = ours.predictor(whole.last_hidden_state, every, every, grid=(2, 4, 4), mask=1)
    torch.testing.assert_close(mine, whole.predictor_output.last_hidden_state, atol=1e-5, rtol=0)


@torch.no_grad()
def test_what_is_hidden_leaves_no_trace_in_ours_and_does_in_theirs(released: tuple[Path, Any], pixels: Tensor) -> None:
    """transformers hides tokens after its encoder has seen them, so what is hidden is in its predictions."""
    folder, theirs = released
    ours = read_v_jepa(folder)
    seen, asked = masks()
    roles = torch.zeros(2, TOKENS, dtype=torch.uint8)
    roles.scatter_(1, seen, 1)
    roles.scatter_(1, asked, 2)
    changed = pixels.clone()
    for patch in asked[0].tolist():
        step, row, column = patch // 16, patch % 16 // 4, patch % 4
        changed[0, 2 * step : 2 * step + 2, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 5.0

    def their(of: Tensor) -> Tensor:
        found: Tensor = theirs(of, context_mask=[seen], target_mask=[asked]).predictor_output.last_hidden_state
        return found

    assert torch.equal(ours.predict(pixels, roles, mask=1)[0], ours.predict(changed, roles, mask=1)[0])
    assert (their(pixels)[0] - their(changed)[0]).abs().max() > 1e-3
    assert (their(pixels) - ours.predict(pixels, roles, mask=1)[0]).abs().max() > 1e-2


@torch.no_grad()
def test_they_are_given_back(released: tuple[Path, Any], pixels: Tensor, tmp_path: Path) -> None:
    folder, theirs = released
    write_as_transformers(read_v_jepa(folder), tmp_path / "back")
    again = tf.VJEPA2Model.from_pretrained(tmp_path / "back").eval()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    seen, asked = masks()
    one, other = (each(pixels, context_mask=[seen], target_mask=[asked]) for each in (theirs, again))
    assert torch.equal(one.predictor_output.last_hidden_state, other.predictor_output.last_hidden_state)
    part = PartSpec(backend="transformers", name=str(tmp_path / "back"), source="folder")
    back, first = (
        resolve_vision(XEncoderConfig(part=part.model_copy(update={"name": str(place)}))).image
        for place in (tmp_path / "back", folder)
    )
    assert back == first, "and so is the preprocessing"


def test_the_command_exports_them(
    released: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(released[0]), str(tmp_path / "out"), "--format", "transformers"]) == 0
    assert "latents in transformers differ by at most" in capsys.readouterr().err
    assert (tmp_path / "out" / "video_preprocessor_config.json").is_file()
    assert main(["export", str(released[0]), str(tmp_path / "more"), "--format", "transformers", "--full"]) == 2
    assert "--full is for --format vljepa" in capsys.readouterr().err
    assert main(["export", "/nowhere", str(tmp_path / "more"), "--format", "transformers"]) == 2


def test_they_are_trained_on(released: tuple[Path, Any], tmp_path: Path) -> None:
    folder, _ = released
    run = RunConfig.model_validate(
        {
            "method": "v_jepa",
            "start": str(folder),
            "data": {
                "train": [
                    {"name": "clips", "path": str(write_clips(tmp_path, 6)), "view": {"name": "clip", "frames": 4}}
                ],
                "cache": None,
            },
            "optim": {"lr": 1e-3, "warmup_steps": 0},
            "train": {
                "output": str(tmp_path / "run"),
                "steps": 2,
                "batch_size": 4,
                "log_every": 1,
                "precision": "fp32",
            },
        }
    )
    result = Trainer(run, device="cpu").fit()
    begun, trained = read_v_jepa(folder), read_v_jepa(result.model_folder)
    moved = {name: float((one - trained.state_dict()[name]).abs().max()) for name, one in begun.state_dict().items()}
    assert moved["encoder.patches.weight"] > 1e-4
    assert 0 < moved["teacher.encoder.patches.weight"] < 0.01 * moved["encoder.patches.weight"], "V-JEPA 2's momentum"


@torch.no_grad()
def test_our_folder_is_an_x_encoder(released: tuple[Path, Any], pixels: Tensor, tmp_path: Path) -> None:
    """The teacher's latents arrive where a VL-JEPA asks for them, frames in order."""
    ours = read_v_jepa(released[0])
    ours.encoder.patches.weight.zero_()
    write_v_jepa(ours.config, ours.state_dict(), tmp_path)
    config = resolve_vision(XEncoderConfig(part=PartSpec.model_validate(f"v_jepa:{tmp_path}")))
    assert config.min_frames == 2
    assert config.image.size == (SIDE, SIDE)
    config.part = config.part.model_copy(update={"config": part_config(config.part)})
    encoder = XEncoder(config)
    assert isinstance(encoder.backend, OwnVideo)
    encoder.load_pretrained(tmp_path)
    seen = encoder(pixels)
    assert (seen.steps, seen.tokens_BND.shape) == (2, (2, TOKENS, 48))
    assert torch.equal(seen.tokens_BND, ours.represent(pixels))


def test_what_transformers_has_no_place_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PartError, match=r"no place for positions of the kind 'sincos'.*v_jepa:FOLDER"):
        write_as_transformers(VJEPA(VJEPAConfig()), tmp_path)


def test_other_models_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no model '/nowhere'"):
        read_v_jepa("/nowhere")
    tf.ViTModel(
        tf.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    ).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"is no V-JEPA .its model_type is 'vit'"):
        read_v_jepa(tmp_path)
    with pytest.raises(PartError, match="released V-JEPA 2 weights are transformers:NAME"):
        XEncoder(
            XEncoderConfig(part=PartSpec(backend="v_jepa", name="x", source="folder", config={"model_type": "vit"}))
        )
