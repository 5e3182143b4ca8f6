import json
import math

import pytest
import torch


def test_table(run, toy, images):
    code, out, err = run("classify", "images/red.png", "images/deep", "--labels", "cat,dog,cup", "--model", toy)

    assert code == 0
    assert err == ""
    assert "images/red.png" in out
    assert "images/deep/blue.jpg" in out


def test_json_holds_probabilities_best_first(run, toy, images):
    code, out, _ = run("classify", "images/*.png", "--labels", "cat, dog,cup", "--model", toy, "--json", "-k", "2")

    assert code == 0
    [prediction] = json.loads(out)["predictions"]
    assert prediction["image"] == "images/red.png"
    assert len(prediction["probabilities"]) == 2
    assert next(iter(prediction["probabilities"])) == prediction["label"]
    assert {*prediction["probabilities"]} < {"cat", "dog", "cup"}
    assert max(prediction["probabilities"].values()) == prediction["confidence"]


def test_broken_images_are_skipped_counted_and_named(run, toy, images):
    code, out, err = run("classify", "images", "--labels", "cat,dog", "--model", toy, "--json")

    assert code == 0
    assert err.startswith("skipped 1 of 3 images:\n  images/broken.png: ")
    report = json.loads(out)
    assert [skipped["path"] for skipped in report["skipped"]] == ["images/broken.png"]
    assert len(report["predictions"]) == 2


def test_it_abstains_and_says_so(run, toy, images):
    words = ["classify", "images/red.png", "--labels", "cat,dog", "--model", toy, "--min-confidence", "1"]

    assert "abstains" in run(*words)[1]
    assert json.loads(run(*words, "--json")[1])["predictions"][0]["label"] is None


@pytest.fixture
def doubtful(toy, tmp_path):
    """The toy model, calibrated so that none of the labels is right with nine in ten."""
    from vljepa import VLJEPA
    from vljepa.configs import OpenSetConfig

    model = VLJEPA.from_pretrained(toy)
    model.config.calibration.open_set = OpenSetConfig(bias=-math.log(9), cosine=0.0)
    model.save_pretrained(tmp_path / "doubtful")
    return str(tmp_path / "doubtful")


def test_none_of_the_labels(run, doubtful, images):
    words = ["classify", "images/red.png", "--labels", "cat,dog", "--model", doubtful]
    [asked] = json.loads(run(*words, "--none", "--json")[1])["predictions"]
    assert asked["label"] is None
    assert asked["none"] == pytest.approx(0.9)
    assert sum(asked["probabilities"].values()) == pytest.approx(0.1)
    out = run(*words, "--none")[1]
    assert "none of these" in out
    assert "90.0%" in out
    assert "abstains" not in out
    [plain] = json.loads(run(*words, "--json")[1])["predictions"]
    assert plain["label"] in ("cat", "dog")
    assert "none" not in plain


def test_none_that_is_not_the_likelier_is_listed_last(run, toy, tmp_path, images):
    from vljepa import VLJEPA
    from vljepa.configs import OpenSetConfig

    model = VLJEPA.from_pretrained(toy)
    model.config.calibration.open_set = OpenSetConfig(bias=math.log(4), cosine=0.0)
    model.save_pretrained(tmp_path / "sure")
    words = ["classify", "images/red.png", "--labels", "cat,dog", "--model", tmp_path / "sure", "--none"]
    out = run(*words)[1]
    assert "none of these 20.0%" in out
    assert "abstains" in run(*words, "--min-confidence", "0.9")[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels", "cat,dog", "--none"], "not calibrated for none"),
        (["--labels", ""], "labels has an empty entry"),
        (["--labels", "cat"], "labels has 1 candidate"),
        (["--labels", "cat,dog", "--device", "gpu"], "no device 'gpu'"),
        (["--labels", "cat,dog", "--model", "nope"], "no model 'nope'"),
        (["--labels", "cat,dog", "--min-confidence", "2"], "--min-confidence"),
    ],
)
def test_unusable_options(fails, toy, images, options, message):
    words = ["classify", "images/red.png", "--model", toy, *options]
    assert message in fails(*words)


def test_cuda_asked_but_not_there(fails, toy, images, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "CUDA" in fails("classify", "images/red.png", "--labels", "a,b", "--model", toy, "--device", "cuda")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("images/none.png", "no image"),
        ("images/broken.png", "not a readable image"),
        ("images/*.gif", "no image"),
    ],
)
def test_unreadable_images(fails, toy, images, word, message):
    assert message in fails("classify", word, "--labels", "cat,dog", "--model", toy)


def test_a_file_name_steers_neither_the_terminal_nor_the_table(run, toy, images):
    odd = "[red]\x1b[31m.png"
    (images / "red.png").rename(images / odd)

    _, out, _ = run("classify", f"images/{odd}", "--labels", "cat,dog", "--model", toy)

    assert "\x1b" not in out
    assert "[red]\\x1b[31m.png" in out


def test_labels_of_a_file_may_have_commas_and_be_many(run, toy, images):
    names = ["red, ripe", "blue", *(f"thing {number}" for number in range(1500))]
    (images.parent / "names.txt").write_text("\ufeff" + "\n\n".join(names) + "\n", encoding="utf-8")

    words = ["classify", "images/red.png", "--labels-file", "names.txt", "--model", toy, "--json", "--top-k", "5000"]
    [found] = json.loads(run(*words)[1])["predictions"]

    assert sorted(found["probabilities"]) == sorted(names)


def test_unusable_files_of_labels(fails, toy, images):
    words = ["classify", "images/red.png", "--model", toy]
    folder = images.parent
    (folder / "latin.txt").write_bytes(b"red\ncaf\xe9\n")
    (folder / "empty.txt").write_text("\n \n")
    (folder / "twice.txt").write_text("red\n\nblue\n\n red \n")
    assert "cannot read 'none.txt'" in fails(*words, "--labels-file", "none.txt")
    assert "'latin.txt' is not UTF-8 at byte 8" in fails(*words, "--labels-file", "latin.txt")
    assert "'empty.txt' is empty" in fails(*words, "--labels-file", "empty.txt")
    said = fails(*words, "--labels-file", "twice.txt")
    assert "'twice.txt' has 'red' in line 1 and again in line 5" in said
    assert "there are --labels and --labels-file" in fails(*words, "--labels", "a,b", "--labels-file", "twice.txt")


def test_labels_that_are_not_unicode_are_one_line(fails, toy, images):
    said = fails("classify", "images/red.png", "--labels", "red,caf\udce9", "--model", toy)
    assert r"an entry of labels 'caf\udce9' is not Unicode at character 4" in said


def test_what_is_passed_over_in_a_folder_is_counted_and_named(run, toy, images, story):
    (images / "notes.txt").write_text("red")
    (images / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isom")
    (images / "deep" / "blue.jpg").rename(images / "deep" / "blue")

    code, out, err = run("classify", "images", "--labels", "red,blue", "--model", toy)

    assert code == 0
    assert "images/deep/blue" in out
    assert "passed over 2 files that are no images: images/film.mp4, images/notes.txt" in err


def test_a_piped_table_has_each_path_in_one_line(run, toy, images):
    name = "a/" + "long name of a folder " * 8 + "/photo.png"
    (images / name).parent.mkdir(parents=True)
    (images / "red.png").rename(images / name)

    _, out, _ = run("classify", "images", "--labels", "red,blue", "--model", toy)

    assert f"images/{name}" in out
    assert len({len(line) for line in out.splitlines()}) == 1


def test_what_was_stretched_is_a_note(run, toy, images):
    import numpy as np
    from PIL import Image

    thermal = np.linspace(29_000, 31_000, 100).astype(np.uint16).reshape(10, 10)
    Image.fromarray(thermal).save(images / "thermal.png")
    code, _, err = run("classify", "images/thermal.png", "--labels", "red,blue", "--model", toy)
    assert code == 0
    assert err.startswith("note: 'images/thermal.png' has values from 29")
    assert err.count("\n") == 1
