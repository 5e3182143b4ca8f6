"""`vljepa export --format hub --push-to`: what is uploaded is a whole model that another machine loads from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.decoders import tiny_decoder
from tests.hub_uploads import UploadHub, upload_hub
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.checkpoint.decoder import save_decoder
from vljepa.configs import load_preset

CLI = "from vljepa.cli.main import main; import sys; sys.exit(main(sys.argv[1:]))"
LOAD = """
import json, sys
from vljepa import VLJEPA, VLJEPAProcessor
model, processor = VLJEPA.from_pretrained(sys.argv[1]), VLJEPAProcessor.from_pretrained(sys.argv[1])
rows = model.encode_text(processor.targets(["a cat on a desk", "two dogs"]))
words = processor.decode(model.generate(rows, num_beams=1, max_new_tokens=4))
print(json.dumps({"rows": rows.tolist(), "words": words, "fingerprint": model.fingerprint()}))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[UploadHub]:
    with upload_hub(tmp_path / "hub") as running:
        yield running


@pytest.fixture
def model(tmp_path: Path) -> VLJEPA:
    torch.manual_seed(0)
    made = VLJEPA(load_preset("toy")).eval()
    save_decoder(tiny_decoder(text_space=made.text_space_hash()), tmp_path / "decoder")
    made.load_decoder(tmp_path / "decoder")
    made.save_pretrained(tmp_path / "model")
    return made


def run(server: UploadHub, home: Path, code: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **server.environment(home), "HF_TOKEN": "hf_mine"}
    return subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True, timeout=300
    )


def test_an_uploaded_model_is_whole_and_has_a_card(server: UploadHub, model: VLJEPA, tmp_path: Path) -> None:
    done = run(
        server, tmp_path / "one", CLI, "export", str(tmp_path / "model"), str(tmp_path / "out"),
        "--format", "hub", "--push-to", "me/shapes", "--private",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"uploaded: {server.address}/me/shapes" in done.stderr
    assert [one["visibility"] for one in server.made] == ["private"]
    assert set(server.tokens) == {"Bearer hf_mine"}
    card = (server.folder / "me" / "shapes" / "README.md").read_text()
    assert 'vljepa.load("me/shapes")' in card
    assert "a Y-Decoder of its own" in card
    assert f"{model.config.embed_dim} numbers" in card
    loaded = run(server, tmp_path / "two", LOAD, "me/shapes")
    assert loaded.returncode == 0, loaded.stderr
    got = json.loads(loaded.stdout.splitlines()[-1])
    processor = VLJEPAProcessor.from_pretrained(tmp_path / "model")
    rows = model.encode_text(processor.targets(["a cat on a desk", "two dogs"]))
    assert torch.equal(torch.tensor(got["rows"]), rows)
    assert got["words"] == processor.decode(model.generate(rows, num_beams=1, max_new_tokens=4))
    assert got["fingerprint"] == model.fingerprint()


@pytest.mark.parametrize("name", ["me/shapes", "shapes"])
def test_a_hub_that_refuses_is_said_in_a_line(server: UploadHub, model: VLJEPA, tmp_path: Path, name: str) -> None:
    server.refuses = True
    words = ["export", str(tmp_path / "model"), str(tmp_path / "out"), "--format", "hub", "--push-to", name]
    done = run(server, tmp_path / "one", CLI, *words)
    assert done.returncode == 2
    message = "did not take 'me/shapes'" if "/" in name else "'shapes' names no repository"
    assert message in done.stderr
    assert "Traceback" not in done.stderr
