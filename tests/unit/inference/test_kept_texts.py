"""Embeddings of labels are kept while the model is as it was, and not a moment longer."""

import gc
from weakref import ref

import numpy as np
import pytest
import torch
from PIL import Image

from vljepa.inference import kept_texts
from vljepa.inference.classify import classify
from vljepa.inference.embed import Embedder
from vljepa.inference.vqa import ask

RED = Image.new("RGB", (2, 2), "#ff0000")


@pytest.fixture
def seen(model):
    """How many texts were encoded in each call."""
    counts, encode = [], model.encode_text

    def counting(text):
        counts.append(len(text.ids_BL))
        return encode(text)

    model.encode_text = counting
    return counts


def test_labels_are_embedded_once(model, processor, seen):
    first = classify(model, processor, RED, labels=["red", "green"])
    assert classify(model, processor, RED, labels=["red", "green"]) == first
    assert seen == [2]
    classify(model, processor, RED, labels=["blue", "red"])
    assert seen == [2, 1]
    [answer] = ask(model, processor, RED, question="what colour is it?", choices=["green", "blue"])
    assert seen == [2, 1]
    assert answer.probabilities["green"] == pytest.approx(0.5)


@pytest.mark.parametrize("change", ["trained", "replaced", "cast", "loaded", "another processor"])
def test_what_changes_the_embedding_is_noticed(model, processor, seen, change):
    rows = Embedder(model, processor).kept_texts(["red", "green"])
    if change == "trained":
        with torch.no_grad():
            model.weight.add_(1)
    elif change == "replaced":
        model.weight = torch.nn.Parameter(torch.zeros(1))
    elif change == "cast":
        model.double()
    elif change == "loaded":
        model.load_state_dict({"weight": torch.zeros(1)})
    else:
        processor = type(processor)()
    assert np.array_equal(Embedder(model, processor).kept_texts(["red", "green"]), rows)
    assert seen == [2, 2]


def test_rows_that_are_handed_out_are_nobody_else_s(model, processor, seen):
    embedder = Embedder(model, processor)
    embedder.kept_texts(["red"])[:] = 7
    assert embedder.kept_texts(["red"]).tolist() == [[1, 0, 0]]
    assert embedder.kept_texts(["red", "red"]).tolist() == [[1, 0, 0]] * 2


def test_memory_is_bounded_and_goes_with_the_model(model, processor, seen, monkeypatch):
    monkeypatch.setattr(kept_texts, "_MOST_BYTES", 2 * 3 * 4)
    embedder = Embedder(model, processor)
    embedder.kept_texts(["red", "green", "blue"])
    embedder.kept_texts(["green", "blue"])
    assert seen == [3]
    embedder.kept_texts(["red"])
    assert seen == [3, 1]
    other = type(model)()
    Embedder(other, processor).kept_texts(["red"])
    gone = ref(other)
    del other
    gc.collect()
    assert gone() is None
