"""The suites' ways to embed, with the shipped model: many questions about an image, clips, texts before training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from eval import run
from eval.core.embedding import FileEmbedder, readable
from eval.tasks.comparisons import UNTOUCHED, both_encoders, triplets
from tests.unit.eval.seer import context_of, write_json
from vljepa.inference.embed import Embedder

IMAGES = Path(__file__).parents[3] / "examples" / "images"

pytestmark = pytest.mark.assets


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder.from_pretrained("mini")


def test_questions_about_one_image_are_answered_as_one_by_one(embedder: Embedder) -> None:
    pairs = [(IMAGES / name, query) for name, query in (
        ("cat.jpg", "is it an animal?"), ("coffee.jpg", ""), ("cat.jpg", "which colour is it?"), ("cat.jpg", ""),
    )]  # fmt: skip
    rows = FileEmbedder(embedder).ask(pairs)
    alone = np.concatenate([embedder.images([path], query=query) for path, query in pairs])
    assert np.abs(rows - alone).max() < 1e-5
    assert (rows[0] * rows[2]).sum() < 0.99  # the control: the question counts


def test_what_cannot_be_read_is_named_and_left_out(embedder: Embedder, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    eyes = FileEmbedder(embedder)
    rows = eyes.embed([IMAGES / "cat.jpg", tmp_path / "broken.jpg", tmp_path / "gone.jpg"])
    assert readable(rows).tolist() == [True, False, False]
    assert eyes.report()["count"] == 2
    assert set(eyes.unreadable) == {str(tmp_path / "broken.jpg"), str(tmp_path / "gone.jpg")}


def test_images_that_make_a_clip_and_a_video(embedder: Embedder) -> None:
    cat, coffee, video = IMAGES / "cat.jpg", IMAGES / "coffee.jpg", embedder
    rows = FileEmbedder(video).embed([(cat, cat), (cat, coffee)])
    assert (rows[0] * rows[1]).sum() < 0.98
    clip = IMAGES.parent / "clip.mp4"
    [watched] = FileEmbedder(video, frames=4).embed([clip])
    [wanted] = Embedder(video.model, video.processor, frames=4).images([clip])
    np.testing.assert_allclose(watched, wanted, atol=1e-5)


EASY = {"caption": "a cat sleeps", "caption2": "a sleeping cat", "negative_caption": "a train in the snow"}
HARD = {"caption": "a dog chases a cat", "caption2": "a cat is chased by a dog",
        "negative_caption": "a cat chases a dog"}  # fmt: skip


def test_sugarcrepe_pp_before_and_after(embedder: Embedder, tmp_path: Path) -> None:
    for kind in ("replace_att", "replace_obj", "replace_rel", "swap_att"):
        write_json(tmp_path / f"{kind}.json", [{"id": 0, "filename": "1.jpg"} | EASY])
    write_json(tmp_path / "swap_obj.json", [{"id": n, "filename": "1.jpg"} | HARD for n in range(2)])
    found = run.find(run.read_suite("sugarcrepe_pp"), [tmp_path], alone=True)
    result = triplets(context_of(found, embedder))
    metrics = result.metrics
    assert {text for one in result.examined or () for text in one.texts} == {*EASY.values(), *HARD.values()}
    assert metrics["model"]["replace_obj"] == 1.0
    assert metrics["model"] == metrics[UNTOUCHED]  # mini leaves its Y-Encoder as it is
    assert metrics["model"]["macro"] == pytest.approx((4 + metrics["model"]["swap_obj"]) / 5)
    assert metrics["model"]["rows"]["mean"] == pytest.approx((4 + 2 * metrics["model"]["swap_obj"]) / 6)


def test_own_triplets(embedder: Embedder, tmp_path: Path) -> None:
    turned = EASY | {"caption2": EASY["negative_caption"], "negative_caption": EASY["caption2"]}
    write_json(tmp_path / "triplets.json", [EASY, EASY, turned, EASY])
    found = run.find(run.read_suite("own_triplets"), [tmp_path], alone=True)
    assert triplets(context_of(found, embedder)).metrics["model"]["rows"]["mean"] == 0.75


def test_a_trained_y_encoder_is_told_from_the_untouched_one(embedder: Embedder) -> None:
    texts = [*EASY.values(), *HARD.values()]
    rows = both_encoders(embedder, texts)
    assert np.abs(rows["model"] - embedder.texts(texts)).max() < 1e-5
    weight = next(iter(embedder.model.y_encoder.backbone.parameters()))
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
        moved = both_encoders(embedder, texts)
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    assert np.abs(moved[UNTOUCHED] - rows[UNTOUCHED]).max() < 1e-5
    assert np.abs(moved["model"] - rows["model"]).max() > 0.01
