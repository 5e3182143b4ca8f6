"""Models and parts from a hub, over HTTP: all that belongs to them comes, pinned to a commit, or a clear refusal.

Each case runs in a process of its own, with an empty cache and without the assets that `mini` is made of.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.contract.hub_text_towers import minilm, open_clip_clip
from tests.contract.test_vision_towers_of_strangers import siglip2, timm_vit
from tests.hub_stand_in import Hub, hub
from vljepa import VLJEPA, VLJEPAProcessor, caption
from vljepa.parts.folders import weights_sha256

ROOT = Path(__file__).parents[2]
CAT = ROOT / "examples" / "images" / "cat.jpg"


@pytest.fixture
def server() -> Iterator[Hub]:
    with hub() as running:
        yield running


def run(server: Hub, home: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python code in a process for which the stand-in is the hub."""
    environment = {**os.environ, **server.environment(home / "hf"), "VLJEPA_HOME": str(home / "vljepa")}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=300
    )


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.strip().splitlines()[-1])
    assert isinstance(said, dict)
    return said


EMBED = """
import json, sys
from vljepa import VLJEPA, VLJEPAProcessor, caption
model, processor = VLJEPA.from_pretrained(sys.argv[1]), VLJEPAProcessor.from_pretrained(sys.argv[1])
[said] = caption(model, processor, sys.argv[2])
texts = model.encode_text(processor.targets(["a cat on a desk", "two dogs"]))
queries = processor.queries(["what is it?"]).ids_BL.tolist()
print(json.dumps({"text": said.text, "queries": queries, "texts": texts.tolist()}))
"""


@pytest.mark.assets
def test_a_whole_model_from_the_hub_has_its_words_tokenizers_and_everything_else(server: Hub, tmp_path: Path) -> None:
    model, processor = VLJEPA.from_pretrained("mini"), VLJEPAProcessor.from_pretrained("mini")
    model.save_pretrained(tmp_path / "whole", full=True)
    assert (tmp_path / "whole" / "tokenizers" / "predictor" / "tokenizer.json").is_file()
    commit = server.push("someone/whole", tmp_path / "whole")
    got = answer(run(server, tmp_path, EMBED, "someone/whole", str(CAT)))
    [here] = caption(model, processor, CAT)
    assert got["text"] == here.text
    assert got["queries"] == processor.queries(["what is it?"]).ids_BL.tolist()
    wanted = model.encode_text(processor.targets(["a cat on a desk", "two dogs"]))
    assert torch.equal(torch.tensor(got["texts"]), wanted)
    assert set(server.asked) == {"someone/whole"}, "nothing else is needed"
    by_commit = EMBED.replace("(sys.argv[1])", f"(sys.argv[1], revision={commit!r})")
    assert answer(run(server, tmp_path / "again", by_commit, "someone/whole", str(CAT))) == got


@pytest.mark.assets
def test_a_whole_model_can_be_saved_whole_again_where_its_parts_are_not(server: Hub, tmp_path: Path) -> None:
    VLJEPA.from_pretrained("mini").save_pretrained(tmp_path / "whole", full=True)
    code = EMBED.replace("[said]", "model.save_pretrained(sys.argv[3], full=True); [said]")
    first = answer(run(server, tmp_path, code, str(tmp_path / "whole"), str(CAT), str(tmp_path / "second")))
    assert answer(run(server, tmp_path, EMBED, str(tmp_path / "second"), str(CAT))) == first
    assert server.asked == []


BUILD = """
import json, sys
from vljepa import VLJEPA
from vljepa.configs import VLJEPAConfig
text = {"part": sys.argv[2]}
config = VLJEPAConfig.model_validate({
    "x_encoder": {"part": sys.argv[1]}, "predictor": {"part": sys.argv[2] + "#0:1"}, "y_encoder": text, "embed_dim": 8,
})
model = VLJEPA.from_parts(config)
model.save_pretrained(sys.argv[3])
print(json.dumps(model.config.model_dump(mode="json")))
"""


def test_parts_are_pinned_to_their_commit_and_stay_what_they_were(server: Hub, tmp_path: Path) -> None:
    siglip2(tmp_path / "vision")
    minilm(tmp_path / "text")
    (tmp_path / "text" / "pytorch_model.bin").write_bytes(b"a pickle that nobody wants")
    vision, text = server.push("who/vision", tmp_path / "vision"), server.push("who/text", tmp_path / "text")
    built = answer(
        run(server, tmp_path, BUILD, "transformers:who/vision", "transformers:who/text", str(tmp_path / "m"))
    )
    for slot, commit in (("x_encoder", vision), ("predictor", text), ("y_encoder", text)):
        assert built[slot]["part"]["revision"] == commit  # type: ignore[index]
    assert built["x_encoder"]["image"]["interpolation"] == "bilinear"  # type: ignore[index]
    assert built["y_encoder"]["max_tokens"] == 64  # type: ignore[index]
    assert "who/text/pytorch_model.bin" not in server.downloaded
    assert "who/text/config.json" in server.downloaded
    # The owner trains on: the model still gets what it was made with.
    (tmp_path / "newer").mkdir()
    for file in (tmp_path / "text").iterdir():
        if file.is_file():
            (tmp_path / "newer" / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "text" / "model.safetensors")
    save_file({name: one + 1 for name, one in weights.items()}, tmp_path / "newer" / "model.safetensors")
    server.push("who/text", tmp_path / "newer")
    load = """
import json, sys
from vljepa import VLJEPA
print(json.dumps({"hash": VLJEPA.from_pretrained(sys.argv[1]).fingerprint()}))
"""
    fresh = answer(run(server, tmp_path / "other", load, str(tmp_path / "m")))
    assert fresh == answer(run(server, tmp_path, load, str(tmp_path / "m")))


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("open_clip:ViT-B-16-SigLIP2/webli", "timm/ViT-B-16-SigLIP2"),
        ("open_clip:who/clip", "who/clip"),
        ("timm:vit_base_patch16_siglip_224", "timm/vit_base_patch16_siglip_224.v2_webli"),
        ("timm:resnet18.a1_in1k", "timm/resnet18.a1_in1k"),
        ("timm:who/vit", "who/vit"),
    ],
)
def test_short_names_are_the_libraries_own(server: Hub, name: str, repository: str, tmp_path: Path) -> None:
    (open_clip_clip if name.startswith("open_clip") else timm_vit)(tmp_path / "part")
    commit = server.push(repository, tmp_path / "part")
    code = """
import json, sys
from vljepa.backends import part_folder
from vljepa.configs import PartSpec
print(json.dumps({"folder": str(part_folder(PartSpec.model_validate(sys.argv[1])))}))
"""
    assert str(answer(run(server, tmp_path, code, name))["folder"]).endswith(commit)
    assert set(server.asked) == {repository}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open_clip:ViT-B-32/nothing", r"no weights 'nothing' of 'ViT-B-32' on the hub"),
        ("timm:no_such_model", r"timm has no pretrained model 'no_such_model'"),
        ("transformers:who/gated", r"'who/gated' is gated"),
        ("transformers:who/nobody", r"no repository 'who/nobody' on the hub, or it is private"),
        ("transformers:who/text@v9", r"'who/text' has no revision 'v9'"),
    ],
)
def test_what_cannot_be_had_is_said_in_a_sentence(server: Hub, name: str, message: str, tmp_path: Path) -> None:
    minilm(tmp_path / "text")
    server.push("who/text", tmp_path / "text")
    server.gated.add("who/gated")
    code = """
import sys
from vljepa.backends import part_folder
from vljepa.configs import PartSpec
part_folder(PartSpec.model_validate(sys.argv[1]))
"""
    done = run(server, tmp_path, code, name)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert re.search(f"PartError: .*{message}.* Fix: ", last), last


def test_a_gated_model_is_refused_by_the_command_line_in_a_sentence(server: Hub, tmp_path: Path) -> None:
    server.gated.add("who/model")
    code = "from vljepa.cli.main import main; import sys; sys.argv[0] = 'vljepa'; sys.exit(main())"
    done = run(server, tmp_path, code, "classify", str(CAT), "--labels", "a,b", "--model", "who/model")
    assert done.returncode != 0
    assert "is gated" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_download_that_breaks_off_goes_on(server: Hub, tmp_path: Path) -> None:
    """The client tries again by itself, from where it was; what is there in the end is whole."""
    minilm(tmp_path / "text")
    server.push("who/text", tmp_path / "text")
    server.breaks = 1
    code = """
import json, sys
from vljepa.backends import part_folder
from vljepa.configs import PartSpec
from vljepa.parts.folders import weights_sha256
print(json.dumps({"hash": weights_sha256(part_folder(PartSpec.model_validate("transformers:who/text")))}))
"""
    done = run(server, tmp_path, code)
    if done.returncode != 0:
        assert "could not be downloaded" in done.stderr
        done = run(server, tmp_path, code)
    assert answer(done)["hash"] == weights_sha256(tmp_path / "text")
    assert server.breaks == 0
