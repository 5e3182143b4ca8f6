"""`vljepa new`: a dual encoder becomes a folder that is a model of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.contract.hub_dual_encoders import DUAL_ENCODERS
from tests.contract.hub_text_towers import minilm
from tests.contract.test_vision_towers_of_strangers import TOWERS, images
from vljepa import VLJEPA
from vljepa.cli.main import main
from vljepa.inference.embed import Embedder


@pytest.mark.parametrize("given", ["transformers:{}", "aligned:transformers:{}", "{}", "aligned:{}"])
def test_the_folder_answers_as_the_dual_encoder(given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    library, paths = DUAL_ENCODERS["clip"](tmp_path / "part"), images(tmp_path)
    folder = tmp_path / "models" / "mine"
    words = ["new", "my CLIP", "--from", given.format(tmp_path / "part"), "-o", str(folder), "--predictor", "scratch"]
    assert main(words) == 0
    assert str(folder) in capsys.readouterr().err
    made, start = Embedder.from_pretrained(str(folder)), Embedder.from_pretrained(f"aligned:{tmp_path / 'part'}")
    assert np.array_equal(made.images(paths), start.images(paths))
    np.testing.assert_allclose(made.texts(["a cat"]), library.texts(["a cat"]).numpy(), atol=1e-6)
    assert made.model.fingerprint() == start.model.fingerprint()
    card = (folder / "README.md").read_text()
    assert "# my CLIP" in card
    assert "library_name: vljepa" in card
    assert main(words) == 2, "the folder is there already"
    assert "is not empty" in capsys.readouterr().err


def test_the_predictor_starts_from_a_text_transformer(tmp_path: Path) -> None:
    DUAL_ENCODERS["siglip2"](tmp_path / "part")
    minilm(tmp_path / "words")
    words = ["new", "m", "--from", str(tmp_path / "part"), "-o", str(tmp_path / "m")]
    assert main([*words, "--predictor", f"transformers:{tmp_path / 'words'}#1:2", "--full"]) == 0
    model = VLJEPA.from_pretrained(tmp_path / "m")
    assert model.config.predictor.part.layers == (1, 2)
    assert (tmp_path / "m" / "tokenizers" / "predictor").is_dir()
    assert not model.predictors()["predictor"].gate.value.any()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: TOWERS["dinov2"](folder), "is no dual encoder"),
        (minilm, "is no dual encoder"),
        (lambda folder: folder.mkdir(), "has neither open_clip_config.json nor config.json"),
        (lambda folder: None, "there is no folder"),
    ],
)
def test_what_is_no_dual_encoder_is_refused_and_writes_nothing(
    make, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "part")
    assert main(["new", "m", "--from", str(tmp_path / "part"), "-o", str(tmp_path / "m")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_a_name_of_no_library_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "m", "--from", "keras:clip", "-o", str(tmp_path / "m")]) == 2
    assert "choose among transformers, open_clip, timm" in capsys.readouterr().err


def test_where_images_and_texts_lie_is_measured_on_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    DUAL_ENCODERS["clip"](tmp_path / "part")
    folder = Path(__file__).parents[3] / "examples" / "images"
    words = ["new", "m", "--from", str(tmp_path / "part"), "--predictor", "scratch", "--images"]
    assert main([*words, str(folder), "-o", str(tmp_path / "m")]) == 0
    embedder = Embedder.from_pretrained(str(tmp_path / "m"))
    residual = embedder.model.config.residual
    rows = embedder.images(sorted(one for one in folder.iterdir() if one.suffix in (".jpg", ".png")))
    np.testing.assert_allclose(residual.image.mean, rows.mean(0), atol=1e-5)
    np.testing.assert_allclose(residual.image.std, rows.std(0), atol=1e-5)
    assert np.abs(np.array(residual.image.mean) - residual.text.mean).max() > 1e-3
    (tmp_path / "few").mkdir()
    images(tmp_path / "few")
    assert main([*words, str(tmp_path / "few"), "-o", str(tmp_path / "n")]) == 2
    assert "has 4 images that can be read, too few for a mean" in capsys.readouterr().err
    assert not (tmp_path / "n").exists()
