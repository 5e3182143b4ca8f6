"""Real signals at chosen segments of a run in this process: it ends saved, and goes on to the same end."""

import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import shapes_run
from vljepa.data.features import FeatureCache
from vljepa.errors import StoppedError
from vljepa.methods import vl_jepa
from vljepa.stop_signals import STOP_SIGNALS
from vljepa.training.checkpoint import find_intact, load_state
from vljepa.training.stopping import StopSignals
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer
from vljepa.validation.encoder import Encoder

STEPS = {"steps": 6, "eval_every": 3, "ema": 0.5}


def outcome(run):
    folder = Path(run.train.output)
    log = [line for line in read_log(folder) if line["kind"] in ("train", "validation")]
    for line in log:
        line.pop("samples_per_second", None)
    return log, [load_file(folder / name / "model.safetensors") for name in ("last", "best")]


def same(first, second):
    equal = all(
        one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
        for one, other in zip(first[1], second[1], strict=True)
    )
    return first[0] == second[0] and equal


def strike(monkeypatch, owner, name, *, call, number):
    """Send this process a signal in the given call of a function."""
    original, calls = getattr(owner, name), iter(range(10_000))

    def struck(*arguments, **settings):
        if next(calls) == call:
            os.kill(os.getpid(), number)
        return original(*arguments, **settings)

    monkeypatch.setattr(owner, name, struck)


def saved(run):
    last = find_intact(Path(run.train.output) / "last")
    return None if last is None else load_state(last, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def whole(shapes, tmp_path_factory):
    run = shapes_run(shapes, tmp_path_factory.mktemp("whole"), train=STEPS)
    result = Trainer(run).fit()
    return outcome(run), result.metrics


@pytest.mark.parametrize(
    ("number", "owner", "name", "call", "step", "validated"),
    [
        (signal.SIGTERM, Trainer, "_train_step", 0, 1, 0),
        (signal.SIGUSR1, Trainer, "_train_step", 3, 4, 3),
        (signal.SIGTERM, Encoder, "predictions", 0, 0, None),
        (signal.SIGINT, Encoder, "predictions", 2, 3, 0),
        (signal.SIGINT, Trainer, "_save_last", 0, 4, 3),
        (signal.SIGTERM, Trainer, "_train_step", 5, 6, 3),
        (signal.SIGTERM, vl_jepa, "calibrate", 0, 6, 6),
        (signal.SIGTERM, FeatureCache, "fill", 0, None, None),
    ],
    ids=["step", "later", "first validation", "validation", "save", "last step", "end", "feature encoding"],
)
def test_a_signal_ends_a_run_that_goes_on_to_the_same_end(
    make_run, whole, monkeypatch, number, owner, name, call, step, validated
):
    run = make_run("pieces", train=STEPS)
    before = [signal.getsignal(one) for one in STOP_SIGNALS]
    with monkeypatch.context() as patched:
        strike(patched, owner, name, call=call, number=number)
        with pytest.raises(StoppedError, match=f"stopped by {number.name}.*run the same command again"):
            Trainer(run).fit()
    assert [signal.getsignal(one) for one in STOP_SIGNALS] == before
    state = saved(run)
    assert (state and state["step"]) == step
    assert (state and state["validated"]) == validated
    result = Trainer(run).fit()
    assert same(outcome(run), whole[0])
    assert result.metrics == whole[1]


def test_without_a_signal_nothing_stops_and_the_comparison_can_fail(make_run, whole):
    run = make_run("other", train=STEPS | {"seed": 1})
    Trainer(run).fit()
    assert not same(outcome(run), whole[0])


def test_further_checkpoints_are_saved_and_change_nothing(make_run, whole, monkeypatch):
    steps, original = [], Trainer._save_last
    monkeypatch.setattr(Trainer, "_save_last", lambda self, step: (steps.append(step), original(self, step)))
    run = make_run("often", train=STEPS | {"save_every": 2})
    Trainer(run).fit()
    assert steps == [2, 3, 4, 6]
    assert same(outcome(run), whole[0])


def test_a_signal_that_comes_twice_within_a_segment_is_one(monkeypatch):
    stop = StopSignals()
    with stop.listening():
        assert not stop.asked()
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked()
        assert stop.name == "SIGTERM"
