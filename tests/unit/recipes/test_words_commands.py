"""The scripts between the trainings of mini's decoder."""

import json

import pytest
import torch

from recipes.mini import interpolate, texts
from tests.decoders import SPACE, tiny_decoder
from vljepa.checkpoint.decoder import load_decoder, save_decoder


def test_a_decoder_between_two_lies_on_the_line_and_keeps_the_first_one_s_gap(tmp_path):
    first, second = tiny_decoder(), tiny_decoder()
    with torch.no_grad():
        for one in second.parameters():
            one.add_(1.0)
        first.shift_D.fill_(0.25)
    save_decoder(first, tmp_path / "first")
    save_decoder(second, tmp_path / "second")
    words = [str(tmp_path / name) for name in ("first", "second", "between")]
    assert interpolate.main([*words, "--share", "0.25"]) == 0
    between = load_decoder(tmp_path / "between", text_space=SPACE)
    assert torch.allclose(between.prefix.weight, first.prefix.weight + 0.25)
    assert torch.equal(between.shift_D, first.shift_D)


def test_what_is_no_decoder_is_told(tmp_path, capsys):
    assert interpolate.main([str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "c")]) == 2
    assert "error: " in capsys.readouterr().err


def test_texts_need_the_prepared_captions(tmp_path, capsys):
    assert texts.main([str(tmp_path)]) == 2
    assert "run prepare.py first" in " ".join(capsys.readouterr().err.split())


def test_what_is_written_is_not_written_again(tmp_path, monkeypatch):
    """Captions with other nouns are made each time; the language model is asked only where its file is missing."""
    (tmp_path / "text").mkdir()
    row = {"text": ["a dog on a couch", "the dog on a couch"], "source_id": "coco:1"}
    (tmp_path / "text" / "captions.train.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "text" / "written.train.jsonl").write_text("kept\n")
    monkeypatch.setattr(texts, "Writer", lambda: pytest.fail("the language model was loaded"))
    assert texts.main([str(tmp_path)]) == 0
    named = [json.loads(line) for line in (tmp_path / "text" / "named.train.jsonl").read_text().splitlines()]
    assert {"a beagle on a couch", "the beagle on a couch"} <= {text for row in named for text in row["text"]}
    assert (tmp_path / "text" / "written.train.jsonl").read_text() == "kept\n"
