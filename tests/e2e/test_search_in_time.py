"""The shipped model indexes the example clip, and finds its scenes by words and by images."""

import json
from pathlib import Path

import pytest

from tests.e2e.test_quickstart import DESCRIPTIONS
from tests.pages import Page
from vljepa import VLJEPA, Index, VLJEPAProcessor
from vljepa.cli.main import main

EXAMPLES = Path(__file__).parents[2] / "examples"
SCENES = {  # as examples/make_clip.py cuts them, in seconds; a cross-fade belongs to both
    "cat": (0.0, 4.0),
    "coffee": (4.0, 7.5),
    "lemons": (6.5, 11.5),
    "rocket": (11.5, 15.0),
    "astronaut": (13.5, 18.0),
    "pagoda": (18.0, 21.0),
    "flower": (20.0, 24.0),
}


@pytest.fixture(scope="module")
def index():
    """Index of the clip by the shipped model."""
    model, processor = VLJEPA.from_pretrained("mini"), VLJEPAProcessor.from_pretrained("mini")
    return Index.build(model, processor, EXAMPLES / "clip.mp4")


def overlap(hit, scene):
    """Intersection over union of a segment and a scene."""
    start, end = SCENES[scene]
    common = min(end, hit.end) - max(start, hit.start)
    return max(0, common) / (max(end, hit.end) - min(start, hit.start))


@pytest.mark.assets
@pytest.mark.parametrize(("by", "wanted"), [("words", 5), ("images", 7)])
def test_scenes_are_found(index, by, wanted):
    found = {}
    for scene in SCENES:
        image = EXAMPLES / "images" / f"{scene}.jpg"
        [best] = index.search(DESCRIPTIONS[image.name] if by == "words" else image, k=1)
        found[scene] = overlap(best, scene)

    assert sum(share >= 0.5 for share in found.values()) >= wanted, found  # by chance: one of seven


@pytest.mark.assets
def test_the_contact_sheet_shows_every_segment(index, tmp_path, capsys):
    index.save(tmp_path / "clip.index")

    assert main(["search", f"{tmp_path}/clip.index", "a cat", "--json", "--html", f"{tmp_path}/sheet.html"]) == 0

    hits = json.loads(capsys.readouterr().out)["hits"]
    page = Page((tmp_path / "sheet.html").read_text(encoding="utf-8"))
    assert len(page.all("img")) == len(hits) == len(index) >= 6
    assert min(hit["start"] for hit in hits) == 0
    assert max(hit["end"] for hit in hits) == pytest.approx(24, abs=0.3)
