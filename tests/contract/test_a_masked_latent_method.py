"""A method of V-JEPA's kind in one file: hidden latents are predicted, and the target is a moving average's view.

No other file knows it: it is registered, named in a recipe, and trained and resumed by the product's own loop.
Random towers and random pixels: what is tested is the loop, and no number is a result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vljepa.configs import PredictorConfig, RunConfig, Strict, load_preset
from vljepa.data.collate import Group
from vljepa.errors import DataError
from vljepa.methods import FollowStudent, Hook, Inputs, Method, register
from vljepa.methods.protocol import Rows, TrainingModule
from vljepa.models.predictor import Predictor
from vljepa.models.targets import Teacher
from vljepa.models.types import Batch, Latents
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer
from vljepa.validation.tasks import Metrics

WIDTH, GRID = 16, 4


class Config(Strict):
    predictor: PredictorConfig
    momentum: float = 0.99


class Model(nn.Module):
    """Patches of an image to latents, and a predictor of those that are hidden."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.student = nn.Conv2d(3, WIDTH, 8, stride=8)
        self.teacher = Teacher(self.student)
        self.predictor = Predictor(config.predictor, vision_width=WIDTH, embed_dim=WIDTH, masks=True)

    def rows(self, batch: Batch) -> Rows:
        assert batch.pixels_BTCHW is not None
        assert batch.asked_BN is not None
        pixels = batch.pixels_BTCHW[:, 0]
        tokens = self.student(pixels).flatten(2).transpose(1, 2)
        latents = Latents(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool))
        state = self.predictor(latents, asked_BN=batch.asked_BN)
        return {
            "predicted": self.predictor.head(state),
            "target": self.teacher(pixels).flatten(2).transpose(1, 2),
            "asked": batch.asked_BN,
        }


class Images:
    """Squares of one colour: what is hidden can be told from what is seen. Pure in (seed, step)."""

    def __init__(self, seed: int, size: int, shard: tuple[int, int]) -> None:
        self.seed, self.size, self.shard = seed, size, shard

    def __getitem__(self, step: int) -> list[Group]:
        draw = torch.Generator().manual_seed(self.seed * 1000 + step)
        pixels = torch.rand(self.size, 1, 3, 1, 1, generator=draw).expand(-1, -1, -1, 8 * GRID, 8 * GRID)
        asked = torch.rand(self.size, GRID * GRID, generator=draw) < 0.5
        number, count = self.shard
        rows = torch.arange(self.size * number // count, self.size * (number + 1) // count)
        return [Group(Batch(pixels_BTCHW=pixels.contiguous(), asked_BN=asked).choose(rows))]

    def order(self) -> dict[str, Any]:
        return {"seed": self.seed, "size": self.size}


def masked_l1(rows: Mapping[str, Tensor]) -> Tensor:
    """L1 of every token that was asked for."""
    return (rows["predicted"] - rows["target"]).abs().mean(-1)[rows["asked"]].mean()


class MaskedLatents(Method):
    name = "masked_latents"

    def build(self, checkpoint: Path | None, *, device: torch.device) -> Model:
        assert isinstance(self.run.model, Config)
        self.model = Model(self.run.model).to(device)
        if checkpoint is not None:
            self.load(self.model, checkpoint)
        return self.model

    def prepare(self, model: Model, *, shard: tuple[int, int]) -> Inputs:
        return Inputs(batches=Images(self.run.train.seed, self.run.train.batch_size, shard))

    def module(self, model: Model) -> TrainingModule:
        return TrainingModule(model, model.rows)

    def loss(self, rows: Mapping[str, Tensor], batches: Sequence[Batch], *, step: int) -> Tensor:
        return masked_l1(rows)

    def hooks(self) -> Mapping[str, Hook]:
        momentum = self.model.config.momentum
        return {"teacher": FollowStudent(self.model.teacher, self.model.student, momentum=lambda step: momentum)}

    @torch.no_grad()
    def validate(self) -> Metrics:
        """How often what is predicted of an image is nearest to that image's own target, of sixteen."""
        self.model.eval()
        [group] = Images(99, 16, (0, 1))[0]
        rows = self.model.rows(group.batch)
        asked = rows["asked"].unsqueeze(-1)
        predicted, target = ((rows[name] * asked).sum(1) / asked.sum(1) for name in ("predicted", "target"))
        return {"mean": float((torch.cdist(predicted, target).argmin(1) == torch.arange(16)).float().mean())}


register(MaskedLatents, config=Config)


def recipe(folder: Path, *, steps: int = 120, **train: Any) -> RunConfig:
    predictor = load_preset("toy").predictor.model_dump(mode="json") | {"output": "tokens"}
    return RunConfig.model_validate(
        {
            "method": "masked_latents",
            "model": {"predictor": predictor},
            "data": {"train": [{"name": "squares", "path": "made"}], "cache": None},
            "optim": {"lr": 2e-3, "warmup_steps": 5},
            "train": {"output": str(folder), "steps": steps, "batch_size": 8, "eval_every": 20, "log_every": 1} | train,
        }
    )


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_log(folder) if line["kind"] == "train"]


def test_it_learns_what_is_hidden_and_the_teacher_follows(tmp_path: Path) -> None:
    result = Trainer(recipe(tmp_path / "run"), device="cpu").fit()
    logged = [line for line in read_log(tmp_path / "run") if line["kind"] == "validation"]
    assert logged[0]["mean"] < 0.3, "by chance one of sixteen"
    assert result.metrics["mean"] > 0.4
    saved = load_file(result.model_folder / "model.safetensors")
    student, teacher = saved["student.weight"], saved["teacher.encoder.weight"]
    apart = (student - teacher).abs().max()
    assert 0 < apart < 0.5 * student.abs().max(), "near, and not a copy"
    assert logged[-1]["moved/student"] == 1.0
    assert "moved/teacher" not in logged[-1], "it takes no gradient"


@pytest.mark.parametrize("cut", [13])
def test_a_run_that_is_stopped_goes_on_to_the_last_bit(
    tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Trainer(recipe(tmp_path / "whole"), device="cpu").fit()
    trainer = Trainer(recipe(tmp_path / "cut", save_every=cut), device="cpu")
    step = trainer._train_step

    def breaks(number: int, *arguments: Any) -> None:
        if number == cut:
            raise KeyboardInterrupt
        step(number, *arguments)

    monkeypatch.setattr(trainer, "_train_step", breaks)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    Trainer(recipe(tmp_path / "cut", save_every=cut), device="cpu").fit()
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    one, other = (load_file(tmp_path / name / "last" / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_hidden_tokens_leave_no_trace(tmp_path: Path) -> None:
    """The control: what is asked for cannot be read, and what is not can."""
    model = Model(Config(predictor=PredictorConfig.model_validate(recipe(tmp_path).model.predictor))).eval()  # type: ignore[union-attr,attr-defined]
    tokens, asked = torch.randn(1, GRID * GRID, WIDTH), torch.zeros(1, GRID * GRID, dtype=torch.bool)
    asked[0, 5] = True
    changed = tokens.clone()
    changed[0, 5] += 9.0
    mask = torch.ones(1, GRID * GRID, dtype=torch.bool)

    def state(of: Tensor, which: Tensor) -> Tensor:
        found: Tensor = model.predictor(Latents(of, mask), asked_BN=which)
        return found

    assert torch.equal(state(tokens, asked), state(changed, asked))
    assert not torch.equal(state(tokens, ~asked), state(changed, ~asked))


def test_epochs_of_a_method_without_texts_count_rows_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f'{{"image": "{number}.png"}}\n' for number in range(24))
    (tmp_path / "rows.jsonl").write_text(rows, encoding="utf-8")
    run = recipe(tmp_path / "run")
    data = run.data.model_copy(update={"root": str(tmp_path)})
    data.train[0].path = "rows.jsonl"
    run = run.model_copy(update={"data": data, "train": run.train.model_copy(update={"steps": None, "epochs": 2.0})})
    with pytest.raises(DataError, match="'text'"):
        Trainer(run, device="cpu").fit()
    monkeypatch.setattr(MaskedLatents, "texts", "optional")
    assert Trainer(run, device="cpu").fit().steps == 2 * 24 / 8
