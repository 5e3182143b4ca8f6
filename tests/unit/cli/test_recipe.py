import json

import pytest

from vljepa.cli.main import main
from vljepa.cli.recipe import find_recipe, shipped_layouts, shipped_recipes
from vljepa.configs import is_staged_recipe, load_run_config, load_stages


def test_ls_names_every_recipe_with_its_first_line(capsys):
    assert main(["recipe", "ls", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [*shipped_recipes(), *shipped_layouts()]
    assert all(row["about"] for row in rows)
    assert main(["recipe", "ls"]) == 0
    assert "your_folder" in capsys.readouterr().out


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_are_valid(name, capsys):
    assert main(["recipe", "validate", name]) == 0
    assert capsys.readouterr().out.endswith("valid\n")


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in shipped_recipes()
        if not any(one in name for one in ("decoder", "caption", "v_jepa", "two_rooms", "llm_jepa"))
    ],  # no contrast
)
def test_shipped_recipes_keep_features_and_have_large_batches(name):
    """PITFALLS 14: small batches of images that are encoded again and again lose to a linear map."""
    path = find_recipe(name)
    for run in load_stages(path).values() if is_staged_recipe(path) else [load_run_config(path)]:
        assert run.data.cache is not None or run.train.batch_size >= 1024
        assert run.train.batch_size >= 64


def test_cat_and_cp(tmp_path, capsys):
    text = find_recipe("your_folder").read_text()
    assert main(["recipe", "cat", "your_folder"]) == 0
    assert capsys.readouterr().out == text
    target = tmp_path / "mine.yaml"
    assert main(["recipe", "cp", "your_folder", str(target)]) == 0
    assert target.read_text() == text
    assert load_run_config(target) == load_run_config(find_recipe("your_folder"))
    target.write_text("precious")
    assert main(["recipe", "cp", "your_folder", str(target)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert target.read_text() == "precious"
    assert main(["recipe", "cp", "your_folder", str(tmp_path / "absent" / "x.yaml")]) == 2


def test_cp_into_a_folder_keeps_the_name_and_says_where(tmp_path, capsys):
    assert main(["recipe", "cp", "your_folder", str(tmp_path)]) == 0
    assert str(tmp_path / "your_folder.yaml") in capsys.readouterr().err
    assert (tmp_path / "your_folder.yaml").read_text() == find_recipe("your_folder").read_text()
    assert main(["recipe", "cp", "your_folder", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_configs_of_the_launcher_are_copied_too_and_are_no_recipes(tmp_path, capsys):
    assert list(shipped_layouts()) == [f"accelerate/{name}" for name in ("cpu", "ddp", "fsdp2", "gpu", "zero2")]
    assert main(["recipe", "cp", "accelerate/ddp", str(tmp_path)]) == 0
    assert (tmp_path / "ddp.yaml").read_bytes() == shipped_layouts()["accelerate/ddp"].read_bytes()
    assert main(["recipe", "validate", "accelerate/ddp"]) == 2
    assert "there is no recipe 'accelerate/ddp'" in capsys.readouterr().err


def test_validate_as_json_gives_the_whole_config(capsys):
    assert main(["recipe", "validate", "your_folder", "optim.lr=1e-4", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["valid"] is True
    run = load_run_config(find_recipe("your_folder"), ["optim.lr=1e-4"])
    assert said["config"] == run.model_dump(mode="json")
    assert main(["recipe", "validate", "your_folder", "optim.lrr=1", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "optim.lrr" in captured.err


@pytest.mark.parametrize("words", [["optim=3", "optim.lr=1"], ["optim.lr=1", "optim=3"]])
def test_overrides_that_contradict_each_other_are_one_line(words, capsys):
    assert main(["recipe", "validate", "your_folder", *words]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_an_unknown_recipe_names_the_known_ones(capsys):
    assert main(["recipe", "cat", "absent"]) == 2
    assert "'absent'" in (said := capsys.readouterr().err)
    assert "your_folder" in said


def test_a_recipe_that_is_not_text(tmp_path, capsys):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    assert main(["recipe", "cat", str(tmp_path / "x.yaml")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main(["recipe", "validate", str(tmp_path / "x.yaml")]) == 2


def test_yaml_objects_are_not_built(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text("!!python/object/apply:os.system ['touch pwned']")
    assert main(["recipe", "validate", str(tmp_path / "x.yaml")]) == 2
    assert not (tmp_path / "pwned").exists()
