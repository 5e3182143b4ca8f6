import json

import pytest
import torch


def test_table(run, toy, pictures):
    code, out, err = run("classify", "pictures/red.png", "pictures/deep", "--labels", "cat,dog,cup", "--model", toy)

    assert code == 0
    assert err == ""
    assert "pictures/red.png" in out
    assert "pictures/deep/blue.jpg" in out


def test_json_holds_probabilities_best_first(run, toy, pictures):
    code, out, _ = run("classify", "pictures/*.png", "--labels", "cat, dog,cup", "--model", toy, "--json", "-k", "2")

    assert code == 0
    [prediction] = json.loads(out)["predictions"]
    assert prediction["image"] == "pictures/red.png"
    assert len(prediction["probabilities"]) == 2
    assert next(iter(prediction["probabilities"])) == prediction["label"]
    assert {*prediction["probabilities"]} < {"cat", "dog", "cup"}
    assert max(prediction["probabilities"].values()) == prediction["confidence"]


def test_broken_pictures_are_skipped_counted_and_named(run, toy, pictures):
    code, out, err = run("classify", "pictures", "--labels", "cat,dog", "--model", toy, "--json")

    assert code == 0
    assert err.startswith("skipped 1 of 3 pictures:\n  pictures/broken.png: ")
    report = json.loads(out)
    assert [skipped["path"] for skipped in report["skipped"]] == ["pictures/broken.png"]
    assert len(report["predictions"]) == 2


def test_it_abstains_and_says_so(run, toy, pictures):
    words = ["classify", "pictures/red.png", "--labels", "cat,dog", "--model", toy, "--min-confidence", "1"]

    assert "abstains" in run(*words)[1]
    assert json.loads(run(*words, "--json")[1])["predictions"][0]["label"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels", ""], "labels has an empty entry"),
        (["--labels", "cat"], "labels has 1 candidate"),
        (["--labels", "cat,dog", "--device", "gpu"], "no device 'gpu'"),
        (["--labels", "cat,dog", "--model", "nope"], "no model 'nope'"),
        (["--labels", "cat,dog", "--min-confidence", "2"], "--min-confidence"),
    ],
)
def test_unusable_options(fails, toy, pictures, options, message):
    words = ["classify", "pictures/red.png", "--model", toy, *options]
    assert message in fails(*words)


def test_cuda_asked_but_not_there(fails, toy, pictures, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "CUDA" in fails("classify", "pictures/red.png", "--labels", "a,b", "--model", toy, "--device", "cuda")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("pictures/none.png", "no picture"),
        ("pictures/broken.png", "not a readable picture"),
        ("pictures/*.gif", "no picture"),
    ],
)
def test_unreadable_pictures(fails, toy, pictures, word, message):
    assert message in fails("classify", word, "--labels", "cat,dog", "--model", toy)


def test_a_file_name_steers_neither_the_terminal_nor_the_table(run, toy, pictures):
    odd = "[red]\x1b[31m.png"
    (pictures / "red.png").rename(pictures / odd)

    _, out, _ = run("classify", f"pictures/{odd}", "--labels", "cat,dog", "--model", toy)

    assert "\x1b" not in out
    assert "[red]\\x1b[31m.png" in out
