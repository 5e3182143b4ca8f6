"""`--backend onnx`: the same embeddings, files that fit each other, one graph on disk for each set of weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import vljepa
from tests.contract.hub_dual_encoders import DUAL_ENCODERS
from tests.videos import write_video
from vljepa.cli.main import main
from vljepa.errors import ConfigError
from vljepa.export.samples import sample_images
from vljepa.inference.embed import Embedder

CAT = Path(__file__).parents[3] / "examples" / "images" / "cat.jpg"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own."""
    monkeypatch.setenv("VLJEPA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize("name", ["siglip2", "open_clip_clip"])
def test_a_dual_encoder_gives_the_same(name: str, home: Path, tmp_path: Path) -> None:
    DUAL_ENCODERS[name](tmp_path / "part")
    model = f"aligned:{tmp_path / 'part'}"
    torch_one, onnx_one = (vljepa.load(model, device="cpu", backend=one) for one in ("torch", "onnx"))
    write_video(tmp_path / "clip.mp4")
    images = [CAT, *sample_images()]
    np.testing.assert_allclose(onnx_one.encode(images=images), torch_one.encode(images=images), atol=1e-4)
    clip = str(tmp_path / "clip.mp4")
    np.testing.assert_allclose(onnx_one.encode(clip), torch_one.encode(clip), atol=1e-4)
    [file] = (home / "onnx").glob("*.onnx")
    assert onnx_one.model.fingerprint() == torch_one.model.fingerprint(), "an index of one fits the other"
    onnx_one.model.save_pretrained(tmp_path / "saved", full=True)
    saved = Embedder.from_pretrained(str(tmp_path / "saved"), device="cpu")
    assert np.array_equal(saved.images([CAT]), torch_one.encode(images=CAT))
    made = file.stat().st_mtime_ns
    again = vljepa.load(model, backend="onnx")
    again.encode(images=CAT)
    assert file.stat().st_mtime_ns == made, "written once"
    with torch.no_grad():
        next(again.model.x_encoder.parameters()).add_(0.1)
    changed = vljepa.load(model, backend="onnx")
    changed.model.x_encoder.load_state_dict(again.model.x_encoder.state_dict())
    changed.encode(images=CAT)
    assert len(list((home / "onnx").glob("*.onnx"))) == 2, "other weights are another file"


@pytest.mark.assets
def test_mini_classifies_indexes_and_searches_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for backend in ("torch", "onnx"):
        index = str(tmp_path / f"{backend}.index")
        for words in (
            ["classify", str(CAT), "--labels", "cat,dog,car", "--none"],
            ["index", str(CAT.parent), "-o", index],
            ["search", index, "a cat"],
        ):
            assert main([*words, "--backend", backend]) == 0
        said.append(capsys.readouterr().out.replace(backend, "B"))
    assert said[0] == said[1]
    assert "cat" in said[0]
    runtimes = [vljepa.load("mini", device="cpu", backend=one).model.x_encoder.runtime for one in ("torch", "onnx")]
    assert runtimes[0] is None
    assert runtimes[1] is not None
    questions = ["what is it?", ""]
    rows = [Embedder.from_pretrained("mini", device="cpu", backend=one).pairs([CAT] * 2, questions)
            for one in ("torch", "onnx")]  # fmt: skip
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "tensorrt"}, "there is no backend 'tensorrt'"),
        ({"backend": "onnx", "dtype": "bf16"}, "the backend 'onnx' runs on the CPU in float32"),
    ],
)
def test_what_it_cannot_do_is_refused(options: dict[str, str], message: str, tmp_path: Path) -> None:
    DUAL_ENCODERS["clip"](tmp_path / "part")
    with pytest.raises(ConfigError, match=message):
        vljepa.load(f"aligned:{tmp_path / 'part'}", **options)  # type: ignore[arg-type]
