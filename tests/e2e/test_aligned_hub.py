"""A dual encoder of the hub, over HTTP: index and search are two commands, and what cannot be had is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.contract.hub_dual_encoders import DUAL_ENCODERS, Library
from tests.contract.test_vision_towers_of_strangers import images, timm_vit
from tests.e2e.test_hub import run
from tests.hub_stand_in import Hub, hub

COMMAND = "import sys; from vljepa.cli.main import main; sys.exit(main(sys.argv[1:]))"
QUERY = "a cat sits on a red mat"


@pytest.fixture
def server() -> Iterator[Hub]:
    with hub() as running:
        yield running


def best(library: Library, paths: list[Path], query: str) -> list[tuple[str, float]]:
    """What the library itself finds, the best first."""
    cosines = (library.images([Image.open(path) for path in paths]) @ library.texts([query])[0]).tolist()
    return sorted(((path.name, cosine) for path, cosine in zip(paths, cosines, strict=True)), key=lambda one: -one[1])


@pytest.mark.parametrize(
    ("kind", "name", "repository"),
    [
        ("siglip2", "transformers:google/siglip2-base-patch16-224", "google/siglip2-base-patch16-224"),
        ("open_clip_clip", "open_clip:ViT-B-32/laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
    ],
)
def test_index_and_search_are_all(kind: str, name: str, repository: str, server: Hub, tmp_path: Path) -> None:
    library = DUAL_ENCODERS[kind](tmp_path / "part")
    (tmp_path / "photos").mkdir()
    paths = images(tmp_path / "photos")
    server.push(repository, tmp_path / "part")
    server.breaks = 1  # the first download of weights breaks off
    index, model = str(tmp_path / "my.index"), ("--model", f"aligned:{name}")
    done = run(server, tmp_path, COMMAND, "index", str(tmp_path / "photos"), "-o", index, *model)
    if done.returncode != 0:  # finished files are kept, and the same command goes on
        assert "could not be downloaded" in done.stderr or "cannot be reached" in done.stderr, done.stderr
        done = run(server, tmp_path, COMMAND, "index", str(tmp_path / "photos"), "-o", index, *model)
    assert done.returncode == 0, done.stderr
    assert server.breaks == 0
    asked = len(server.downloaded)
    found = run(server, tmp_path, COMMAND, "search", index, QUERY, *model, "--json")
    assert found.returncode == 0, found.stderr
    results = json.loads(found.stdout)["hits"]
    wanted = best(library, paths, QUERY)
    assert [Path(one["path"]).name for one in results] == [path for path, _ in wanted]
    assert [one["score"] for one in results] == pytest.approx([cosine for _, cosine in wanted], abs=1e-4)
    assert len(server.downloaded) == asked, "nothing is downloaded twice"


def test_a_folder_of_its_own_is_pinned_to_the_commit(server: Hub, tmp_path: Path) -> None:
    """The owner trains on: the folder answers what it did, and an index of the name says that the model is another."""
    DUAL_ENCODERS["clip"](tmp_path / "part")
    commit = server.push("who/clip", tmp_path / "part")
    (tmp_path / "photos").mkdir()
    paths = images(tmp_path / "photos")
    words = ("--from", "transformers:who/clip", "--predictor", "scratch")
    made = run(server, tmp_path, COMMAND, "new", "m", *words, "-o", str(tmp_path / "m"))
    assert made.returncode == 0, made.stderr
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["x_encoder"]["part"]["revision"] == config["y_encoder"]["part"]["revision"] == commit
    code = """
import sys, numpy as np
from vljepa.inference.embed import Embedder
np.save(sys.argv[2], Embedder.from_pretrained(sys.argv[1]).images(sys.argv[3:]))
"""
    files = [str(path) for path in paths]
    named = ("--model", "aligned:transformers:who/clip")
    index = ("index", str(tmp_path / "photos"), "-o", str(tmp_path / "my.index"))
    assert run(server, tmp_path, COMMAND, *index, *named).returncode == 0
    assert run(server, tmp_path, code, str(tmp_path / "m"), str(tmp_path / "before.npy"), *files).returncode == 0
    shutil.copytree(tmp_path / "part", tmp_path / "newer")
    weights = load_file(tmp_path / "newer" / "model.safetensors")
    changed = {name: one + 0.01 if name.startswith("vision") else one for name, one in weights.items()}
    save_file(changed, tmp_path / "newer" / "model.safetensors", metadata={"format": "pt"})
    server.push("who/clip", tmp_path / "newer")
    elsewhere = tmp_path / "elsewhere"  # an empty cache: what is loaded comes from the hub now
    assert run(server, elsewhere, code, str(tmp_path / "m"), str(tmp_path / "after.npy"), *files).returncode == 0
    np.testing.assert_array_equal(np.load(tmp_path / "before.npy"), np.load(tmp_path / "after.npy"))
    refused = run(server, elsewhere, COMMAND, "search", str(tmp_path / "my.index"), QUERY, *named)
    assert refused.returncode == 2
    assert "model" in refused.stderr


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda server, folder: server.gated.add("who/it"), "is gated"),
        (lambda server, folder: None, "there is no repository"),
        (lambda server, folder: (timm_vit(folder), server.push("who/it", folder)), "no dual encoder"),
        (
            lambda server, folder: (
                DUAL_ENCODERS["clip"](folder),
                (folder / "model.safetensors").unlink(),
                server.push("who/it", folder),
            ),
            "needs *.safetensors weights",
        ),
        (
            lambda server, folder: (
                DUAL_ENCODERS["clip"](folder),
                (folder / "preprocessor_config.json").unlink(),
                server.push("who/it", folder),
            ),
            "has no preprocessor_config.json",
        ),
    ],
    ids=["gated", "missing", "no dual encoder", "no weights", "no preprocessing"],
)
def test_what_cannot_be_had_is_said(prepare, said: str, server: Hub, tmp_path: Path) -> None:
    prepare(server, tmp_path / "part")
    backend = "timm" if said == "no dual encoder" else "transformers"
    images(tmp_path)
    done = run(server, tmp_path, COMMAND, "index", str(tmp_path), "-o", str(tmp_path / "i"),
               "--model", f"aligned:{backend}:who/it")  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "i").exists()
