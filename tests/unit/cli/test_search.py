import json

import pytest


@pytest.fixture
def index(run, toy, pictures):
    run("index", "pictures", "-o", "p.index", "--model", toy)
    return "p.index"


def test_table(run, toy, pictures, index):
    code, out, err = run("search", index, "a red fish", "--model", toy)

    assert code == 0
    assert err == ""
    assert out.startswith(f"'a red fish' in {pictures}\n")
    assert "red.png" in out
    assert "deep/blue.jpg" in out


def test_json_of_a_text(run, toy, index):
    report = json.loads(run("search", index, "a red fish", "--model", toy, "--json", "-k", "1")[1])

    assert report["kind"] == "text"
    assert len(report["hits"]) == 1
    assert -1 <= report["hits"][0]["score"] <= 1


def test_an_existing_file_is_a_picture_query(run, toy, index):
    report = json.loads(run("search", index, "pictures/deep/blue.jpg", "--model", toy, "--json")[1])

    assert report["kind"] == "picture"
    assert report["hits"][0]["path"] == "deep/blue.jpg"
    assert report["hits"][0]["score"] == pytest.approx(1, abs=1e-5)


def test_unusable_queries(fails, toy, index):
    model = ["--model", toy]
    assert "no picture 'none.jpg'" in fails("search", index, "none.jpg", *model)
    assert "query is empty" in fails("search", index, "", *model)
    assert "not a readable picture" in fails("search", index, "pictures/broken.png", *model)
    assert "no index 'none.index'" in fails("search", "none.index", "a fish", *model)
    assert "not an index" in fails("search", "pictures/red.png", "a fish", *model)


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
