"""Words for images, by a decoder that knows the colours of the model that sees colours."""

import numpy as np
import pytest
import torch

from tests.decoders import overfit, tiny_decoder, tokenizer_of
from vljepa.errors import CheckpointError, ConfigError, ImageError
from vljepa.inference.caption import caption, captions
from vljepa.inference.embed import Embedder

SAID = ("red", "green", "blue")


@pytest.fixture(scope="module")
def decoder():
    """Says the colours, and for what is least red "blue"."""
    rows = torch.cat([torch.eye(3), -torch.eye(3)[:1]])
    return overfit(tiny_decoder(embed_dim=3), rows, (*SAID, "blue"), steps=60)


@pytest.fixture
def speaking(model, processor, decoder, monkeypatch):
    """Model and processor with words; they note how many embeddings are put into words at a time."""
    model.y_decoder = decoder
    model.generate = lambda rows, **options: model.said.append(len(rows)) or decoder.generate(rows, **options)
    model.said = []
    processor.words = tokenizer_of(decoder)
    processor.decode = processor.words.decode
    return model, processor


def test_images_are_described_in_order(speaking, images):
    files = [images / "green.jpg", images / "red.png", images / "deep" / "blue.webp"]
    said = caption(*speaking, files)
    assert [one.text for one in said] == ["green", "red", "blue"]
    assert [one.image for one in said] == [str(file) for file in files]
    assert all(one.embedding.shape == (3,) and one.embedding.dtype == np.float32 for one in said)


def test_one_image_needs_no_list(speaking, images):
    (said,) = caption(*speaking, str(images / "red.png"))
    assert said.text == "red"
    assert said.agreement == pytest.approx(1.0, abs=1e-3)


def test_a_question_changes_what_is_said_and_the_prompt_is_the_model_s_own(speaking, images):
    """Under this question the model predicts the opposite colour."""
    (asked,) = caption(*speaking, images / "red.png", query="which colour is least here?")
    assert asked.text == "blue"
    assert asked.embedding == pytest.approx([-1, 0, 0], abs=1e-3)
    (plain,) = caption(*speaking, images / "red.png")
    assert plain.text == "red"
    assert plain.embedding == pytest.approx([1, 0, 0], abs=1e-3)


def test_answers_to_questions_are_not_shifted_as_captions_are(speaking, images):
    """The shift is the mean gap between captions and their predictions; answers have none such."""
    model, processor = speaking
    plain, shifts = model.generate, []
    model.generate = lambda rows, *, shift, **options: shifts.append(shift) or plain(rows, shift=shift, **options)
    caption(model, processor, images / "red.png")
    caption(model, processor, images / "red.png", query="which colour is least here?")
    assert shifts == [True, False]


def test_the_agreement_tells_words_that_miss_what_was_meant(speaking, images):
    (asked,) = caption(*speaking, images / "red.png", query="which colour is least here?")
    assert asked.agreement < 0.1


def test_broken_images_are_left_out_and_told_or_are_errors(speaking, images):
    files = [images / "broken.png", images / "red.png"]
    broken, done = [], []
    said = caption(*speaking, files, on_broken=lambda image, error: broken.append(image), progress=done.append)
    assert [one.text for one in said] == ["red"]
    assert broken == files[:1]
    assert sum(done) == 2
    with pytest.raises(ImageError):
        caption(*speaking, files)


def test_captions_come_batch_by_batch(speaking, images):
    embedder = Embedder(*speaking)
    stream = captions(embedder, [images / "red.png"] * 20)
    next(stream)
    assert sum(speaking[0].said) == 8
    assert len(list(stream)) == 19


def test_options_reach_the_decoder(speaking, images):
    (said,) = caption(*speaking, images / "green.jpg", num_beams=3, max_new_tokens=20)
    assert said.text == "green"
    with pytest.raises(ConfigError, match="num_beams = 0"):
        caption(*speaking, images / "red.png", num_beams=0)


def test_without_a_decoder_it_is_told_before_an_image_is_read(model, processor, tmp_path):
    model.y_decoder, processor.words = None, None
    with pytest.raises(CheckpointError, match="no Y-Decoder"):
        caption(model, processor, [tmp_path / "absent.png"])
    assert model.modes == []


def test_words_of_rows_are_those_of_each_alone(speaking):
    rows = np.eye(3, dtype=np.float32)[[0, 1, 2] * 30]
    embedder = Embedder(*speaking)
    assert embedder.words(rows) == list(SAID) * 30
    assert max(speaking[0].said) <= 64
    assert embedder.words(rows[:0]) == []
