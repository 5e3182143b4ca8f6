"""`vljepa train` as a process: signals and SIGKILL, on one process and on two."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from eval.bench.kill import kill_trials
from vljepa.training.checkpoint import find_intact, load_state
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer

HEAD = """
import os, signal, sys, time
from vljepa.cli.main import main
from vljepa.training.trainer import Trainer
step = Trainer._train_step
def patched(self, number, *arguments):
    {}
    step(self, number, *arguments)
Trainer._train_step = patched
sys.exit(main())
"""


def write(run, tmp_path, name, body):
    recipe, script = tmp_path / f"{name}.yaml", tmp_path / f"{name}.py"
    recipe.write_text(yaml.safe_dump(run.model_dump(mode="json")), encoding="utf-8")
    script.write_text(HEAD.format(body), encoding="utf-8")
    return [str(script), "train", str(recipe), "--device", "cpu"]


def weights(run):
    return load_file(Path(run.train.output) / "last" / "model.safetensors")


def test_the_command_exits_with_75_and_goes_on(make_run, tmp_path):
    whole, run = make_run("whole"), make_run("run")
    Trainer(whole, device="cpu").fit()
    command = write(run, tmp_path, "run", "if number == 4: os.kill(os.getpid(), signal.SIGTERM)")
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 75, done.stderr
    assert "Traceback" not in done.stderr
    assert "stopped by SIGTERM" in done.stderr
    Trainer(run, device="cpu").fit()
    assert all(torch.equal(weights(run)[name], tensor) for name, tensor in weights(whole).items())


def test_a_second_signal_ends_at_once(make_run, tmp_path):
    run = make_run("run")
    command = write(run, tmp_path, "run", "if number == 2: print('hung', file=sys.stderr, flush=True); time.sleep(100)")
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True) as process:
        while "hung" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        time.sleep(1.2)
        assert process.poll() is None, "the first one waits for the step"
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.wait(timeout=60) == -signal.SIGTERM
        assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("body", "said", "step", "logged"),
    [
        (
            "if number == 3 and os.environ['RANK'] == '1': os.kill(os.getpid(), signal.SIGUSR1)",
            "stopped by SIGUSR1",
            4,
            4,
        ),
        (
            "real = self.inputs.encoder.predictions\n"
            "    if number == 5 and os.environ['RANK'] == '1':\n"
            "        struck = lambda pairs: (os.kill(os.getpid(), signal.SIGINT), real(pairs))[1]\n"
            "        self.inputs.encoder.predictions = struck",
            "stopped by SIGINT",
            6,
            6,
        ),
        (
            "real = self.step.loss\n"
            "    if number == 4 and os.environ['RANK'] == '1':\n"
            "        self.step.loss = lambda *words, **settings: real(*words, **settings) * float('nan')",
            "the loss is nan at step 4",
            3,
            4,
        ),
    ],
    ids=["signal", "signal in validation", "nan"],
)
def test_what_one_of_two_processes_sees_stops_both_at_one_step(make_run, tmp_path, body, said, step, logged):
    """PITFALLS 23 on every rank: the other one ends by itself, instead of waiting for ever."""
    run = make_run("run", train={"steps": 12, "eval_every": 3})
    command = write(run, tmp_path, "run", body)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(launcher + command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert said in done.stderr
    other = "stopped by a signal" if "stopped" in said else "the loss is not finite in another process at step 4"
    assert other in done.stderr
    last = find_intact(Path(run.train.output) / "last")
    assert load_state(last, device=torch.device("cpu"))["step"] == step
    assert max(line["step"] for line in read_log(Path(run.train.output))) == logged


def test_kills_at_random_segments_lose_no_more_than_a_save_interval(tmp_path):
    """PITFALLS 22; `eval/bench/kill.py` does many more."""
    counted = kill_trials(tmp_path, trials=4, seed=os.getpid(), steps=12)
    assert counted["kills"] == 4
    assert counted["most_steps_lost"] <= counted["save_every"]
    assert counted["runs"] >= 1
