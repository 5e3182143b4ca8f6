import json
import shutil

import pytest


@pytest.fixture
def index(run, toy, images):
    run("index", "images", "-o", "p.index", "--model", toy)
    return "p.index"


def test_table(run, toy, images, index):
    code, out, err = run("search", index, "a red fish", "--model", toy)

    assert code == 0
    assert err == ""
    assert out.startswith(f"'a red fish' in {images}\n")
    assert "red.png" in out
    assert "deep/blue.jpg" in out


def test_json_of_a_text(run, toy, index):
    report = json.loads(run("search", index, "a red fish", "--model", toy, "--json", "-k", "1")[1])

    assert report["kind"] == "text"
    assert len(report["hits"]) == 1
    assert -1 <= report["hits"][0]["score"] <= 1


def test_an_existing_file_is_an_image_query(run, toy, index):
    report = json.loads(run("search", index, "images/deep/blue.jpg", "--model", toy, "--json")[1])

    assert report["kind"] == "image"
    assert report["hits"][0]["path"] == "deep/blue.jpg"
    assert report["hits"][0]["score"] == pytest.approx(1, abs=1e-5)


def test_unusable_queries(fails, toy, index):
    model = ["--model", toy]
    assert "no image 'none.jpg'" in fails("search", index, "none.jpg", *model)
    assert "query is empty" in fails("search", index, "", *model)
    assert "not a readable image" in fails("search", index, "images/broken.png", *model)
    assert "no index 'none.index'" in fails("search", "none.index", "a fish", *model)
    assert "is a file, and an index is a folder" in fails("search", "images/red.png", "a fish", *model)


def test_an_index_made_by_another_model_is_refused(fails, index, tmp_path):
    from vljepa import VLJEPA
    from vljepa.configs import load_preset

    config = load_preset("toy")
    config.y_encoder.part.seed += 1
    VLJEPA(config).save_pretrained(tmp_path / "other")

    assert "another model" in fails("search", index, "a fish", "--model", tmp_path / "other")


def test_a_long_text_is_a_text(run, toy, index):
    assert run("search", index, "red " * 500, "--model", toy)[0] == 0


def test_an_index_made_by_another_predictor_is_refused(fails, index, toy, tmp_path):
    import torch

    from vljepa import VLJEPA

    model = VLJEPA.from_pretrained(toy)
    with torch.no_grad():
        model.predictor.head.weight.add_(1e-3)
    model.save_pretrained(tmp_path / "other")

    assert "in the same text space" in fails("search", index, "a fish", "--model", tmp_path / "other")


@pytest.fixture
def mixed(run, toy, images, story):
    run("index", "images", "story.gif", "-o", "mixed.index", "--model", toy, "--threshold", "0.1")
    return "mixed.index"


def test_segments_have_times(run, toy, mixed):
    out = run("search", mixed, "images/deep/blue.jpg", "--model", toy)[1]

    [segment] = [line for line in out.splitlines() if "00:02.0 - 00:03.0" in line]
    [image] = [line for line in out.splitlines() if "images/deep/blue.jpg" in line and "1.000" in line]
    assert "story.gif" in segment
    assert " - " not in image


def test_json_of_segments(run, toy, mixed):
    report = json.loads(run("search", mixed, "images/deep/blue.jpg", "--model", toy, "--json")[1])

    image, segment = report["hits"][:2]
    assert image == {
        "path": "images/deep/blue.jpg",
        "score": image["score"],
        "start": None,
        "end": None,
        "time": None,
    }
    assert (segment["path"], segment["start"], segment["end"]) == ("story.gif", 2.0, 3.0)
    assert 2 <= segment["time"] < 3


def test_as_many_segments_of_a_video_as_asked_for(run, toy, mixed):
    def paths(*options):
        report = json.loads(run("search", mixed, "a fish", "--model", toy, "--json", *options)[1])
        return [hit["path"] for hit in report["hits"]]

    assert paths().count("story.gif") == 3
    assert paths("--per-video", "1").count("story.gif") == 1
    assert len(paths("--per-video", "1")) == 3


def test_a_contact_sheet(run, toy, mixed, images):
    code, out, err = run("search", mixed, "a red fish", "--model", toy, "--html", "sheet.html")

    assert code == 0
    assert err == f"the images in sheet.html are read from {images.parent}, the folder that the index names\n"
    assert "story.gif" in out
    page = (images.parent / "sheet.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 5
    assert "<title>a red fish</title>" in page
    assert "00:02.0 - 00:03.0" in page


def test_a_contact_sheet_of_files_that_have_moved_is_made_and_says_so(run, toy, mixed, images, story):
    story.rename(images / "moved.gif")

    code, _, err = run("search", mixed, "images/red.png", "--model", toy, "--html", "sheet.html")

    assert code == 0
    assert "\nno image in sheet.html of story.gif: " in err
    assert err.count("\n") == 2
    page = (images.parent / "sheet.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 3  # the query's too
    assert page.count("no image: ") == 3


def test_files_that_lie_elsewhere_now_are_read_there_and_nowhere_else(run, fails, toy, mixed, images, story):
    elsewhere = images.parent / "elsewhere"
    elsewhere.mkdir()
    story.rename(elsewhere / story.name)
    words = ["search", mixed, "a red fish", "--model", toy, "--folder", elsewhere]

    code, out, err = run(*words, "--html", "sheet.html")

    assert code == 0
    assert out.startswith(f"'a red fish' in {elsewhere}\n")
    lines = err.splitlines()
    assert lines[0] == f"the images in sheet.html are read from {elsewhere}"
    lacking = [line.partition(" of ")[2].partition(": ")[0] for line in lines[1:]]
    assert sorted(lacking) == ["images/deep/blue.jpg", "images/red.png"]  # the index's own folder has them
    page = (images.parent / "sheet.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 3
    assert json.loads(run(*words, "--json")[1])["folder"] == str(elsewhere)
    assert "no folder 'none'" in fails(*words[:3], "--model", "nope", "--folder", "none")


def test_a_sheet_that_cannot_be_written_fails_before_the_model_is_loaded(fails, mixed):
    nowhere = [mixed, "a fish", "--model", "nope", "--html"]
    assert "does not end in .html" in fails("search", *nowhere, "images/red.png")
    assert "no folder 'none'" in fails("search", *nowhere, "none/a.html")
    assert "does not end in .html" in fails("search", *nowhere, "-")


def kind_of(run, *words):
    return json.loads(run("search", *words, "--json")[1])["kind"]


def test_a_stray_file_named_like_the_query_does_not_hijack_it(run, toy, images, index):
    (images / "red.png").rename("fish")

    code, out, err = run("search", index, "fish", "--model", toy)
    report = json.loads(run("search", index, "--image", "fish", "--model", toy, "--json")[1])

    assert code == 0
    assert out.startswith("'fish' in ")
    assert "searching for the text 'fish'; for the image in the file of that name use --image" in err
    assert kind_of(run, index, "fish", "--model", toy) == "text"
    assert report["kind"] == "image"
    assert report["hits"][0]["path"] == "red.png"
    assert report["hits"][0]["score"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "query", ["none.jpg", "my photo.JPG", "photo.heic", "clip.mp4", "images/none", "./none", "../none", "/none/fish"]
)
def test_a_file_that_is_not_there_is_no_text(fails, run, toy, index, query):
    said = fails("search", index, query, "--model", toy)
    assert "there is no image" in said
    assert "--text" in said
    assert kind_of(run, index, "--text", query, "--model", toy) == "text"


@pytest.mark.parametrize("query", ["black/white", "and/or", "a dog. a cat", "fish?", "3.5 apples", "x" * 5000 + "/y"])
def test_words_are_words(run, toy, index, query):
    assert kind_of(run, index, query, "--model", toy) == "text"


def test_one_query_and_one_only(fails, toy, index):
    assert "nothing to search for" in fails("search", index, "--model", toy)
    assert "more than one thing" in fails("search", index, "a fish", "--text", "a cat", "--model", toy)
    assert "there is no image 'none'" in fails("search", index, "--image", "none", "--model", toy)
    assert "is not Unicode" in fails("search", index, "caf\udce9", "--model", toy)


def test_a_query_about_none_of_the_images_lists_none(run, toy, index):
    words = ["search", index, "a volcano", "--model", toy]
    best = json.loads(run(*words, "--json")[1])["hits"][0]["score"]

    code, out, err = run(*words, "--min-score", str(min(1.0, best + 0.01)))

    assert code == 0
    assert out.endswith(": nothing\n")
    assert "nothing scores" in err
    assert f"has {best:.3f}" in err
    assert len(json.loads(run(*words, "--json", "--min-score", str(best - 1e-4))[1])["hits"]) >= 1
    assert json.loads(run(*words, "--json", "--min-score", "1")[1])["hits"] == []


def test_nothing_is_likely_to_show_it(run, fails, toy, images, index, tmp_path, monkeypatch):
    """A model for which that was fitted: its factors let through what has a cosine above 0.5."""
    folder = tmp_path / "fitted"
    shutil.copytree(toy, folder)
    config = json.loads((folder / "config.json").read_text())
    best = json.loads(run("search", index, "a volcano", "--model", toy, "--json")[1])["hits"][0]
    for factor, hits in ((best["score"] - 1e-3, 1), (best["score"] + 1e-3, 0)):
        config["calibration"]["search"] = {"bias": -1e4 * factor, "cosine": 1e4}
        (folder / "config.json").write_text(json.dumps(config))
        code, out, err = run("search", index, "a volcano", "--none", "--model", folder, "-k", "1")
        assert code == 0
        assert (best["path"] in out) == bool(hits)
        said = f"nothing is likely to show it; the nearest, {best['path']}, has {best['score']:.3f}"
        assert (said in err) != bool(hits)
    assert "not calibrated for searches" in fails("search", index, "a volcano", "--none", "--model", toy)
    picture = next(images.glob("*.png"))
    assert "for one text" in fails("search", index, picture, "--none", "--model", folder)
    assert "for one text" in fails("search", index, "a cat", "--plus", "red", "--none", "--model", folder)


def test_a_folder_is_no_index_and_the_error_says_how_to_make_one(fails, toy, tmp_path):
    message = fails("search", str(tmp_path), "a fish", "--model", toy)
    assert "is a folder, not an index" in message
    assert f"vljepa index {tmp_path} -o my.index" in message
    assert "os error" not in message
