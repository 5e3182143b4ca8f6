"""A recipe with one wrong letter in one key is refused: the key is named, the exit code is 2."""

import copy
import string

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa.cli.main import main
from vljepa.cli.recipe import shipped_recipes
from vljepa.configs import (
    DecoderRunConfig,
    RunConfig,
    is_decoder_recipe,
    is_staged_recipe,
    load_decoder_run_config,
    load_run_config,
    validate,
)
from vljepa.errors import ConfigError

# A stage's errors name the stage apart from the key: tests/unit/configs/test_stages.py.
RECIPES = {name: path for name, path in shipped_recipes().items() if not is_staged_recipe(path)}
WRITTEN = {name: yaml.safe_load(path.read_text(encoding="utf-8")) for name, path in RECIPES.items()}


def key_paths(node, path=()):
    """Path of every key; what is under `part.config` belongs to other libraries."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield (*path, key)
            if (*path[-1:], key) != ("part", "config"):
                yield from key_paths(value, (*path, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from key_paths(value, (*path, number))


def typos(key):
    """Everything that differs from a key by one letter: put in, changed, left out, or swapped with the next."""
    found = set()
    for place in range(len(key) + 1):
        for letter in string.ascii_lowercase + "_":
            found.add(key[:place] + letter + key[place:])
            found.add(key[:place] + letter + key[place + 1 :])
        found.add(key[:place] + key[place + 1 :])
        found.add(key[:place] + key[place + 1 : place + 2] + key[place : place + 1] + key[place + 2 :])
    return sorted(found - {key, ""})


def with_typo(raw, path, typo):
    changed = copy.deepcopy(raw)
    node = changed
    for part in path[:-1]:
        node = node[part]
    node[typo] = node.pop(path[-1])
    return changed


@pytest.mark.parametrize("name", RECIPES)
def test_every_typo_of_every_possible_key_is_refused(name):
    words = is_decoder_recipe(RECIPES[name])
    kind, load = (DecoderRunConfig, load_decoder_run_config) if words else (RunConfig, load_run_config)
    full = load(RECIPES[name]).model_dump(mode="json")
    validate(kind, full, where="recipe")
    for path in key_paths(full):
        siblings = full
        for part in path[:-1]:
            siblings = siblings[part]
        misspelt = typos(path[-1])
        for typo in misspelt[:: max(1, len(misspelt) // 12)]:
            if typo not in siblings:
                with pytest.raises(ConfigError) as caught:
                    validate(kind, with_typo(full, path, typo), where="recipe")
                assert repr(".".join(map(str, (*path[:-1], typo)))) in caught.value.message


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_command_names_the_key_and_exits_with_2(tmp_path_factory, data):
    name = data.draw(st.sampled_from(sorted(WRITTEN)))
    path = data.draw(st.sampled_from(sorted(key_paths(WRITTEN[name]), key=str)))
    typo = data.draw(st.sampled_from(typos(path[-1])))
    recipe = tmp_path_factory.mktemp("typo") / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(with_typo(WRITTEN[name], path, typo)), encoding="utf-8")
    said = []
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("vljepa.cli.main.note", said.append)
        assert main(["recipe", "validate", str(recipe)]) == 2
    assert len(said) == 1
    assert repr(".".join(map(str, (*path[:-1], typo)))) in said[0]


def test_a_typo_in_an_override_is_refused_with_the_nearest_key(capsys):
    assert main(["train", "your_folder", "optim.lrr=1e-4"]) == 2
    assert "unknown key 'optim.lrr'" in capsys.readouterr().err.splitlines()[-1]
    assert main(["recipe", "validate", "your_folder", "train.stepz=1"]) == 2
    assert "did you mean 'steps'?" in capsys.readouterr().err
