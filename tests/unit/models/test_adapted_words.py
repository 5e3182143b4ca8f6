"""Adapters and words: the base's decoder serves a model whose text space stayed, and nothing serves one that moved."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.decoders import tiny_decoder
from tests.unit.models.test_adapters import adapted
from vljepa import VLJEPA, Index, VLJEPAProcessor
from vljepa.checkpoint.decoder import save_decoder
from vljepa.cli.main import main
from vljepa.configs import load_preset
from vljepa.errors import CheckpointError, VLJEPAError
from vljepa.inference.caption import caption
from vljepa.inference.embed import Embedder

MOVED = {"parts": ["y_encoder"], "full": []}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a decoder, adapters of it that leave the text space, and some that move it."""
    folder = tmp_path_factory.mktemp("adapted")
    model = VLJEPA.from_parts(load_preset("toy"))
    words = tiny_decoder(embed_dim=model.config.embed_dim, text_space=model.text_space_hash())
    save_decoder(words, folder / "words")
    model.load_decoder(folder / "words")
    model.save_pretrained(folder / "base")
    adapted(folder / "base").save_pretrained(folder / "still")
    adapted(folder / "base", **MOVED).save_pretrained(folder / "moved")
    (folder / "images").mkdir()
    Image.new("RGB", (8, 8), "red").save(folder / "images" / "red.png")
    return folder


def test_adapters_that_leave_the_text_space_speak_with_the_base_s_decoder(place: Path) -> None:
    still = Embedder.from_pretrained(str(place / "still"))
    [said] = caption(still.model, still.processor, place / "images" / "red.png")
    assert said.text == still.words(said.embedding[None])[0]
    base = Embedder.from_pretrained(str(place / "base"))
    assert base.words(said.embedding[None]) == [said.text]


def test_a_text_space_that_adapters_moved_is_refused_by_old_decoders_and_indexes(place: Path, tmp_path: Path) -> None:
    """PITFALLS 31."""
    base = Embedder.from_pretrained(str(place / "base"))
    Index.build(base.model, base.processor, place / "images").save(tmp_path / "old.index")
    for name in ("base", "still", "moved"):
        model, processor = VLJEPA.from_pretrained(place / name), VLJEPAProcessor.from_pretrained(place / name)
        if name == "base":
            Index.load(model, processor, tmp_path / "old.index")
            continue
        with pytest.raises(VLJEPAError, match="made by another model"):
            Index.load(model, processor, tmp_path / "old.index")
        if name == "still":
            model.load_decoder(place / "words")
            continue
        with pytest.raises(VLJEPAError, match="reads the text space"):
            model.load_decoder(place / "words")
        with pytest.raises(CheckpointError, match="no words"):
            Embedder(model, processor).require_words()


def test_adapters_of_adapters_are_refused(place: Path, tmp_path: Path) -> None:
    adapted(place / "base").save_pretrained(tmp_path / "second")
    (tmp_path / "second" / "vljepa_base.json").write_text(f'{{"base": "{tmp_path / "second"}", "fingerprint": ""}}')
    with pytest.raises(CheckpointError, match="belong to adapters"):
        VLJEPA.from_pretrained(tmp_path / "second")


def test_export_puts_adapters_and_another_decoder_into_one_folder(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(place / "still"), str(tmp_path / "out"), "--decoder", str(place / "words")]
    assert main(words) == 2
    assert "add --merge" in capsys.readouterr().err
    assert main([*words, "--merge"]) == 0
    assert (tmp_path / "out" / "y_decoder" / "model.safetensors").is_file()
    one, still = Embedder.from_pretrained(str(tmp_path / "out")), Embedder.from_pretrained(str(place / "still"))
    rows = still.images([place / "images" / "red.png"])
    assert one.words(rows) == still.words(rows)
