"""A decoder's training that is cut, resumed or refused."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from tests.conftest import write_rows
from tests.decoders import TEXTS, decoder_config, write_language_model
from tests.unit.training.test_decoder import (
    decoder_run,
    lines,
    model,  # noqa: F401  (fixtures)
    same,
    trainer,
    weights,
)
from vljepa.checkpoint.decoder import load_decoder
from vljepa.errors import CheckpointError, ConfigError, StoppedError
from vljepa.models.y_decoder import YDecoder
from vljepa.training import decoder as module
from vljepa.training.checkpoint import find_intact
from vljepa.training.decoder import DecoderTrainer
from vljepa.training.guards import NonFiniteError


class CutError(Exception):
    """Stands for a kill."""


def cut_at(monkeypatch, step):
    original = DecoderTrainer._train_step

    def step_or_cut(self, number, *arguments):
        if number == step:
            raise CutError
        original(self, number, *arguments)

    monkeypatch.setattr(DecoderTrainer, "_train_step", step_or_cut)


def cut(run, model, step):
    with pytest.MonkeyPatch.context() as monkeypatch:
        cut_at(monkeypatch, step)
        with pytest.raises(CutError):
            trainer(run, model).fit()


@pytest.mark.parametrize("adapted", [False, True])
def test_a_cut_and_resumed_run_is_the_uninterrupted_one_to_the_last_bit(model, tmp_path, adapted):
    changes = {"train": {"ema": 0.8}}
    if adapted:
        part = f"transformers:{write_language_model(tmp_path / 'part')}"
        changes["decoder"] = {"part": part, "lora": {"rank": 2, "alpha": 4.0, "dropout": 0.2}}
    whole, pieces = decoder_run(tmp_path, "whole", **changes), decoder_run(tmp_path, "pieces", **changes)
    result = trainer(whole, model).fit()
    cut(pieces, model, 4)
    assert trainer(pieces, model).fit().metrics == result.metrics
    assert lines(pieces, "train", "validation") == lines(whole, "train", "validation")
    assert same(weights(pieces), weights(whole))
    assert same(weights(pieces, "best"), weights(whole, "best"))


def test_the_comparison_can_fail(model, tmp_path, monkeypatch):
    """The control: a resume that forgets the optimizer's state gives other weights."""
    whole, pieces = decoder_run(tmp_path, "whole"), decoder_run(tmp_path, "pieces")
    trainer(whole, model).fit()
    cut(pieces, model, 4)
    monkeypatch.setattr("accelerate.optimizer.AcceleratedOptimizer.load_state_dict", lambda *_: None)
    trainer(pieces, model).fit()
    assert not same(weights(pieces), weights(whole))


def test_a_run_of_another_recipe_is_refused(model, tmp_path):
    cut(decoder_run(tmp_path), model, 4)
    with pytest.raises(CheckpointError, match=r"holds a run with optim\.lr"):
        trainer(decoder_run(tmp_path, optim={"lr": 1e-3}), model).fit()
    with pytest.raises(ConfigError, match="holds a run already"):
        trainer(decoder_run(tmp_path, train={"resume": "never"}), model).fit()
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS[:-4]), encoding="utf-8")
    with pytest.raises(CheckpointError, match="other data"):
        trainer(decoder_run(tmp_path), model).fit()


@pytest.mark.parametrize("where", ["loss", "gradient norm"])
def test_what_is_not_a_number_stops_before_the_optimizer(model, tmp_path, monkeypatch, where):
    """PITFALLS 23."""
    original, steps, before = YDecoder.forward, [], {}

    def forward(self, *arguments):
        loss = original(self, *arguments)
        steps.append(self.training)
        if self.training and sum(steps) == 5:
            before.update({name: tensor.clone() for name, tensor in self.state_dict().items()})
            return loss * torch.nan if where == "loss" else loss + (0 * self.prefix.weight).sum().sqrt()
        return loss

    monkeypatch.setattr(YDecoder, "forward", forward)
    run = decoder_run(tmp_path)
    stopped = trainer(run, model)
    with pytest.raises(NonFiniteError, match=f"{where} is nan at step 4"):
        stopped.fit()
    assert same(stopped.decoder.state_dict(), before)
    assert not same(weights(run), {name: before[name] for name in weights(run)})  # the control: `last` is of step 3
    assert all(tensor.isfinite().all() for tensor in weights(run).values())


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"train": {"best_metric": "photos/cider"}}, "no metric 'photos/cider'"),
        ({"decoder": {"embed_dim": 7}}, "embed_dim = 7, the model's is 24"),
    ],
)
def test_impossible_recipes_are_told(model, tmp_path, sections, message):
    with pytest.raises(ConfigError, match=message):
        trainer(decoder_run(tmp_path, **sections), model).fit()


@pytest.mark.parametrize("key", ["gradient_checkpointing", "compile", "length_buckets"])
def test_keys_that_would_do_nothing_are_told(tmp_path, key):
    with pytest.raises(ConfigError, match=rf"train\.{key} is for the training of a model"):
        decoder_run(tmp_path, train={key: 2 if key == "length_buckets" else True})


def test_shards_are_refused(model, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "2")
    with pytest.raises(ConfigError, match=r"a Y-Decoder is trained whole.*accelerate/ddp"):
        trainer(decoder_run(tmp_path), model).fit()


def test_accumulation_is_refused(model, tmp_path, monkeypatch):
    """Accelerate would divide the loss by it, and nothing would be accumulated."""
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    with pytest.raises(ConfigError, match=r"accumulation over 4 steps.*raise train\.batch_size"):
        trainer(decoder_run(tmp_path), model).fit()


def test_an_unknown_device_is_told(model, tmp_path):
    with pytest.raises(ConfigError, match="no device 'tpu'"):
        DecoderTrainer(decoder_run(tmp_path), device="tpu")


def test_images_alone_can_be_learned_without_held_out_texts(model, shapes, tmp_path):
    rows = [json.loads(line) for line in (shapes / "captions.jsonl").read_text().splitlines()]
    write_rows(tmp_path / "rows.jsonl", rows[:6])
    captions = {"path": str(tmp_path / "rows.jsonl"), "root": str(shapes)}
    data = {
        "train": [captions | {"name": "images", "see": "picture"}],
        "validation": [captions | {"name": "captions"}],
    }
    run = decoder_run(tmp_path, data=data, train={"best_metric": "captions/cider"})
    result = trainer(run, model).fit()
    assert "captions/cider" in result.metrics
    assert not any(name.startswith("round_trip") or name == "loss" for name in result.metrics)
    with pytest.raises(ConfigError, match="no metric 'loss'"):
        trainer(decoder_run(tmp_path, "other", data=data), model).fit()


def test_a_decoder_is_gone_on_from_with_its_weights_and_vocabulary(model, tmp_path):
    first = decoder_run(tmp_path, "first", train={"steps": 40, "eval_every": 40})
    trainer(first, model).fit()
    start = {"start": str(tmp_path / "first" / "best")}
    second = decoder_run(tmp_path, "second", optim={"lr": 1e-4}, vocabulary=70, **start)
    trainer(second, model).fit()
    fresh = decoder_run(tmp_path, "fresh", optim={"lr": 1e-4})
    trainer(fresh, model).fit()
    before, tuned, other = (lines(run, "train") for run in (first, second, fresh))
    assert tuned[0]["loss"] < 0.7 * before[0]["loss"]
    assert other[0]["loss"] > 0.9 * before[0]["loss"], "the control: without it, training begins anew"
    vocabularies = [(tmp_path / name / "best" / "tokenizer.model").read_bytes() for name in ("first", "second")]
    assert vocabularies[0] == vocabularies[1]

    architecture = decoder_config(text_space="", architecture={"intermediate_size": 32}).model_dump(mode="json")
    with pytest.raises(ConfigError, match="another architecture"):
        trainer(decoder_run(tmp_path, "third", decoder=architecture, **start), model).fit()


def test_a_decoder_from_scratch_is_adapted_with_lora_from_where_it_was(model, tmp_path):
    first = decoder_run(tmp_path, "first", train={"steps": 40, "eval_every": 40})
    trainer(first, model).fit()
    start = {"start": str(tmp_path / "first" / "best"), "decoder": {"lora": {"rank": 4}}}
    with pytest.raises(ConfigError, match="name it with `start`"):
        decoder_run(tmp_path, "second", decoder=start["decoder"])
    second = decoder_run(tmp_path, "second", **start)
    trainer(second, model).fit()
    assert lines(second, "train")[0]["loss"] < 0.7 * lines(first, "train")[0]["loss"]
    before, after = weights(first, "best"), weights(second, "best")
    plain = {name.replace("lm.base_model.model.", "lm.").replace(".base_layer.", "."): after[name] for name in after}
    moved = {name for name, tensor in plain.items() if name not in before or not torch.equal(before[name], tensor)}
    assert moved >= {name for name in plain if ".lora_B." in name}
    assert all(".lora_" in name or name.startswith("prefix.") for name in moved), "the rest is as it was"
    third = decoder_run(tmp_path, "third", decoder={"lora": {"rank": 2}}, start=str(tmp_path / "second" / "best"))
    with pytest.raises(ConfigError, match="another architecture"):
        trainer(third, model).fit()


def test_a_pretrained_decoder_is_trained_in_four_bits_and_loads_without_them(model, tmp_path):
    pytest.importorskip("bitsandbytes")
    part = f"transformers:{write_language_model(tmp_path / 'part')}"
    losses = {}
    for bits in (False, True):
        lora = {"rank": 4, "targets": ["q_proj", "v_proj"], "four_bit": bits}
        run = decoder_run(tmp_path, f"run{bits}", decoder={"part": part, "lora": lora})
        started = trainer(run, model)
        started.fit()
        losses[bits] = [line["loss"] for line in lines(run, "train")]
        kinds = {one.dtype for name, one in started.decoder.named_parameters() if name.endswith("base_layer.weight")}
        assert kinds == ({torch.uint8} if bits else {torch.float32})
        moved = [one for name, one in started.decoder.named_parameters() if ".lora_B." in name]
        assert all(bool(one.any()) for one in moved)
        loaded = load_decoder(Path(run.train.output) / "best", text_space=model.text_space_hash())
        assert {one.dtype for one in loaded.parameters()} == {torch.float32}
    assert losses[True] != losses[False]
    assert losses[True] == pytest.approx(losses[False], rel=0.1)
    with pytest.raises(ConfigError, match="pretrained language models"):
        decoder_run(tmp_path, "scratch", decoder={"lora": {"four_bit": True}}, start="x")


def test_a_checkpoint_with_more_steps_than_the_run_is_refused(model, tmp_path):
    trainer(decoder_run(tmp_path), model).fit()
    with pytest.raises(CheckpointError, match=r"6 steps behind it, more than train\.steps = 4"):
        trainer(decoder_run(tmp_path, train={"steps": 4}), model).fit()


def test_the_loss_scaler_goes_on_where_it_was(model, tmp_path):
    """A run in fp16 has one; here it is put in place, since fp16 needs a GPU."""
    first = trainer(decoder_run(tmp_path), model)
    first.fit()
    first.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    first._save_last(6)
    second = trainer(decoder_run(tmp_path), model)
    second._build(find_intact(Path(second.run.train.output) / "last"))
    second.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)
    second._restore(find_intact(Path(second.run.train.output) / "last"))
    assert second.accelerator.scaler.get_scale() == 512.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_in_validation_ends_a_run_that_goes_on_to_the_same_end(model, tmp_path, monkeypatch, number):
    whole, pieces = decoder_run(tmp_path, "whole"), decoder_run(tmp_path, "pieces")
    result = trainer(whole, model).fit()
    original = module.held_out_loss

    def struck(*arguments):
        os.kill(os.getpid(), number)
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(module, "held_out_loss", struck)
        with pytest.raises(StoppedError, match=number.name):
            trainer(pieces, model).fit()
    assert not lines(pieces, "validation")
    assert trainer(pieces, model).fit().metrics == result.metrics
    assert lines(pieces, "train", "validation") == lines(whole, "train", "validation")
    assert same(weights(pieces, "best"), weights(whole, "best"))
