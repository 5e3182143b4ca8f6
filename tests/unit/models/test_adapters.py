"""Adapters of a VL-JEPA: standard peft folders, tied to their base, mergeable, and honest about the text space."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vljepa.checkpoint.adaptation import adapt
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import AdaptersConfig, RunConfig, VLJEPAConfig, load_preset, validate
from vljepa.errors import CheckpointError, ConfigError
from vljepa.export.merge import merge
from vljepa.models.types import Batch, Tokens
from vljepa.training.optim import trainable_report
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    VLJEPA.from_parts(load_preset("toy")).save_pretrained(folder)
    return folder


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        pixels_BTCHW=torch.rand(3, 1, 3, 64, 64, generator=generator),
        query=Tokens(torch.randint(5, 50, (3, 4), generator=generator), torch.ones(3, 4, dtype=torch.bool)),
        target=Tokens(torch.randint(5, 50, (3, 5), generator=generator), torch.ones(3, 5, dtype=torch.bool)),
    )


@torch.no_grad()
def outputs(model: VLJEPA) -> Tensor:
    output = model.eval()(batch())
    return torch.cat([output.prediction_BD, output.target_BD])


def adapted(base: Path, *, moved: bool = True, **settings: object) -> VLJEPA:
    """The base with adapters, whose weights are as after some training."""
    model = VLJEPA.from_pretrained(base)
    adapt(model, validate(AdaptersConfig, settings, where="test"), base=str(base), seed=0)
    if moved:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


BOTH = {"parts": ["predictor", "y_encoder"], "full": ["predictor.head", "predictor.gate", "y_encoder.head"]}


def test_fresh_adapters_change_nothing_and_train_little(base: Path) -> None:
    model = adapted(base, moved=False)
    torch.testing.assert_close(outputs(model), outputs(VLJEPA.from_pretrained(base)))
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained
    whole = tuple(f"{name}." for name in AdaptersConfig().full)
    assert all("lora_" in name or name.startswith(whole) for name in trained)
    report = trainable_report(model)
    counts = {name: parameter.numel() for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert sum(size for _, _, size, state in report if state) == sum(counts.values())
    assert {state for group, *_, state in report if group == "predictor.head"} == {True}
    assert {state for group, *_, state in report if group == "predictor.backbone"} == {True, False}, (
        "LoRA, and its base"
    )
    assert {name for name in AdaptersConfig().full if not any(one.startswith(name) for one in trained)} == set()


@pytest.mark.parametrize("settings", [{}, BOTH, {"targets": ["query"], "full": []}], ids=["predictor", "both", "query"])
def test_adapters_come_back_with_their_base_and_merge(base: Path, tmp_path: Path, settings: dict[str, object]) -> None:
    model = adapted(base, **settings)
    before = outputs(model)
    assert not torch.allclose(before, outputs(VLJEPA.from_pretrained(base)), atol=2e-4)
    model.save_pretrained(tmp_path / "adapters")
    assert not (tmp_path / "adapters" / "model.safetensors").exists()
    again = VLJEPA.from_pretrained(tmp_path / "adapters")
    assert torch.equal(outputs(again), before)
    assert again.text_space_hash() == model.text_space_hash()
    merged = merge(again)
    merged.save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(outputs(VLJEPA.from_pretrained(tmp_path / "merged")), before, atol=1e-5, rtol=0)


def test_the_folder_is_peft_s_own(base: Path, tmp_path: Path) -> None:
    import peft

    model = adapted(base)
    model.save_pretrained(tmp_path / "adapters")
    plain = VLJEPA.from_pretrained(base)
    peft.PeftModel.from_pretrained(plain, str(tmp_path / "adapters"))
    assert torch.equal(outputs(plain), outputs(model))


def test_the_x_encoder_is_out_of_reach_of_what_is_trained_whole(base: Path, tmp_path: Path) -> None:
    """peft takes a name for every module that ends like it: `gate` is one of the squeeze-and-excitation blocks, too."""
    model = VLJEPA.from_pretrained(base)
    alike = [name for name, _ in model.x_encoder.named_modules() if name.endswith("gate")]
    assert alike, "the toy's X-Encoder has such modules"
    adapt(model, AdaptersConfig(), base=str(base), seed=0)
    assert not [name for name, _ in model.x_encoder.named_modules() if "modules_to_save" in name]
    assert not any(parameter.requires_grad for parameter in model.x_encoder.parameters())
    assert not any(parameter.requires_grad for parameter in model.y_encoder.parameters())
    model.save_pretrained(tmp_path / "adapters")
    again = VLJEPA.from_pretrained(tmp_path / "adapters")
    assert not [name for name, _ in again.x_encoder.named_modules() if "modules_to_save" in name]
    with torch.no_grad():
        assert torch.equal(again(batch()).prediction_BD, model.eval()(batch()).prediction_BD)


def test_a_name_that_would_reach_further_is_refused(base: Path) -> None:
    model = VLJEPA.from_pretrained(base)
    inner = torch.nn.ModuleDict({"gate": torch.nn.Linear(2, 2)})
    model.predictor.backbone.other = torch.nn.ModuleDict({"predictor": inner})
    with pytest.raises(ConfigError, match=r"names 'predictor\.gate', and 'predictor\.backbone\..*gate' ends alike"):
        adapt(model, AdaptersConfig(), base=str(base), seed=0)


def test_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    adapted(base).save_pretrained(tmp_path / "adapters")
    other = load_preset("toy")
    other.predictor.part = other.predictor.part.model_copy(update={"seed": 9})
    VLJEPA.from_parts(other).save_pretrained(base)
    with pytest.raises(CheckpointError, match=r"trained on .* with fingerprint"):
        VLJEPA.from_pretrained(tmp_path / "adapters")


def test_only_an_adapted_text_side_moves_the_text_space(base: Path) -> None:
    """PITFALLS 31: decoders and indexes carry this hash and refuse another."""
    space = VLJEPA.from_pretrained(base).text_space_hash()
    assert adapted(base).text_space_hash() == space
    assert adapted(base, parts=["y_encoder"], full=[]).text_space_hash() != space
    assert adapted(base, full=["y_encoder.head"]).text_space_hash() != space


def test_layers_that_are_not_there_are_named(base: Path) -> None:
    with pytest.raises(ConfigError, match=r"no linear layer 'q_proj'.*choose among dense, key, query, value"):
        adapted(base, targets=["q_proj"])


@pytest.mark.parametrize("part", ["predictor", "y_encoder"])
def test_four_bits_hold_the_frozen_matrices_and_adapters_still_learn(base: Path, tmp_path: Path, part: str) -> None:
    pytest.importorskip("bitsandbytes")
    whole, model = adapted(base, parts=[part]), adapted(base, parts=[part], four_bit=True)
    frozen = {
        name: (tensor.dtype, tensor.numel())
        for name, tensor in model.named_parameters()
        if name.endswith("query.base_layer.weight") and name.startswith(f"{part}.")
    }
    sizes = {name: tensor.numel() for name, tensor in whole.named_parameters() if name in frozen}
    assert frozen
    assert frozen == {name: (torch.uint8, size // 2) for name, size in sizes.items()}, "two numbers to a byte"
    error = float((outputs(model) - outputs(whole)).abs().max())
    assert 0 < error < 0.1
    model.train()  # after having been in eval mode, as training is after each validation
    output = model(batch())
    (output.prediction_BD * output.target_BD).sum().backward()
    updates = [one for name, one in model.named_parameters() if ".lora_" in name]
    assert updates
    assert all(one.grad is not None and bool(one.grad.any()) for one in updates)
    model.save_pretrained(tmp_path / "adapters")
    assert torch.equal(outputs(VLJEPA.from_pretrained(tmp_path / "adapters")), outputs(whole)), "of the base as it is"


def test_four_bits_without_their_package_are_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ConfigError, match="needs the package bitsandbytes"):
        adapted(base, four_bit=True)


def test_a_model_without_adapters_has_nothing_to_merge(base: Path) -> None:
    with pytest.raises(ConfigError, match="no adapters"):
        merge(VLJEPA.from_pretrained(base))


@pytest.fixture
def tune(make_run: Callable[..., RunConfig], base: Path) -> Callable[..., RunConfig]:
    """A run that goes on from `base`."""

    def make(name: str, **changes: object) -> RunConfig:
        run = make_run(name)
        return validate(RunConfig, {**run.model_dump(), "model": None, "start": str(base), **changes}, where="test")

    return make


def test_a_given_model_is_adapted_too(tune: Callable[..., RunConfig], base: Path, tmp_path: Path) -> None:
    """`Trainer(run, model=m)` trained all of `m`, whatever `lora` said."""
    given = VLJEPA.from_pretrained(base)
    run = tune("given", lora={"rank": 4})
    result = Trainer(run, model=given).fit()
    named = Trainer(tune("named", lora={"rank": 4})).fit()
    assert (result.model_folder / "adapter_config.json").is_file()
    assert not (result.model_folder / "model.safetensors").is_file()
    one, other = (load_file(each.model_folder / "adapter_model.safetensors") for each in (result, named))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_given_model_that_is_not_the_named_base_is_refused(tune: Callable[..., RunConfig], base: Path) -> None:
    given = VLJEPA.from_pretrained(base)
    with torch.no_grad():
        given.predictor.head.weight.add_(1)
    with pytest.raises(ConfigError, match="another model than the given one"):
        Trainer(tune("other", lora={"rank": 4}), model=given).fit()


def test_a_run_trains_adapters_resumes_to_the_last_bit_and_is_merged_by_the_command(
    tune: Callable[..., RunConfig], base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lora = {"rank": 4, "dropout": 0.1}
    whole = Trainer(tune("whole", lora=lora)).fit()
    said = [line.split() for line in capsys.readouterr().err.splitlines() if "parameters" in line]
    assert [line[-1] for line in said if line[0] == "predictor.head"] == ["trained"]
    assert [line[-1] for line in said if line[0] == "x_encoder.backend"] == ["frozen"]
    cut = tune("cut", lora=lora)
    first = Trainer(cut)

    original = Trainer._train_step

    def until_seven(self: Trainer, step: int, *arguments: object) -> None:
        if step == 7:
            raise KeyboardInterrupt
        original(self, step, *arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_train_step", until_seven)
        with pytest.raises(KeyboardInterrupt):
            first.fit()
    again = Trainer(cut).fit()
    assert torch.equal(
        outputs(VLJEPA.from_pretrained(whole.model_folder)), outputs(VLJEPA.from_pretrained(again.model_folder))
    )
    assert json.loads((whole.model_folder / "adapter_config.json").read_text())["r"] == 4
    command = [str(Path(sys.executable).with_name("vljepa")), "export", str(whole.model_folder), str(tmp_path / "out")]
    done = subprocess.run([*command, "--merge"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = outputs(VLJEPA.from_pretrained(whole.model_folder))
    torch.testing.assert_close(outputs(VLJEPA.from_pretrained(tmp_path / "out")), expected, atol=1e-5, rtol=0)


def test_adapters_by_grad_cache_are_those_of_the_whole_batch(
    make_run: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = load_preset("toy").model_dump(mode="json")
    config["predictor"]["dropout"] = 0.0  # its draws are a matter of the pieces
    VLJEPA.from_parts(validate(VLJEPAConfig, config, where="test")).save_pretrained(tmp_path / "still")

    def train(name: str, *, grad_cache: int | None = None, **settings: object) -> tuple[list[float], Tensor]:
        run = make_run(
            name,
            data={"validation": []},
            objective={"grad_cache": grad_cache},
            train={"steps": 2, "precision": "fp32", **settings},
        )
        changes = {"model": None, "start": str(tmp_path / "still"), "lora": {"rank": 4}}
        trainer = Trainer(validate(RunConfig, {**run.model_dump(), **changes}, where="test"), device="cpu")
        trainer.fit()
        lines = [line for line in read_log(trainer.folder) if line["kind"] == "train"]
        trained = [one.detach().flatten() for one in trainer.model.parameters() if one.requires_grad]
        return [line[key] for line in lines for key in ("loss", "gradient_norm")], torch.cat(trained)

    numbers, weights = train("whole")
    for name, settings in (("cached", {}), ("checkpointed", {"gradient_checkpointing": True})):
        same_numbers, same_weights = train(name, grad_cache=5, **settings)
        assert same_numbers == pytest.approx(numbers, rel=1e-4)
        torch.testing.assert_close(same_weights, weights, rtol=1e-2, atol=2e-4)
    assert train("other", grad_cache=5, seed=1)[0] != pytest.approx(numbers, rel=1e-4)


def test_a_run_without_lora_goes_on_from_all_weights(tune: Callable[..., RunConfig], base: Path) -> None:
    result = Trainer(tune("full")).fit()
    assert (result.model_folder / "model.safetensors").is_file()
    start = torch.cat([value.flatten() for value in VLJEPA.from_pretrained(base).predictor.state_dict().values()])
    end = torch.cat(
        [value.flatten() for value in VLJEPA.from_pretrained(result.model_folder).predictor.state_dict().values()]
    )
    assert 0 < float((start - end).abs().max()) < 0.2


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"start": None, "model": None}, "needs `model`, or `start`"),
        ({"start": None, "lora": {}}, "name it with `start`"),
    ],
)
def test_a_run_has_one_beginning(
    make_run: Callable[..., RunConfig], changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        validate(RunConfig, {**make_run().model_dump(), **changes}, where="test")
