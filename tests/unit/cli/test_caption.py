"""`vljepa caption`, `vljepa ask` without choices, `vljepa train-decoder`, and its recipes."""

import json
import shutil
import sys

import pytest
import yaml

from tests.decoders import TEXTS, decoder_config, tiny_decoder
from vljepa.checkpoint.decoder import save_decoder
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.cli.main import main


@pytest.fixture(scope="module")
def decoder(toy, tmp_path_factory):
    """Folder of a random decoder of the toy model's text space."""
    folder = tmp_path_factory.mktemp("decoder")
    space = VLJEPA.from_pretrained(toy).text_space_hash()
    save_decoder(tiny_decoder(text_space=space, generation={"max_new_tokens": 6}), folder)
    return str(folder)


@pytest.fixture(scope="module")
def speaking(toy, decoder, tmp_path_factory):
    """Folder of the toy model with that decoder in it."""
    folder = tmp_path_factory.mktemp("speaking")
    model = VLJEPA.from_pretrained(toy)
    model.load_decoder(decoder)
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def recipe(toy, tmp_path):
    """A small recipe of a decoder."""
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    part = decoder_config(text_space="").model_dump(mode="json")
    raw = {
        "model": toy,
        "decoder": part,
        "vocabulary": 80,
        "data": {"root": str(tmp_path), "train": [{"name": "texts", "path": "texts.txt"}], "noise": 0.1},
        "train": {"output": str(tmp_path / "run"), "steps": 2, "batch_size": 4, "best_metric": "loss"},
    }
    raw["data"] |= {"held_out": 0.2, "cache": {"folder": str(tmp_path / "cache")}}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return str(path)


def test_captions_as_json(run, speaking, images):
    code, out, _ = run("caption", "images", "--model", speaking, "--json", "--device", "cpu")
    report = json.loads(out)
    assert code == 0
    assert report["query"] == ""
    names = [row["image"].replace("\\", "/") for row in report["captions"]]
    assert sorted(names) == ["images/deep/blue.jpg", "images/red.png"]
    assert all(-1.001 <= row["agreement"] <= 1.001 and isinstance(row["caption"], str) for row in report["captions"])
    assert [row["path"].replace("\\", "/") for row in report["skipped"]] == ["images/broken.png"]


def test_captions_as_a_table_with_skipped_images_on_stderr(run, speaking, images):
    code, out, err = run("caption", "images", "--model", speaking)
    assert code == 0
    assert "red.png" in out
    assert "agreement" in out
    assert "broken.png" not in out
    assert "broken.png" in err


def test_a_decoder_can_be_named_and_says_what_the_model_s_own_says(run, toy, speaking, decoder, images):
    named = run("caption", "images", "--model", toy, "--decoder", decoder, "--json")[1]
    assert json.loads(named) == json.loads(run("caption", "images", "--model", speaking, "--json")[1])


def test_beams_and_a_query_reach_the_decoder(run, speaking, images, monkeypatch):
    seen = []
    original = VLJEPA.generate
    monkeypatch.setattr(VLJEPA, "generate", lambda self, rows, **options: seen.append(options) or original(self, rows))
    assert run("caption", "images/red.png", "--model", speaking, "--num-beams", "3")[0] == 0
    assert seen[-1]["num_beams"] == 3
    report = json.loads(run("caption", "images/red.png", "--model", speaking, "--query", "what?", "--json")[1])
    assert report["query"] == "what?"


def test_without_words_a_model_says_how_to_get_them(fails, toy, images):
    assert "train-decoder" in fails("caption", "images/red.png", "--model", toy)
    assert "no Y-Decoder" in fails("ask", "images/red.png", "which colour?", "--model", toy)


def test_what_cannot_be_captioned_is_told(fails, toy, speaking, images, tmp_path):
    assert "broken.png" in fails("caption", "images/broken.png", "--model", speaking)
    assert "absent" in fails("caption", "absent.png", "--model", speaking)
    assert "--num-beams" in fails("caption", "images/red.png", "--model", speaking, "--num-beams", "0")
    assert "no Y-Decoder" in fails("caption", "images/red.png", "--model", toy, "--decoder", toy + "/absent")
    save_decoder(tiny_decoder(), tmp_path / "stranger")
    assert "text space" in fails("caption", "images/red.png", "--model", toy, "--decoder", str(tmp_path / "stranger"))


def test_open_answers(run, speaking, images):
    code, out, _ = run("ask", "images", "which colour?", "--model", speaking)
    assert code == 0
    assert out.startswith("which colour?\n")
    assert "answer" in out
    report = json.loads(run("ask", "images", "which colour?", "--model", speaking, "--json")[1])
    assert report["question"] == "which colour?"
    assert [set(row) for row in report["answers"]] == [{"image", "answer", "confidence", "agreement"}] * 2
    assert len(report["skipped"]) == 1


def test_a_decoder_that_was_not_fitted_cannot_be_asked_how_sure_it_is(fails, speaking, images):
    said = fails("caption", "images/red.png", "--min-confidence", "0.5", "--model", speaking)
    assert "does not say how sure it is" in said
    assert "recipes/mini/choice.py" in said
    assert "does not say" in fails("ask", "images", "which?", "--min-confidence", "0.5", "--model", speaking)


def test_below_the_minimum_confidence_there_is_no_caption(run, speaking, images, tmp_path):
    folder = shutil.copytree(speaking, tmp_path / "model")
    file = folder / "y_decoder" / "config.json"
    config = json.loads(file.read_text())
    for intercept, said in ((-3.0, False), (3.0, True)):
        config["choice"]["confidence"] = [intercept, 0.0, 0.0, 0.0, 0.0]
        file.write_text(json.dumps(config))
        words = ["caption", "images/red.png", "--min-confidence", "0.5", "--model", str(folder)]
        [row] = json.loads(run(*words, "--json")[1])["captions"]
        assert (row["caption"] is not None) is said
        assert row["confidence"] == pytest.approx(0.9526 if said else 0.0474, abs=1e-3)
        assert ("-" in run(*words)[1].split()) is not said


def test_an_empty_open_question_is_told(fails, speaking, images):
    assert "question is empty" in fails("ask", "images/red.png", " ", "--model", speaking)


def test_choices_need_no_decoder(run, toy, images):
    assert run("ask", "images/red.png", "which?", "--choices", "red,blue", "--model", toy)[0] == 0


def test_train_decoder_leaves_a_decoder_that_captions(run, toy, recipe, images, tmp_path):
    code, out, err = run("train-decoder", recipe, "--device", "cpu")
    assert code == 0
    assert "loss" in out
    assert str(tmp_path / "run" / "best") in err
    assert "no confidence of captions: 0 validation images" in err
    report = json.loads(run("train-decoder", recipe, "--json")[1])
    assert report["steps"] == 2
    assert "round_trip/exact" in report["metrics"]
    said = run("caption", "images/red.png", "--model", toy, "--decoder", tmp_path / "run" / "best", "--json")[1]
    assert len(json.loads(said)["captions"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent"], "no recipe 'absent'"),
        (["RECIPE", "train.steps=many"], "train.steps = 'many'"),
        (["RECIPE", "decoder.embed_dimm=3"], "did you mean 'embed_dim'"),
        (["RECIPE", "data.root=absent"], "no source"),
        (["RECIPE", "model=./absent"], "no model './absent'"),
        (["RECIPE", "--device", "tpu"], "no device 'tpu'"),
    ],
)
def test_errors_of_train_decoder_are_one_line(recipe, capsys, words, message):
    assert main(["train-decoder", *[recipe if word == "RECIPE" else word for word in words]]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert "Fix: " in line


def test_each_command_sends_the_other_s_recipe_there(fails, recipe):
    assert "vljepa train-decoder" in fails("train", recipe)
    error = fails("train-decoder", "your_folder")
    assert "not a recipe of a Y-Decoder" in error
    assert "`vljepa train`" in error


def test_recipe_validate_knows_both_kinds(run, fails, recipe):
    code, out, _ = run("recipe", "validate", recipe, "train.steps=9", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["config"]["train"]["steps"] == 9
    assert report["config"]["decoder"]["prefix_tokens"] == 2
    assert "unknown key" in fails("recipe", "validate", recipe, "decoder.layers=3")
    assert run("recipe", "validate", "mini_decoder")[0] == 0


def test_help_and_validation_need_no_torch(recipe):
    """A typo is told at once."""
    import subprocess

    code = "import sys; from vljepa.cli.main import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    for words in (["caption", "--help"], ["train-decoder", "--help"], ["recipe", "validate", recipe]):
        subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
