"""The method v_jepa through the product's own loop: it learns, resumes to the last bit, and says what it cannot do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.trained_clips import write_clips
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.checkpoint.v_jepa import read_v_jepa, write_v_jepa
from vljepa.configs import RunConfig, SourceConfig, VJEPAConfig, load_preset
from vljepa.data.images import visual_frames
from vljepa.data.records import Clip
from vljepa.errors import CheckpointError, ConfigError
from vljepa.methods.v_jepa import VJepaMethod
from vljepa.methods.video.inputs import VideoBatches, read
from vljepa.methods.video.panel import _leave_one_out
from vljepa.models.types import Batch
from vljepa.models.video.masks import draw_roles
from vljepa.models.video.v_jepa import VJEPA
from vljepa.processing.clip_views import clip_view, draw_cut
from vljepa.training.plan import plan_run
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer

MODEL: dict[str, Any] = {
    "frames": 4,
    "image": {
        "size": [32, 32], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "resize": "squash",
        "interpolation": "bilinear",
    },
    "encoder": {"width": 24, "depth": 2, "heads": 2, "patch": 4, "tubelet": 2},
    "predictor": {"width": 16, "depth": 1, "heads": 2},
    "target": {"name": "teacher", "momentum": {"name": "linear", "start": 0.9, "end": 1.0}},
}  # fmt: skip
CLIP = {"name": "clip", "frames": 4}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"), 24)


def recipe(folder: Path, table: Path, model: dict[str, Any] | None = None, **sections: Any) -> RunConfig:
    source = {"name": "clips", "path": str(table), "view": CLIP}
    train = {"steps": 6, "batch_size": 8, "eval_every": 3, "log_every": 1, "precision": "fp32"}
    raw: dict[str, Any] = {
        "method": "v_jepa",
        "model": MODEL | (model or {}),
        "data": {"train": [source], "validation": [source], "cache": None},
        "optim": {"lr": 3e-3, "warmup_steps": 2},
        "train": train | {"output": str(folder)} | sections.pop("train", {}),
    }
    return RunConfig.model_validate(raw | sections)


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_log(folder) if line["kind"] == "train"]


def test_the_loss_falls_and_the_panel_is_measured(tmp_path: Path, clips: Path) -> None:
    result = Trainer(recipe(tmp_path / "run", clips, train={"steps": 30, "eval_every": 30}), device="cpu").fit()
    seen = losses(tmp_path / "run")
    assert np.mean(seen[-5:]) < 0.8 * np.mean(seen[:3])
    assert {"clips/error", "clips/std", "clips/effective_rank", "clips/knn", "mean"} <= result.metrics.keys()
    assert result.metrics["clips/std"] > 0.1
    assert result.metrics["mean"] == result.metrics["clips/knn"]
    saved = json.loads((result.model_folder / "config.json").read_text())
    assert saved["model_type"] == "v_jepa"
    assert read_v_jepa(result.model_folder).config == VJEPAConfig.model_validate(MODEL)


TARGETS: dict[str, dict[str, Any]] = {
    "a teacher, sin-cos": {},
    "rope, levels, a context loss": {
        "encoder": MODEL["encoder"] | {"positions": "rope"},
        "levels": 2,
        "context_loss": {"weight": 0.5, "warmup": [0, 4]},
    },
    "SIGReg": {"target": {"name": "regularised", "weight": 0.05, "tokens": 4}},
    "pixels": {"target": "pixels"},
}


@pytest.mark.parametrize("model", TARGETS.values(), ids=TARGETS)
def test_a_run_that_is_stopped_resumes_to_the_last_bit(
    tmp_path: Path, clips: Path, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    optim = {"lr": 3e-3, "warmup_steps": 2, "weight_decay": 0.04, "weight_decay_end": 0.4}
    Trainer(recipe(tmp_path / "whole", clips, model, optim=optim), device="cpu").fit()
    cut = recipe(tmp_path / "cut", clips, model, optim=optim, train={"save_every": 4})
    trainer = Trainer(cut, device="cpu")
    step = trainer._train_step

    def breaks(number: int, *arguments: Any) -> None:
        if number == 4:
            raise KeyboardInterrupt
        step(number, *arguments)

    monkeypatch.setattr(trainer, "_train_step", breaks)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    Trainer(cut, device="cpu").fit()
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    one, other = (load_file(tmp_path / name / "last" / "model.safetensors") for name in ("whole", "cut"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_teacher_follows_by_its_schedule(tmp_path: Path, clips: Path) -> None:
    method = VJepaMethod(recipe(tmp_path, clips))
    model = method.build(None, device=torch.device("cpu"))
    [hook] = method.hooks().values()
    before = model.teacher.encoder.patches.weight.clone()  # type: ignore[union-attr]
    with torch.no_grad():
        model.encoder.patches.weight.add_(1.0)
    hook.after_step(step=1)
    moved = model.teacher.encoder.patches.weight - before  # type: ignore[union-attr]
    torch.testing.assert_close(moved, torch.full_like(moved, 0.1))
    hook.after_step(step=6)
    again = model.teacher.encoder.patches.weight - before  # type: ignore[union-attr]
    torch.testing.assert_close(again, moved, msg="momentum 1 in the last step")


def test_targets_get_no_gradient_and_the_encoder_does(clips: Path) -> None:
    model = VJEPA(VJEPAConfig.model_validate(MODEL))
    pixels = torch.randn(3, 4, 3, 32, 32)
    roles = draw_roles(model.config.masks, grid=model.config.grid, clips=3, seed=[0])
    model(Batch(pixels_BTCHW=pixels, roles_BKN=roles))["error"].mean().backward()
    assert all(one.grad is not None and bool(one.grad.abs().sum() > 0) for one in model.encoder.parameters())
    assert all(one.grad is None for one in model.teacher.parameters())  # type: ignore[union-attr]
    wanted = model.teacher.encoder(pixels)[-1]  # type: ignore[union-attr, operator]
    torch.testing.assert_close(model.targets(pixels), torch.nn.functional.layer_norm(wanted, (24,)))


def test_the_error_is_the_mean_over_what_is_asked_for() -> None:
    model = VJEPA(VJEPAConfig.model_validate(MODEL)).eval()
    pixels = torch.randn(2, 4, 3, 32, 32)
    roles = draw_roles(model.config.masks, grid=model.config.grid, clips=2, seed=[1])
    with torch.no_grad():
        by_mask = []
        for number in range(2):
            predicted, _ = model.predict(pixels, roles[:, number], mask=number)
            wanted = torch.stack(
                [one[mask == 2] for one, mask in zip(model.targets(pixels), roles[:, number], strict=True)]
            )
            by_mask.append((predicted - wanted).abs().mean((1, 2)))
        rows = model(Batch(pixels_BTCHW=pixels, roles_BKN=roles))
    torch.testing.assert_close(rows["error"], torch.stack(by_mask).mean(0))


def test_processes_share_the_batch_of_one(tmp_path: Path, clips: Path) -> None:
    """Clips, views and masks: the mean of the shares' losses, and so of their gradients, is that of the whole."""
    run = recipe(tmp_path, clips)
    assert isinstance(run.model, VJEPAConfig)
    records = [read(run.data.train[0], run)]
    whole, *parts = (
        VideoBatches(records, run=run, model=run.model, shard=shard)[5][0].batch for shard in ((0, 1), (0, 2), (1, 2))
    )
    for name in ("pixels_BTCHW", "roles_BKN"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(one, name) for one in parts])), name
    torch.manual_seed(0)
    model = VJEPA(run.model)
    found = [model(one)["error"] for one in (whole, *parts)]
    torch.testing.assert_close(found[0], torch.cat(found[1:]))


def test_a_broken_clip_is_left_out_with_its_masks(tmp_path: Path) -> None:
    table = write_clips(tmp_path, 8)
    (tmp_path / "3.webp").write_bytes(b"no clip")
    run = recipe(tmp_path / "run", table)
    assert isinstance(run.model, VJEPAConfig)
    [group] = VideoBatches([read(run.data.train[0], run)], run=run, model=run.model)[0]
    assert [Path(str(one)).name for one in group.skipped] == ["3.webp"]
    assert group.size == 7
    assert group.batch.roles_BKN is not None
    assert len(group.batch.roles_BKN) == 7


def test_a_still_image_is_a_clip_in_which_nothing_moves(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "one.png")
    (tmp_path / "rows.jsonl").write_text('{"image": "one.png"}\n' * 8)
    run = recipe(tmp_path / "run", tmp_path / "rows.jsonl")
    source = SourceConfig(name="stills", path=str(tmp_path / "rows.jsonl"))
    run = run.model_copy(update={"data": run.data.model_copy(update={"train": [source], "validation": []})})
    assert isinstance(run.model, VJEPAConfig)
    [group] = VideoBatches([read(source, run)], run=run, model=run.model)[0]
    pixels = group.batch.pixels_BTCHW
    assert pixels is not None
    assert pixels.shape == (8, 4, 3, 32, 32)
    assert torch.equal(pixels[:, 0], pixels[:, 3])


def test_all_frames_are_cut_alike_and_left_becomes_right_or_stays() -> None:
    config = VJEPAConfig.model_validate(MODEL | {"views": {"min_scale": 0.5}})
    frames = [Image.new("RGB", (40, 40), (shade, 0, 0)) for shade in (0, 80, 160, 240)]
    for number, one in enumerate(frames):
        one.paste((0, 255, 0), (10 * number, 0, 10 * number + 10, 40))  # a bar that moves to the right
    ways = set()
    for seed in range(12):
        cut = draw_cut((40, 40), config.views, seed=seed)
        assert cut == draw_cut((40, 40), config.views, seed=seed)
        left, top, right, bottom = cut.box
        assert 0 <= left < right <= 40
        assert 0 <= top < bottom <= 40
        assert (right - left) * (bottom - top) >= 0.5 * 1600 - 1e-6
        green_TW = clip_view(frames, config.image, config.views, seed=seed)[:, 1].mean(1)
        places = [float((row > 0).float().argmax()) for row in green_TW if bool((row > 0).any())]
        ways.add((cut.mirrored, places == sorted(places)))
    assert ways == {(False, True), (True, False)}


def test_neighbours_have_a_say_by_how_near_they_are() -> None:
    steps = torch.tensor([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.1], [-1.0, -0.1]]).unsqueeze(1)
    assert _leave_one_out(steps, [0, 0, 1, 1]) == 1.0
    assert _leave_one_out(steps, [0, 1, 0, 1]) == 0.0


def test_a_dry_run_plans_it(tmp_path: Path, clips: Path) -> None:
    plan = plan_run(recipe(tmp_path / "run", clips))
    model = VJEPA(VJEPAConfig.model_validate(MODEL))
    trained = sum(one.numel() for part in (model.encoder, model.predictor) for one in part.parameters())
    assert (plan.rows, plan.steps, plan.frames, plan.trained) == (24, 6, 4, trained)
    assert not (tmp_path / "run").exists()
    missing = recipe(tmp_path / "run", tmp_path / "nothing.jsonl")
    assert plan_run(missing).missing == (str(tmp_path / "nothing.jsonl"),)


def other_view(**view: Any) -> dict[str, Any]:
    return {"data": {"train": [{"name": "a", "path": "x", "view": view}]}}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "frames": (other_view(name="clip", frames=8), "8 frames, and the model sees 4"),
    "text": (other_view(name="text", like="b"), "is of texts"),
    "compile": ({"train": {"compile": True}}, "train.compile are not there"),
    "clips": ({"start": "mini", "model": None, "clips": {"frames": 8}}, "'clips' is of vl_jepa"),
}


@pytest.mark.parametrize(("sections", "says"), REFUSED.values(), ids=REFUSED)
def test_what_it_has_no_place_for_is_refused(tmp_path: Path, clips: Path, sections: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        VJepaMethod(recipe(tmp_path, clips, **sections)).check()


def test_a_start_of_another_make_is_refused(tmp_path: Path, clips: Path) -> None:
    """Of positions and heads no tensor tells."""
    Trainer(recipe(tmp_path / "small", clips, train={"steps": 1}), device="cpu").fit()
    start = str(tmp_path / "small" / "last")
    same = VJepaMethod(recipe(tmp_path / "same", clips, start=start)).build(None, device=torch.device("cpu"))
    wanted = read_v_jepa(start)
    assert wanted.teacher is not None
    assert same.teacher is not None
    assert torch.equal(same.encoder.patches.weight, wanted.encoder.patches.weight)
    assert torch.equal(same.teacher.encoder.patches.weight, wanted.teacher.encoder.patches.weight)
    assert not torch.equal(wanted.encoder.patches.weight, wanted.teacher.encoder.patches.weight), "the control"
    for part, changed in (
        ("predictor", {"width": 32}),
        ("predictor", {"heads": 4}),
        ("encoder", {"heads": 4}),
        ("encoder", {"positions": "rope"}),
    ):
        other = recipe(tmp_path / "other", clips, {part: MODEL[part] | changed}, start=start)
        with pytest.raises(CheckpointError, match=f"the {part} of start = .*{next(iter(changed))}"):
            VJepaMethod(other).build(None, device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": {**MODEL["encoder"], "positions": "rope", "heads": 8}}, "heads of the encoder are 3 wide"),
        (
            {
                "encoder": {**MODEL["encoder"], "positions": "rope"},
                "predictor": {"width": 16, "depth": 1, "heads": 4},
            },
            "heads of the predictor are 4 wide",
        ),
        ({"context_loss": {"warmup": [100, 50]}}, "does not rise"),
    ],
)
def test_what_cannot_work_is_refused_with_the_config(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VJEPAConfig.model_validate(MODEL | changes)


def test_encoders_with_sines_and_cosines_may_be_narrowed() -> None:
    torch.manual_seed(0)
    model = VJEPA(VJEPAConfig.model_validate(MODEL)).eval()
    pixels = torch.randn(1, 4, 3, 32, 32)
    wanted = model.represent(pixels)
    narrow = model.to(torch.bfloat16).represent(pixels.to(torch.bfloat16))
    assert narrow.dtype == torch.bfloat16
    torch.testing.assert_close(narrow.float(), wanted, atol=0.1, rtol=0.1)


def test_it_is_the_x_encoder_of_a_vl_jepa_by_one_line(tmp_path: Path, clips: Path) -> None:
    """Trained, saved and loaded again: latents arrive by tubelets, and a clip run backwards is another clip."""
    torch.manual_seed(0)
    config = VJEPAConfig.model_validate(MODEL)
    write_v_jepa(config, VJEPA(config).state_dict(), tmp_path / "encoder")
    toy = load_preset("toy").model_dump(mode="json")
    source = {"name": "clips", "path": str(clips), "view": CLIP}
    run = RunConfig.model_validate(
        {
            "model": {
                "x_encoder": {"part": f"v_jepa:{tmp_path / 'encoder'}"},
                "predictor": toy["predictor"],
                "y_encoder": toy["y_encoder"],
                "embed_dim": 24,
            },
            "data": {"train": [source], "cache": {"folder": str(tmp_path / "cache")}},
            "train": {"output": str(tmp_path / "run"), "steps": 2, "batch_size": 8, "log_every": 1},
        }
    )
    result = Trainer(run, device="cpu").fit()
    model = VLJEPA.from_pretrained(result.model_folder)
    assert model.config.x_encoder.image.size == (32, 32), "asked of the encoder's own file"
    processor = VLJEPAProcessor(model.config)
    frames = visual_frames(Clip(clips.parent / "0.webp", start=0.0, end=None, frames=4), max_pixels=10**6)
    forward, back = (processor.frames(order)[None] for order in (frames, frames[::-1]))
    latents = model.encode_vision(forward)
    assert (latents.steps, latents.tokens_BND.shape) == (2, (1, 2 * 8 * 8, 24))
    assert torch.equal(latents.tokens_BND, read_v_jepa(tmp_path / "encoder").represent(forward))
    assert not torch.equal(latents.tokens_BND, model.encode_vision(back).tokens_BND)
    assert model.predict(latents).shape == (1, 24)


def test_gradcache_changes_nothing(tmp_path: Path, clips: Path) -> None:
    """Clips of a step are embedded in pieces, in less memory, with the same losses."""
    for name, objective in (("whole", {}), ("pieces", {"grad_cache": 3})):
        run = recipe(tmp_path / name, clips, objective=objective, train={"eval_every": 6})
        Trainer(run, device="cpu").fit()
    assert losses(tmp_path / "pieces") == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)
