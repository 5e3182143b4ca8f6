"""Recipes, presets and overrides, and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from vljepa.configs import VLJEPAConfig, load_preset, load_run_config, parse_overrides, preset_names, validate
from vljepa.configs.decoder import DecoderDataConfig
from vljepa.errors import ConfigError

RECIPE = """
model: {preset: toy, embed_dim: 16}
data: {train: [{name: a, path: a.csv}]}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(RECIPE)
    return path


def test_overrides_are_typed_by_the_config(recipe):
    run = load_run_config(recipe, ["optim.lr=1e-4", "train.steps=7", "data.cache=null", "model.predictor.dropout=0.5"])
    assert (run.optim.lr, run.train.steps, run.data.cache) == (1e-4, 7, None)
    assert (run.model.predictor.dropout, run.model.embed_dim) == (0.5, 16)


def test_a_preset_may_be_changed_from_the_command_line_alone(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("model: toy\ndata: {train: [{name: a, path: a.csv}]}\n")
    assert load_run_config(path, ["model.embed_dim=8"]).model.embed_dim == 8


@pytest.mark.parametrize("turn", [1, -1])
def test_a_preset_and_changes_to_it_go_together_in_any_order(recipe, turn):
    run = load_run_config(recipe, ["model=mini", "model.predictor.dropout=0.2"][::turn])
    assert run.model.predictor.dropout == 0.2
    assert run.model.embed_dim == load_preset("mini").embed_dim != 16  # the recipe's own change went with its preset
    assert load_run_config(recipe, ["model=mini"]).model == load_preset("mini")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["optim.lrr=1"], r"unknown key 'optim\.lrr'.*did you mean 'lr'"),
        (
            ["train.gradient_accumulation_steps=4"],
            r"unknown key .*contrasted.*train\.batch_size.*objective\.grad_cache",
        ),
        (["optim.accumulation=4"], r"unknown key 'optim\.accumulation'.*objective\.grad_cache"),
        (["data.train=[{nme: a, path: b}]"], r"unknown key 'data\.train\.0\.nme'.*did you mean 'name'"),
        (["optim.lr=fast"], r"optim\.lr = 'fast'"),
        (["train.steps=0"], r"train\.steps = 0"),
        (["steps"], r"'steps' is not an override.*key=value"),
        (["data.train=[1"], r"is not YAML"),
        (["optim=3", "optim.lr=1"], r"'optim\.lr' is inside 'optim', which another override sets to 3.*keep one"),
        (["optim.lr=1", "optim=3"], r"optim=3 would undo other overrides of 'optim'.*keep one"),
        (["data.cache=null", "data.cache.views=2"], r"'data\.cache\.views' is inside 'data\.cache'.*None"),
        (["optim.lr=1", "optim.lr.x=1"], r"'optim\.lr\.x' is inside 'optim\.lr'"),
        (["model=3", "model.embed_dim=8"], r"'model\.embed_dim' is inside 'model'.*3"),
        (["model.embed_dim=8", "model=3"], r"model=3 would undo"),
        (["model.preset=nano"], r"no preset 'nano'.*base-open, mini, toy|no preset 'nano'"),
    ],
)
def test_a_wrong_override_is_named_with_the_fix(recipe, words, message):
    with pytest.raises(ConfigError, match=message):
        load_run_config(recipe, words)


def test_a_missing_or_broken_recipe_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no recipe .*gone\.yaml"):
        load_run_config(tmp_path / "gone.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="not a readable YAML"):
        load_run_config(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- a")
    with pytest.raises(ConfigError, match="holds list, not a mapping"):
        load_run_config(tmp_path / "list.yaml")
    (tmp_path / "code.yaml").write_text("model: !!python/object/apply:os.system ['true']")
    with pytest.raises(ConfigError, match="not a readable YAML"):
        load_run_config(tmp_path / "code.yaml")


def test_numbers_that_yaml_reads_as_text_are_numbers():
    assert parse_overrides(["a.b=1e-4", "a.c=x", "d=[1, 2]"]) == {"a": {"b": 1e-4, "c": "x"}, "d": [1, 2]}


def test_a_config_refuses_a_wrong_type_later_too():
    config = load_preset("toy")
    with pytest.raises(ValueError, match="embed_dim"):
        config.embed_dim = "wide"  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="'x_encoder' is missing"):
        validate(VLJEPAConfig, {}, where="here")


def test_the_presets():
    assert preset_names() == ["base", "base-open", "mini", "toy"]


@pytest.mark.parametrize("kind", ["train", "validation"])
def test_sources_of_one_name_are_refused(recipe, kind):
    """Metrics go by the name: the second one's overwrote the first one's, and the mean was that of the others."""
    word = f"data.{kind}=[{{name: b, path: b.csv}}, {{name: a, path: a.csv}}, {{name: b, path: c.csv}}]"
    with pytest.raises(ConfigError, match=r"two sources are called 'b'.*rename one"):
        load_run_config(recipe, [word])
    assert load_run_config(recipe, ["data.validation=[{name: a, path: a.csv}]"]).data.validation[0].name == "a"


def test_sources_of_a_decoder_of_one_name_are_refused():
    sources = [{"name": "a", "path": "a.txt"}, {"name": "a", "path": "b.txt"}]
    with pytest.raises(ConfigError, match="two sources are called 'a'"):
        validate(DecoderDataConfig, {"train": sources}, where="here")


SHAPES = Path(__file__).parents[3] / "recipes" / "v_jepa_shapes.yaml"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("model.encodr.width=3", r"unknown key 'model.encodr'. Fix: did you mean 'encoder'"),
        ("model.target.momentm=3", r"unknown key 'model.target.momentm'. Fix: did you mean 'momentum'"),
        ("method=v_jep", "method = 'v_jep': there is no such method: use one of vl_jepa, v_jepa"),
        ("model.frames=7", "7 frames of .64, 64. are no whole patches of 2 x 8 x 8"),
    ],
)
def test_keys_of_the_model_are_those_of_the_method(change: str, says: str) -> None:
    """Not those of VL-JEPA, whose model has other sections."""
    with pytest.raises(ConfigError, match=says):
        load_run_config(SHAPES, [change])
