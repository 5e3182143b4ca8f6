"""A real small dual encoder, EfficientNet-lite0 and MiniLM behind trained heads, through all that there is to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoTokenizer, VisionTextDualEncoderModel

from recipes.mini.dual_encoder import assemble
from vljepa import VLJEPA
from vljepa.cli.main import main
from vljepa.inference.embed import Embedder
from vljepa.processing.image import open_image

pytestmark = pytest.mark.assets

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "examples" / "images"
NAMES = {
    "astronaut.jpg": "an astronaut",
    "cat.jpg": "a cat",
    "coffee.jpg": "a cup of coffee",
    "flower.jpg": "a flower",
    "lemons.jpg": "lemons",
    "pagoda.jpg": "a pagoda",
    "pizza.png": "a pizza",
    "rocket.jpg": "a rocket",
}
FILES = [IMAGES / name for name in NAMES]


@pytest.fixture(scope="module")
def dual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dual") / "lite0-minilm"
    assemble(folder, load_file(ROOT / "tests" / "assets" / "dual_heads.safetensors"))
    return folder


@pytest.fixture(scope="module")
def start(dual: Path) -> Path:
    """As `vljepa new` makes it."""
    folder = dual.parent / "start"
    assert main(["new", "lite0-minilm", "--from", str(dual), "-o", str(folder)]) == 0
    return folder


@torch.no_grad()
def test_it_is_the_library_s_own_model(dual: Path, start: Path) -> None:
    own = VisionTextDualEncoderModel.from_pretrained(dual).eval()
    processor, tokenizer = AutoImageProcessor.from_pretrained(dual), AutoTokenizer.from_pretrained(dual)
    images = [open_image(path, max_pixels=10**8) for path in FILES]
    seen = own.get_image_features(**processor(images=images, return_tensors="pt")).pooler_output
    said = own.get_text_features(**tokenizer(list(NAMES.values()), padding=True, return_tensors="pt")).pooler_output
    wanted = (F.normalize(seen, dim=-1) @ F.normalize(said, dim=-1).T).numpy()
    for name in (f"aligned:{dual}", str(start)):
        embedder = Embedder.from_pretrained(name)
        np.testing.assert_allclose(embedder.images(FILES) @ embedder.texts(list(NAMES.values())).T, wanted, atol=1e-6)


def test_it_knows_what_is_in_an_image(dual: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*map(str, FILES), "--labels", "cat,rocket,pizza,coffee,flower,lemons,pagoda,astronaut"]
    assert main(["classify", *words, "--model", f"aligned:{dual}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    right = sum(Path(one["image"]).stem == one["label"] for one in found)
    assert right >= 5, found  # one of eight by chance


def test_an_index_of_images_and_a_video_is_searched(dual: Path, tmp_path: Path, capsys) -> None:
    index, model = str(tmp_path / "my.index"), ("--model", f"aligned:{dual}")
    assert main(["index", str(IMAGES), str(ROOT / "examples" / "clip.mp4"), "-o", index, *model]) == 0
    capsys.readouterr()
    assert main(["search", index, "a cat", *model, "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)["hits"]
    assert {Path(one["path"]).name for one in hits[:2]} == {"cat.jpg", "clip.mp4"}, "the clip shows that image, too"


def test_it_learns_names_and_keeps_its_towers(start: Path, tmp_path: Path, capsys) -> None:
    for path in FILES:
        shutil.copyfile(path, tmp_path / path.name)
    rows = [f"{path},{name}" for path, name in NAMES.items()]
    for file in ("captions.csv", "validation.csv"):
        (tmp_path / file).write_text("image,text\n" + "\n".join(rows) + "\n", encoding="utf-8")
    words = [f"start={start}", f"data.root={tmp_path}", f"data.cache.folder={tmp_path / 'cache'}",
             f"train.output={tmp_path / 'run'}", "train.steps=6", "train.eval_every=3", "train.batch_size=8",
             "data.cache.views=1"]  # fmt: skip
    assert main(["train", "aligned_lora", *words]) == 0
    before, after = VLJEPA.from_pretrained(start), VLJEPA.from_pretrained(tmp_path / "run" / "last")
    assert before.text_space_hash() == after.text_space_hash()
    embedders = [Embedder.from_pretrained(str(one)) for one in (start, tmp_path / "run" / "last")]
    moved = (embedders[0].images(FILES) * embedders[1].images(FILES)).sum(1)
    assert moved.min() < 0.9999, "something was learned"
    assert moved.min() > 0.9, "and the start is held"


def test_it_gets_words_from_a_text_file(start: Path, tmp_path: Path, capsys) -> None:
    things = ("cat", "dog", "rocket", "pizza", "flower", "cup of coffee", "boat", "tree")
    texts = [f"a {thing} {place}" for thing in things for place in ("on a table", "in a field", "near a wall")]
    (tmp_path / "captions.txt").write_text("\n".join(texts), encoding="utf-8")
    words = [f"model={start}", f"data.root={tmp_path}", f"data.cache.folder={tmp_path / 'cache'}",
             f"train.output={tmp_path / 'words'}",
             "data.train=[{name: captions, path: captions.txt}]",
             "train.steps=120", "train.eval_every=120", "train.batch_size=16",
             "optim.warmup_steps=10", "vocabulary=120", "decoder.memory={size: 24, temperature: 0.02}"]  # fmt: skip
    assert main(["train-decoder", "aligned_decoder", *words]) == 0
    decoder = ("--decoder", str(tmp_path / "words" / "best"))
    capsys.readouterr()
    assert main(["caption", str(IMAGES / "cat.jpg"), str(IMAGES / "pizza.png"), "--model", str(start), *decoder,
                 "--json"]) == 0  # fmt: skip
    said = [one["caption"] for one in json.loads(capsys.readouterr().out)["captions"]]
    assert "cat" in said[0], said
    assert "cat" not in said[1], said
    clip = str(ROOT / "examples" / "clip.mp4")
    assert main(["stream", clip, "--model", str(start), *decoder, "--jsonl", "-"]) == 0
    segments = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(segments) >= 3, "the clip shows one thing after another"
