"""A model that somebody made narrower answers as the whole one does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vljepa import VLJEPA, VLJEPAProcessor, ask, caption, classify

CAT = Path(__file__).parents[3] / "examples" / "images" / "cat.jpg"


@pytest.mark.assets
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_narrower_model_classifies_and_answers(dtype: torch.dtype) -> None:
    processor = VLJEPAProcessor.from_pretrained("mini")
    whole = VLJEPA.from_pretrained("mini")
    labels, choices = ["cat", "dog", "cup of coffee"], ["yes", "no"]
    [wanted] = classify(whole, processor, CAT, labels=labels)
    [answered] = ask(whole, processor, CAT, question="is it an animal?", choices=choices)
    narrow = VLJEPA.from_pretrained("mini").to(dtype)
    [got] = classify(narrow, processor, CAT, labels=labels)
    assert got.label == wanted.label == "cat"
    assert got.confidence == pytest.approx(wanted.confidence, abs=0.03)
    [said] = ask(narrow, processor, CAT, question="is it an animal?", choices=choices)
    assert said.label == answered.label
    assert said.confidence == pytest.approx(answered.confidence, abs=0.05)
    [words] = caption(narrow, processor, CAT)
    assert "cat" in words.text
