"""Pictures under many questions, by the shipped model: the same embeddings as one at a time, and nothing replaced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eval.harness.seeing import Eyes, readable
from vljepa.inference.embed import Embedder

PICTURES = Path(__file__).parents[3] / "examples" / "pictures"

pytestmark = pytest.mark.assets


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder.from_pretrained("mini")


def test_questions_about_one_picture_are_answered_as_one_by_one(embedder: Embedder) -> None:
    pairs = [(PICTURES / name, query) for name, query in (
        ("cat.jpg", "is it an animal?"), ("coffee.jpg", ""), ("cat.jpg", "which colour is it?"), ("cat.jpg", ""),
    )]  # fmt: skip
    rows = Eyes(embedder).ask(pairs)
    alone = np.concatenate([embedder.images([path], query=query) for path, query in pairs])
    assert np.abs(rows - alone).max() < 1e-5
    assert (rows[0] * rows[2]).sum() < 0.99  # the control: the question counts


def test_what_cannot_be_read_is_named_and_left_out(embedder: Embedder, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    eyes = Eyes(embedder)
    rows = eyes.look([PICTURES / "cat.jpg", tmp_path / "broken.jpg", tmp_path / "gone.jpg"])
    assert readable(rows).tolist() == [True, False, False]
    assert eyes.report()["count"] == 2
    assert set(eyes.unreadable) == {str(tmp_path / "broken.jpg"), str(tmp_path / "gone.jpg")}


def test_pictures_that_make_a_clip_and_a_video(embedder: Embedder) -> None:
    cat, coffee = PICTURES / "cat.jpg", PICTURES / "coffee.jpg"
    rows = Eyes(embedder).look([(cat, cat), (cat, coffee)])
    still = embedder.images([cat])[0]
    assert (rows[0] * still).sum() > (rows[1] * still).sum() + 0.05
    [watched] = Eyes(embedder, frames=4).look([PICTURES.parent / "clip.mp4"])
    assert np.linalg.norm(watched) == pytest.approx(1, abs=1e-4)
