"""The first thing that a stranger runs: real images described, asked and searched."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
IMAGES = REPOSITORY / "examples" / "images"
DESCRIPTIONS = {
    "astronaut.jpg": "a woman astronaut in an orange space suit",
    "cat.jpg": "the face of a tabby cat",
    "coffee.jpg": "a cup of coffee on a saucer",
    "flower.jpg": "an orange flower in bloom",
    "lemons.jpg": "a pile of yellow lemons",
    "pagoda.jpg": "a Chinese temple by a lake",
    "pizza.png": "a slice of pizza",
    "rocket.jpg": "a rocket on its launch pad at night",
}


@pytest.fixture
def quickstart(monkeypatch, capsys):
    """Run it in this process: the cells of all rows that it prints."""

    def quickstart(*words):
        monkeypatch.setenv("COLUMNS", "160")
        monkeypatch.setattr(sys, "argv", ["quickstart.py", *words])
        runpy.run_path(str(REPOSITORY / "examples" / "quickstart.py"), run_name="__main__")
        lines = capsys.readouterr().out.splitlines()
        return [[cell.strip() for cell in line.strip("│ ").split("│")] for line in lines if "│" in line]

    return quickstart


def test_it_prints_every_image_question_and_search_with_scores(quickstart, tmp_path):
    from vljepa import VLJEPA
    from vljepa.configs import load_preset

    VLJEPA(load_preset("toy")).save_pretrained(tmp_path)

    rows = quickstart(str(tmp_path))

    described = [row for row in rows if len(row) == 3]  # the toy has no words
    assert [row[0] for row in described] == sorted(DESCRIPTIONS)
    assert all(re.fullmatch(r"\d+%", row[-1]) for row in described)
    searched = [row for row in rows if len(row) == 5 and not row[-1].endswith("%")]
    assert len(rows) == len(described) + 4 + len(searched) == 16
    assert all(re.fullmatch(r"-?\d\.\d\d", row[-1]) for row in searched)


@pytest.mark.assets
def test_the_shipped_model_gets_most_of_it_right(quickstart):
    rows = quickstart()

    threes = [row for row in rows if len(row) == 3]
    described, captioned = threes[: len(DESCRIPTIONS)], threes[len(DESCRIPTIONS) :]
    assert sum(caption == DESCRIPTIONS[image] for image, caption, _ in described) >= 6, rows
    captions = {image: caption for image, caption, _ in captioned}
    assert sorted(captions) == sorted(DESCRIPTIONS)
    assert all(re.fullmatch(r"\d+%", confidence) for _, _, confidence in captioned)
    assert "cat" in captions["cat.jpg"]
    found = {row[0]: row[1] for row in rows if len(row) == 5}
    assert found["something to drink"] == "coffee.jpg"
    assert found["a pet"] == "cat.jpg"


def test_the_drawing_is_of_a_concept_that_was_held_out():
    for split in (REPOSITORY / "recipes" / "mini" / "splits").glob("emoji_*.json"):
        assert "pizza" in json.loads(split.read_text())["test"]


def test_the_images_are_small_and_their_licences_named():
    licences = (IMAGES / "LICENSES.md").read_text()
    images = [path for path in IMAGES.iterdir() if path.suffix != ".md"]

    assert {path.name for path in images} == set(DESCRIPTIONS)
    for path in images:
        assert f"| `{path.name}` |" in licences
        assert path.stat().st_size <= 60_000
        assert max(Image.open(path).size) <= 320
