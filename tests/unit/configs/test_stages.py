"""Recipes of stages: what each stage is made of, who wins, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from vljepa.configs import is_staged_recipe, load_run_config, load_stages
from vljepa.errors import ConfigError

SHARED: dict[str, Any] = {
    "model": "toy",
    "data": {"root": "here", "train": [{"name": "a", "path": "a.csv"}, {"name": "b", "path": "b.csv"}]},
    "optim": {"lr": 0.1, "warmup_steps": 7},
    "train": {"output": "runs/x", "steps": 5},
}


def recipe(folder: Path, stages: Any) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**SHARED, "stages": stages}, sort_keys=False), encoding="utf-8")
    return path


TWO = {
    "second_by_name": {"optim": {"lr": 0.2}},
    "first_by_name": {"data": {"train": [{"name": "c", "path": "c.csv"}]}, "train": {"steps": 9}},
}


def test_a_stage_changes_what_all_share_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = recipe(tmp_path, TWO)
    assert is_staged_recipe(path)
    stages = load_stages(path)
    assert list(stages) == ["second_by_name", "first_by_name"]
    one, two = stages.values()
    assert (one.optim.lr, one.optim.warmup_steps, one.train.steps) == (0.2, 7, 5)
    assert (two.optim.lr, two.optim.warmup_steps, two.train.steps) == (0.1, 7, 9)
    assert [source.name for source in one.data.train] == ["a", "b"]
    assert [source.name for source in two.data.train] == ["c"]
    assert two.data.root == "here"
    assert [run.train.output for run in stages.values()] == ["runs/x/second_by_name", "runs/x/first_by_name"]
    assert one.model == two.model


def test_a_word_for_one_stage_beats_a_word_for_all_which_beats_the_file(tmp_path: Path) -> None:
    words = ["stages.first_by_name.optim.lr=0.4", "optim.lr=0.3", "train.output=elsewhere", "model=base-open"]
    one, two = load_stages(recipe(tmp_path, TWO), words).values()
    assert (one.optim.lr, two.optim.lr) == (0.3, 0.4)
    assert two.train.output == "elsewhere/first_by_name"
    assert one.model.embed_dim == two.model.embed_dim == 768


@pytest.mark.parametrize(
    ("stages", "words", "message"),
    [
        ([], (), "is not a mapping"),
        ({}, (), "is not a mapping"),
        ({"a": None}, (), "is not a mapping of changes"),
        ({"../a": {}}, (), "no name of a stage"),
        ({1: {}}, (), "no name of a stage"),
        ({"a": {"model": "mini"}}, (), "changes `model`"),
        ({"a": {}}, ["stages.a.model.embed_dim=3"], "changes `model`"),
        ({"a": {"start": "mini"}}, (), "changes `start`"),
        ({"a": {}}, ["stages.a.lora.rank=3"], "changes `lora`"),
        ({"a": {}}, ["start=mini", "lora={}"], "not `lora`"),
        ({"a": {"train": {"output": "x"}}}, (), "sets train.output"),
        ({"a": {}}, ["stages.a.train.output=x"], "sets train.output"),
        ({"a": {}}, ["stages.b.train.steps=3"], "no stage 'b'"),
        ({"a": {}}, ["stages.a=3"], "no stage 'a=3'"),
        ({"a": {"optim": {"lrr": 1}}}, (), r"stage 'a': unknown key 'optim.lrr'.*Fix: did you mean 'lr'"),
        ({"a": {"decoder": {}}}, (), "Y-Decoder"),
    ],
)
def test_what_is_refused(tmp_path: Path, stages: Any, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_stages(recipe(tmp_path, stages), words)


def test_each_kind_of_recipe_has_its_own_reader(tmp_path: Path) -> None:
    path = recipe(tmp_path, TWO)
    with pytest.raises(ConfigError, match="recipe of stages"):
        load_run_config(path)
    path.write_text(yaml.safe_dump(SHARED), encoding="utf-8")
    assert not is_staged_recipe(path)
    with pytest.raises(ConfigError, match="stages = None"):
        load_stages(path)
