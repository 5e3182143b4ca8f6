"""The folder for sentence-transformers: the same embeddings through it, and through LlamaIndex on top."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from PIL import Image
from sentence_transformers import SentenceTransformer

from tests.contract.hub_dual_encoders import DUAL_ENCODERS
from tests.videos import write_video
from vljepa.cli.main import main
from vljepa.inference.embed import Embedder

CAT = Path(__file__).parents[3] / "examples" / "images" / "cat.jpg"
TEXTS = ["a cat", "two dogs in a park"]


def export(model: str, folder: Path) -> None:
    assert main(["export", model, str(folder), "--format", "sentence-transformers"]) == 0


@pytest.mark.assets
def test_mini_with_texts_images_and_a_video(tmp_path: Path) -> None:
    export("mini", tmp_path / "out")
    with pytest.raises(ValueError, match="trust_remote_code"):
        SentenceTransformer(str(tmp_path / "out"), device="cpu")
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu", trust_remote_code=True)
    embedder = Embedder.from_pretrained("mini", device="cpu")
    assert model.modalities == ["text", "image", "video"]
    assert model.get_embedding_dimension() == embedder.model.config.embed_dim
    np.testing.assert_allclose(model.encode(TEXTS), embedder.texts(TEXTS), atol=1e-6)
    [own] = embedder.images([CAT])
    for given in (str(CAT), Image.open(CAT)):
        np.testing.assert_allclose(model.encode(given), own, atol=1e-6)
    clip = tmp_path / "clip.mp4"
    write_video(clip)
    np.testing.assert_allclose(model.encode(str(clip)), embedder.images([clip])[0], atol=1e-6)
    assert model.similarity(own, model.encode(["a cat", "a dog"]))[0].argmax() == 0
    model.save_pretrained(str(tmp_path / "again"))
    again = SentenceTransformer(str(tmp_path / "again"), device="cpu", trust_remote_code=True)
    assert np.array_equal(again.encode(TEXTS), model.encode(TEXTS))
    llama = HuggingFaceEmbedding(model_name=str(tmp_path / "out"), device="cpu", trust_remote_code=True)
    np.testing.assert_allclose(llama.get_text_embedding(TEXTS[0]), embedder.texts(TEXTS)[0], atol=1e-6)
    np.testing.assert_allclose(llama.get_query_embedding(TEXTS[1]), embedder.texts(TEXTS)[1], atol=1e-6)


@pytest.mark.parametrize(("name", "own"), [("clip", True), ("siglip2", False), ("open_clip_clip", False)])
def test_a_dual_encoder_needs_no_code_of_ours_where_the_library_has_its_own(
    name: str, own: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    DUAL_ENCODERS[name](tmp_path / "part")
    capsys.readouterr()
    export(f"aligned:{tmp_path / 'part'}", tmp_path / "out")
    types = [one["type"] for one in json.loads((tmp_path / "out" / "modules.json").read_text())]
    assert all(one.startswith("sentence_transformers.") for one in types) is own
    assert ("trust_remote_code=True" in capsys.readouterr().err) is not own
    assert ("trust_remote_code=True" in (tmp_path / "out" / "README.md").read_text()) is not own
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu", trust_remote_code=not own)
    embedder = Embedder.from_pretrained(f"aligned:{tmp_path / 'part'}", device="cpu")
    np.testing.assert_allclose(model.encode(TEXTS), embedder.texts(TEXTS), atol=1e-4)
    np.testing.assert_allclose(model.encode([Image.open(CAT)]), embedder.images([CAT]), atol=1e-4)
