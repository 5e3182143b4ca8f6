"""From files and words to the batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer
from PIL import Image

from vljepa.backends import resolve_preferences
from vljepa.backends.bytes import ByteTokenizer
from vljepa.backends.open_clip import OpenClipTokenizer
from vljepa.configs import load_preset
from vljepa.errors import ImageError
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.processing.text import normalise_text


@pytest.fixture(scope="module")
def processor() -> VLJEPAProcessor:
    return VLJEPAProcessor(load_preset("toy"))


def test_files_and_pil_images_give_the_same_pixels(processor: VLJEPAProcessor, tmp_path: Path) -> None:
    image = Image.effect_noise((50, 30), 90).convert("RGB")
    image.save(tmp_path / "noise.png")
    pixels = processor.images([image, tmp_path / "noise.png", str(tmp_path / "noise.png")])
    assert pixels.shape == (3, 1, 3, 64, 64)
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[0], pixels[2])


def test_the_pixel_cap_of_the_config_holds(tmp_path: Path) -> None:
    config = load_preset("toy")
    config.x_encoder.image.max_pixels = 99
    Image.new("RGB", (10, 10)).save(tmp_path / "ten.png")
    with pytest.raises(ImageError, match="the cap is 99"):
        VLJEPAProcessor(config).images([tmp_path / "ten.png"])


def test_only_what_is_given_is_in_the_batch(processor: VLJEPAProcessor) -> None:
    texts = processor(queries=["what?"], targets=["a cat"])
    assert (texts.query is None, texts.target is None, texts.pixels_BTCHW is None) == (False, False, True)
    image = processor(images=[Image.new("RGB", (4, 4))])
    assert (image.query, image.target, image.pixels_BTCHW.shape) == (None, None, (1, 1, 3, 64, 64))


def test_an_empty_query_has_no_valid_token(processor: VLJEPAProcessor) -> None:
    mask = processor.queries(["what is it?", ""]).mask_BL
    assert mask[0].all()
    assert not mask[1].any()


def test_the_prefix_goes_before_targets_only() -> None:
    config = load_preset("toy")
    config.y_encoder.prefix = "text: "
    with_prefix, plain = VLJEPAProcessor(config), VLJEPAProcessor(load_preset("toy"))
    assert torch.equal(with_prefix.targets(["cat"]).ids_BL, plain.targets(["text: cat"]).ids_BL)
    assert torch.equal(with_prefix.queries(["cat"]).ids_BL, plain.queries(["cat"]).ids_BL)


def test_long_texts_are_cut_to_the_limit() -> None:
    config = load_preset("toy")
    config.y_encoder.max_tokens = 8
    config.predictor.max_query_tokens = 5
    cut = VLJEPAProcessor(config)
    assert cut.targets(["x" * 50]).ids_BL.shape == (1, 8)
    assert cut.queries(["x" * 50]).ids_BL.shape == (1, 5)


@pytest.mark.parametrize(("field", "value"), [("backend", "open_clip"), ("source", "hub"), ("revision", "v2")])
def test_a_tokenizer_is_shared_by_equal_origins_only(field: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vljepa.processing.processor._tokenizer", lambda part, _saved, slot: [part, slot])
    config = resolve_preferences(load_preset("toy"))
    config.y_encoder.part = config.predictor.part.model_copy()
    shared = VLJEPAProcessor(config)
    assert shared.target_tokenizer is shared._query_tokenizer
    config.y_encoder.part = config.predictor.part.model_copy(update={field: value})
    apart = VLJEPAProcessor(config)
    assert apart.target_tokenizer is not apart._query_tokenizer


def test_from_pretrained_asks_for_the_revision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, str | None]] = []

    def folder(name: str, *, revision: str | None = None) -> Path:
        asked.append((name, revision))
        return tmp_path

    monkeypatch.setattr("vljepa.processing.processor.saved_folder", folder)
    monkeypatch.setattr("vljepa.processing.processor.read_config", lambda _: load_preset("toy"))
    VLJEPAProcessor.from_pretrained("who/what", revision="v2")
    assert asked == [("who/what", "v2")]


@pytest.mark.parametrize("max_tokens", [5, 77, 200])
def test_an_open_clip_row_always_has_the_tower_s_length(max_tokens: int) -> None:
    tokenizer = OpenClipTokenizer(SimpleTokenizer(context_length=16))
    ids, mask = tokenizer(["a red fish", "word " * 50], max_tokens=max_tokens)
    assert ids.shape == (2, 16)
    assert mask.sum(1).tolist() == [5, 16]


@given(st.lists(st.text(max_size=12), min_size=1, max_size=4))
def test_bytes_are_right_padded_and_say_what_they_were(texts: list[str]) -> None:
    ids, mask = ByteTokenizer()(texts, max_tokens=100)
    for text, row, keep in zip(texts, ids, mask, strict=True):
        kept = row[keep].tolist()
        assert bytes(token - 3 for token in kept[1:-1]).decode() == text
        assert row[len(kept) :].tolist() == [0] * (len(row) - len(kept))


@given(st.text())
def test_the_normal_form_is_stable(text: str) -> None:
    assert normalise_text(normalise_text(text)) == normalise_text(text)


@pytest.mark.parametrize(
    ("one", "other"), [("A red Apple.", "a red  apple"), ("YES!", "yes"), ("caf\u00e9", "CAFE\u0301")]
)
def test_texts_that_count_as_equal(one: str, other: str) -> None:
    assert normalise_text(one) == normalise_text(other)


def test_texts_that_do_not() -> None:
    assert normalise_text("a red apple") != normalise_text("a green apple")


@pytest.mark.assets
def test_mini_s_ids_are_those_of_its_own_vocabulary_in_any_process() -> None:
    """Row 13: a salted hash as a tokenizer would change from process to process."""
    ids = VLJEPAProcessor(load_preset("mini")).targets(["a red apple"]).ids_BL
    assert ids.tolist() == [[101, 1037, 2417, 6207, 102]]
