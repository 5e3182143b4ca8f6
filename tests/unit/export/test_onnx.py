"""ONNX files of a model: the same embeddings, any batch, weights inside; eight bits, and what they cost."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from tests.contract.hub_dual_encoders import DUAL_ENCODERS
from tests.unit.models.test_aligned import dual
from vljepa.cli.main import main
from vljepa.errors import CheckpointError
from vljepa.export import onnx as onnx_export
from vljepa.export.onnx import difference, export_onnx
from vljepa.export.quantized import Quantized, quantize_towers
from vljepa.export.samples import sample_images
from vljepa.export.towers import ImageTower, takes_questions, traceable
from vljepa.inference.embed import Embedder

CAT = Path(__file__).parents[3] / "examples" / "images" / "cat.jpg"


def run(file: Path, **inputs: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {name: one.numpy() for name, one in inputs.items()})[0]
    return found


def check(embedder: Embedder, folder: Path) -> None:
    """Files against the embedder, on real and made images in batches of any size."""
    images = [CAT, *sample_images()[:4]]
    pixels = embedder.processor.images(images)[:, 0]
    np.testing.assert_allclose(run(folder / "image.onnx", pixels=pixels), embedder.images(images), atol=1e-4)
    np.testing.assert_allclose(run(folder / "image.onnx", pixels=pixels[:1]), embedder.images(images[:1]), atol=1e-4)
    texts = ["a cat", "", "two dogs run along a beach at sunset in a far country", "Katze"]
    tokens = embedder.processor.targets(texts)
    rows = run(folder / "text.onnx", input_ids=tokens.ids_BL, attention_mask=tokens.mask_BL.long())
    np.testing.assert_allclose(rows, embedder.texts(texts), atol=1e-4)
    for file in folder.glob("*.onnx"):
        assert [one.version for one in onnx.load(file).opset_import if one.domain == ""] == [18]
    assert not list(folder.glob("*.data")), "weights are inside"


@pytest.mark.parametrize("name", ["clip", "siglip2", "open_clip_siglip", "metaclip2"])
def test_towers_of_a_dual_encoder_are_its_own(name: str, tmp_path: Path) -> None:
    DUAL_ENCODERS[name](tmp_path / "part")
    embedder = Embedder.from_pretrained(f"aligned:{tmp_path / 'part'}", device="cpu")
    written = export_onnx(embedder, tmp_path / "out")
    assert set(written.towers) == {"image", "text"}, "no question changes what was not learned"
    check(embedder, tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "onnx.json").read_text())
    assert facts["opset"] == 18
    assert facts["towers"]["text"]["difference"] < 1e-4
    assert list((tmp_path / "out" / "tokenizers" / "y_encoder").glob("*")), "texts can be prepared from the folder"


@pytest.mark.assets
def test_mini_with_its_questions_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["export", "mini", str(out), "--format", "onnx", "--int8", "--check", str(CAT)]) == 0
    said = capsys.readouterr()
    embedder = Embedder.from_pretrained("mini", device="cpu")
    check(embedder, out)
    questions = ["what animal is it?", "is it big, and what colour does it have?", ""]
    tokens, pixels = embedder.processor.queries(questions), embedder.processor.images([CAT] * 3)[:, 0]
    inputs = {"pixels": pixels, "query_ids": tokens.ids_BL, "query_mask": tokens.mask_BL.long()}
    wanted = embedder.pairs([CAT] * 3, questions)
    np.testing.assert_allclose(run(out / "image_query.onnx", **inputs), wanted, atol=1e-4)
    assert np.abs(wanted[0] - wanted[2]).max() > 0.01, "the control: a question changes the answer"
    small = run(out / "image.int8.onnx", pixels=pixels[:1])
    own = embedder.images([CAT])
    [cosine] = (small * own).sum(1) / np.linalg.norm(small, axis=1)
    assert cosine > 0.99
    assert (out / "text.int8.onnx").stat().st_size < 0.3 * (out / "text.onnx").stat().st_size
    [text] = re.findall(r"text\.int8\.onnx is not what the float file is: its least cosine is (0\.\d+)", said.err)
    assert 0.9 < float(text) < 0.999


def test_a_learned_part_goes_along(tmp_path: Path) -> None:
    """The gate is a number of the graph, and the model is what it was afterwards."""
    model = dual(gate=0.5)
    size = model.config.x_encoder.image.size
    assert size is not None
    pixels = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        wanted = model.predict(model.encode_vision(pixels[:, None]))
        own = model.predict(model.encode_vision(pixels[:, None]), ablate="learned")
    assert (wanted - own).abs().max() > 1e-2, "the control"
    gate = model.predictor.gate
    with traceable(model):
        tower = ImageTower(model, query=None).eval()
        torch.testing.assert_close(tower(pixels), wanted)
        onnx_export.write_onnx(
            tower, {"pixels": pixels}, tmp_path / "i.onnx", outputs=["o"], dynamic={"pixels": {0: "batch"}}
        )
    assert model.predictor.gate is gate
    np.testing.assert_allclose(run(tmp_path / "i.onnx", pixels=pixels[:2]), wanted[:2].numpy(), atol=1e-4)
    assert takes_questions(model)
    assert not takes_questions(dual())


def test_a_file_that_is_not_the_model_is_refused(tmp_path: Path) -> None:
    class Wrong(nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return rows + 2e-4

    rows = torch.zeros(2, 3)
    onnx_export.write_onnx(Wrong().eval(), {"rows": rows}, tmp_path / "w.onnx", outputs=["o"], dynamic={})
    assert difference(Wrong(), tmp_path / "w.onnx", [{"rows": rows}]) == 0
    with pytest.raises(CheckpointError, match=r"w\.onnx differs from the model by 2\.0e-04"):
        difference(nn.Identity(), tmp_path / "w.onnx", [{"rows": rows}])


def test_eight_bits_are_measured_against_the_float_file(tmp_path: Path) -> None:
    DUAL_ENCODERS["clip"](tmp_path / "part")
    embedder = Embedder.from_pretrained(f"aligned:{tmp_path / 'part'}", device="cpu")
    written = export_onnx(embedder, tmp_path / "out")
    images = sample_images()
    found = quantize_towers(embedder, tmp_path / "out", written.towers, images=images)
    pixels = embedder.processor.images(images)[:, 0]
    small, own = run(tmp_path / "out" / "image.int8.onnx", pixels=pixels), embedder.images(images)
    cosines = (small * own).sum(1) / np.linalg.norm(small, axis=1)
    assert found["image"].cosine == pytest.approx(cosines.min(), abs=1e-5)
    assert cosines.min() < 1 - 1e-7, "the control: it is another file"
    assert found["text"].megabytes < found["text"].float_megabytes


@pytest.mark.parametrize(("cosine", "faithful"), [(0.9991, True), (0.999, False), (0.99, False)])
def test_what_counts_as_faithful(cosine: float, faithful: bool) -> None:
    assert Quantized("f", cosine, 1, 2, 1, 2).is_faithful is faithful


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--int8"], "--int8 is for --format onnx, and this is vljepa"),
        (["--format", "immich", "--full"], "--full is for --format vljepa, and this is immich"),
        (["--format", "onnx", "--push-to", "a/b"], "--push-to is for --format hub"),
    ],
)
def test_options_of_another_format_are_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "mini", str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
