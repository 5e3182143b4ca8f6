"""Do the shipped words follow from the embedding? Controls on what `mini` predicts for the 84 test photos.

The sample is made by tests/assets/make_samples.py. `VLJEPA_CONTROL_DECODER=runs/mine/best pytest
tests/invariant/test_mini_words.py` runs the same on another decoder. The bounds allow for the sample's size; the
numbers themselves are in docs/captions.md.
"""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.metrics.captions import CiderD, distinct_share

pytestmark = pytest.mark.assets

SAMPLE = Path(__file__).parents[1] / "assets" / "mini_words"


class Words:
    """The decoder with the sample; each kind of embedding is decoded once."""

    def __init__(self) -> None:
        self.model, self.processor = VLJEPA.from_pretrained("mini"), VLJEPAProcessor.from_pretrained("mini")
        other = os.environ.get("VLJEPA_CONTROL_DECODER")
        if other:
            self.model.load_decoder(other)
            self.processor.load_decoder(other)
        sample = json.loads((SAMPLE / "photos.json").read_text(encoding="utf-8"))
        self.text_space = sample["text_space"]
        self.captions = [photo["captions"] for photo in sample["photos"]]
        self.rows: NDArray[np.float32] = np.load(SAMPLE / "photos.npy").astype(np.float32)

    def ids(self, rows: NDArray[np.float32]) -> torch.Tensor:
        return self.model.generate(torch.from_numpy(np.ascontiguousarray(rows)))

    def cider(self, texts: list[str]) -> float:
        return float(CiderD(self.captions).scores(texts).mean())

    @cached_property
    def own_ids(self) -> torch.Tensor:
        return self.ids(self.rows)

    @cached_property
    def own(self) -> list[str]:
        return self.processor.decode(self.own_ids)


@pytest.fixture(scope="module")
def words() -> Words:
    return Words()


def test_the_sample_is_of_this_text_space(words: Words) -> None:
    assert words.text_space == words.model.text_space_hash()
    assert len(words.rows) == len(words.captions) == 84


def test_captions_are_about_their_photos_and_differ(words: Words) -> None:
    assert words.cider(words.own) > 0.4
    assert distinct_share(words.own) > 0.7


def test_a_swapped_embedding_gives_another_caption(words: Words) -> None:
    swapped = words.processor.decode(words.ids(np.roll(words.rows, 1, axis=0)))
    assert words.cider(swapped) < 0.3 * words.cider(words.own)
    assert np.mean([one == two for one, two in zip(swapped, words.own, strict=True)]) < 0.1


def test_a_zeroed_embedding_says_nothing_about_the_photo(words: Words) -> None:
    """Chance is what one photo's caption scores on another, as in the test above."""
    zeroed = words.processor.decode(words.ids(np.zeros_like(words.rows)))
    assert len(set(zeroed)) == 1
    assert words.cider(zeroed) < 0.15


def test_every_caption_ends_before_the_limit(words: Words) -> None:
    """PITFALLS 12: a decoder whose end mark was never trained runs on."""
    tokenizer = words.processor.words
    assert tokenizer is not None
    assert all(tokenizer.ended(words.own_ids))
    longest = (words.own_ids != tokenizer.vocabulary.end).sum(1).max()
    assert longest < words.model.y_decoder.config.generation.max_new_tokens - 1


def test_a_decoder_deaf_to_its_end_mark_would_be_noticed(words: Words) -> None:
    decoder = words.model.y_decoder
    bias = torch.zeros(decoder.lm.config.vocab_size)
    bias[decoder.end] = -1e4
    hook = decoder.lm.lm_head.register_forward_hook(lambda _, __, logits: logits + bias)
    try:
        ids = words.ids(words.rows[:4])
    finally:
        hook.remove()
    assert not any(words.processor.words.ended(ids))
