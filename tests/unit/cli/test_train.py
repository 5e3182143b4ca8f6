import json
import sys

import pytest
import torch.distributed as dist
import yaml

from vljepa.cli.main import main


@pytest.fixture
def recipe(make_run, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(make_run(train={"steps": 4, "eval_every": 2}).model_dump(mode="json")))
    return str(path)


def test_train_writes_a_model_and_a_plot_and_says_where(recipe, capsys, tmp_path):
    assert main(["train", recipe, "optim.lr=1e-3", "--plot", "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    assert "captions/main" in captured.out
    assert str(tmp_path / "run" / "best") in captured.err
    assert (tmp_path / "run" / "training.png").stat().st_size > 10_000
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert kept["optim"]["lr"] == 1e-3


def test_json_and_a_second_call_that_only_draws(recipe, capsys, tmp_path):
    assert main(["train", recipe, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["steps"] == 4
    assert "mean" in first["metrics"]
    assert not (tmp_path / "run" / "training.png").exists()
    assert main(["train", recipe, "--json", "--plot"]) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert (tmp_path / "run" / "training.png").exists()


def test_the_plot_is_refused_before_training_without_matplotlib(recipe, capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["train", recipe, "--plot"]) == 2
    assert "vljepa-torch[plot]" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent"], "no recipe 'absent'"),
        (["RECIPE", "train.steps=many"], "train.steps = 'many'"),
        (["RECIPE", "steps"], "'steps' is not an override"),
        (["RECIPE", "data.root=absent"], "no source"),
        (["RECIPE", "--device", "tpu"], "no device 'tpu'"),
    ],
)
def test_errors_are_one_line(recipe, capsys, words, message):
    assert main(["train", *[recipe if word == "RECIPE" else word for word in words]]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert "Fix: " in line


@pytest.mark.parametrize(("words", "code"), [([], 0), (["data.root=absent"], 2)], ids=["done", "failed"])
def test_it_takes_leave_of_the_other_processes(recipe, tmp_path, words, code):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    assert main(["train", recipe, "--device", "cpu", *words]) == code
    assert not dist.is_initialized()
