import numpy as np
import pytest
import torch
from PIL import Image

from vljepa.errors import ImageError
from vljepa.inference import embed
from vljepa.inference.embed import Embedder


def test_images_are_unit_float32_rows_in_order(model, processor, images):
    rows = Embedder(model, processor).images([images / "green.jpg", Image.new("RGB", (4, 4), "#ff0000")])

    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [[0, 1, 0], [1, 0, 0]], atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_batches_do_not_change_the_rows_and_are_bounded(model, processor, monkeypatch):
    monkeypatch.setattr(embed, "_CPU_BATCH", 3)
    colours = [Image.new("RGB", (2, 2), (20 * n + 5, 7 * n, 250 - 20 * n)) for n in range(10)]
    seen = []

    many = Embedder(model, processor).images(colours, progress=seen.append)
    ones = np.concatenate([Embedder(model, processor).images([colour]) for colour in colours])

    np.testing.assert_array_equal(many, ones)
    assert seen == [3, 3, 3, 1]
    assert max(size for _, _, size in model.modes) == 3


def test_groups_are_larger_where_nobody_waits_and_the_encoder_has_its_batches(model, processor, images, monkeypatch):
    monkeypatch.setattr(embed, "_CPU_BATCH", 4)
    predicted, predict = [], model.predict
    monkeypatch.setattr(model, "predict", lambda latents, query: predicted.append(len(latents.mask_BN)) or predict(
        latents, query))  # fmt: skip
    files = [images / "red.png", images / "broken.png", *[images / "green.jpg"] * 8]
    seen, embedder = [], Embedder(model, processor)

    [(kept, rows)] = embedder.batches(files, progress=seen.append, on_broken=lambda *_: None)
    assert (predicted, [size for _, _, size in model.modes], seen) == ([9], [4, 4, 1], [4, 4, 1, 1])
    np.testing.assert_allclose(rows, [[1, 0, 0]] + [[0, 1, 0]] * 8, atol=0.02)
    assert kept == [files[0], *files[2:]]

    assert [len(batch.images) for batch in embedder.embedded(files, on_broken=lambda *_: None)] == [3, 4, 2]


def test_the_model_runs_in_eval_and_inference_mode_and_callers_do_not(model, processor):
    model.train()
    for _ in Embedder(model, processor).batches([Image.new("RGB", (2, 2), "red")]):
        assert not torch.is_inference_mode_enabled()

    assert model.modes == [(False, True, 1)]


def test_an_empty_query_is_the_caption_prompt(model, processor):
    model.config.prompts.caption = "which colour is least here?"
    image = [Image.new("RGB", (2, 2), "#ff0000")]
    embedder = Embedder(model, processor)

    np.testing.assert_array_equal(embedder.images(image), -embedder.images(image, query="what colour is it?"))


def test_a_broken_image_is_an_error_without_a_handler(model, processor, images):
    with pytest.raises(ImageError, match="broken"):
        Embedder(model, processor).images([images / "red.png", images / "broken.png"])


def test_a_broken_image_is_left_out_with_a_handler(model, processor, images):
    broken = []
    files = [images / "broken.png", images / "red.png"]

    [(kept, rows)] = Embedder(model, processor).batches(files, on_broken=lambda *what: broken.append(what))

    assert kept == [images / "red.png"]
    assert rows.shape == (1, 3)
    assert [path for path, _ in broken] == [images / "broken.png"]


def test_nothing_gives_no_rows(model, processor):
    embedder = Embedder(model, processor)

    assert embedder.images([]).shape == (0, 3)
    assert embedder.texts([]).shape == (0, 3)


def test_texts_are_batched_in_order(model, processor):
    words = ["red", "green", "blue"] * 50

    rows = Embedder(model, processor).texts(words)

    np.testing.assert_array_equal(rows, np.tile(np.eye(3, dtype=np.float32), (50, 1)))


def test_pairs_have_a_query_each(model, processor, monkeypatch):
    monkeypatch.setattr(embed, "_CPU_BATCH", 2)
    images = [Image.new("RGB", (2, 2), colour) for colour in ("#ff0000", "#00ff00", "#0000ff")]
    queries = ["which colour is least here?", "what colour is it?", ""]
    embedder = Embedder(model, processor)

    rows = embedder.pairs(images, queries)

    expected = [embedder.images([image], query=query)[0] for image, query in zip(images, queries, strict=True)]
    np.testing.assert_array_equal(rows, expected)
    assert embedder.pairs([], []).shape == (0, 3)
