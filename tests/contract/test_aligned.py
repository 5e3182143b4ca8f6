"""A dual encoder by its name: the same similarities, probabilities and zero-shot classes as its library gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from eval.core.embedding import clip_frames
from tests.contract.hub_dual_encoders import DUAL_ENCODERS
from tests.contract.test_vision_towers_of_strangers import images
from tests.videos import write_video
from vljepa import VLJEPA, classify
from vljepa.backends import aligned
from vljepa.configs import RunConfig, validate
from vljepa.errors import ConfigError
from vljepa.inference.embed import Embedder
from vljepa.inference.vqa import ask
from vljepa.models.types import Latents

TEXTS = [
    "a cat sits on a red mat",
    "",
    "Katze, \u732b, \u043a\u043e\u0448\u043a\u0430, \U0001f408",
    "two dogs are running along the beach at sunset " * 30,
    "A CUP of coffee!",
    " pizza  on a\ttable ",
]
LABELS = ["cat", "cup of coffee", "rocket"]


def similarities(embedder: Embedder, paths: list[Path]) -> np.ndarray:
    return embedder.images(paths) @ embedder.texts(TEXTS).T


@pytest.mark.parametrize("name", DUAL_ENCODERS)
def test_similarities_are_the_library_s_own_alone_batched_and_after_a_save(name: str, tmp_path: Path) -> None:
    library, paths = DUAL_ENCODERS[name](tmp_path / "part"), images(tmp_path)
    wanted = (library.images([Image.open(path) for path in paths]) @ library.texts(TEXTS).T).numpy()
    assert np.ptp(wanted, axis=0).min() > 1e-3, "the control: images are told apart by every text"
    embedder = Embedder.from_pretrained(f"aligned:{tmp_path / 'part'}")
    np.testing.assert_allclose(similarities(embedder, paths), wanted, atol=1e-6)
    alone = np.concatenate([embedder.images([path]) for path in paths])
    texts = np.concatenate([embedder.texts([text]) for text in TEXTS])
    np.testing.assert_allclose(alone @ texts.T, wanted, atol=1e-6)
    asked = embedder.pairs(paths, ["what is it?"] * len(paths))
    assert np.array_equal(asked, embedder.pairs(paths, [""] * len(paths))), "no question changes what is not learned"
    embedder.model.save_pretrained(tmp_path / "thin")
    embedder.model.save_pretrained(tmp_path / "full", full=True)
    for folder in ("thin", "full"):
        again = Embedder.from_pretrained(str(tmp_path / folder))
        assert np.array_equal(similarities(again, paths), similarities(embedder, paths))


@pytest.mark.parametrize("name", DUAL_ENCODERS)
def test_probabilities_are_the_encoder_s_own(name: str, tmp_path: Path) -> None:
    library, paths = DUAL_ENCODERS[name](tmp_path / "part"), images(tmp_path)
    embedder = Embedder.from_pretrained(f"aligned:{tmp_path / 'part'}")
    texts = library.texts([f"a photo of a {label}." for label in LABELS])
    logits = library.scale * (library.images([Image.open(path) for path in paths]) @ texts.T).double()
    wanted = logits.softmax(-1) if library.bias is None else (logits + library.bias).sigmoid()
    found = classify(embedder.model, embedder.processor, paths, labels=LABELS)
    got = np.array([[one.probabilities[label] for label in LABELS] for one in found])
    np.testing.assert_allclose(got, wanted.numpy(), atol=1e-4)
    answers = library.texts(LABELS)
    chosen = (library.scale * (library.images([Image.open(path) for path in paths]) @ answers.T)).softmax(-1)
    for one, row in zip(
        ask(embedder.model, embedder.processor, paths, question="what?", choices=LABELS), chosen, strict=True
    ):
        assert [one.probabilities[label] for label in LABELS] == pytest.approx(row.tolist(), abs=1e-4)


def test_a_sigmoid_can_say_that_none_fits(tmp_path: Path) -> None:
    """Each label by itself: below a half it does not fit, whatever the others."""
    DUAL_ENCODERS["siglip2"](tmp_path / "part")
    embedder = Embedder.from_pretrained(f"aligned:{tmp_path / 'part'}")
    [path, *_] = images(tmp_path)
    calibration = embedder.model.config.calibration
    best = float((embedder.images([path]) @ embedder.names(LABELS).T).max())
    for shift, label in ((1.0, True), (-1.0, False)):
        calibration.pair.bias = shift - calibration.pair.scale * best  # the best label's logit is `shift`
        [one] = classify(embedder.model, embedder.processor, path, labels=LABELS, none=True)
        assert (one.label is not None) == label
        assert one.confidence == pytest.approx(1 / (1 + np.exp(-shift)), abs=1e-4)
        assert one.none == pytest.approx(1 - one.confidence)


def test_templates_are_those_of_open_clip_s_zero_shot_recipe(tmp_path: Path) -> None:
    DUAL_ENCODERS["open_clip_clip"](tmp_path / "part")
    paths = images(tmp_path)
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'part'}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'part'}")
    model.eval()
    weights = open_clip.build_zero_shot_classifier(
        model, tokenizer=tokenizer, classnames=LABELS, templates=open_clip.SIMPLE_IMAGENET_TEMPLATES, device="cpu"
    )
    with torch.no_grad():
        seen = model.encode_image(torch.stack([preprocess(Image.open(path)) for path in paths]), normalize=True)
    embedder = Embedder.from_pretrained(f"aligned:{tmp_path / 'part'}")
    templates = [template("{}") for template in open_clip.SIMPLE_IMAGENET_TEMPLATES]
    rows, wanted = embedder.images(paths), (seen @ weights).numpy()
    np.testing.assert_allclose(rows @ embedder.names(LABELS, templates=templates).T, wanted, atol=1e-6)
    assert np.abs(rows @ embedder.names(LABELS).T - wanted).max() > 1e-3, "the control: one template is another thing"
    chosen = [LABELS[number] for number in wanted.argmax(1)]
    found = classify(embedder.model, embedder.processor, paths, labels=LABELS, templates=templates)
    assert [one.label for one in found] == chosen
    with pytest.raises(ConfigError, match=r"the template 'a photo' has no \{\}"):
        classify(embedder.model, embedder.processor, paths, labels=LABELS, templates=["a photo"])


_ELSEWHERE = """
import sys, numpy as np
from vljepa.inference.embed import Embedder
embedder = Embedder.from_pretrained(sys.argv[1])
print(embedder.model.fingerprint())
np.save(sys.argv[2], embedder.images(sys.argv[3:]))
"""


def test_it_is_the_same_model_in_another_process(tmp_path: Path) -> None:
    """Fingerprints are equal, so that an index made in one process is taken in another."""
    DUAL_ENCODERS["clip"](tmp_path / "part")
    name, paths = f"aligned:{tmp_path / 'part'}", images(tmp_path)
    torch.manual_seed(5)
    here = Embedder.from_pretrained(name)
    words = [sys.executable, "-c", _ELSEWHERE, name, str(tmp_path / "rows.npy"), *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == here.model.fingerprint()
    np.testing.assert_allclose(np.load(tmp_path / "rows.npy"), here.images(paths), atol=1e-6)


def test_what_a_name_becomes_is_in_the_config(tmp_path: Path) -> None:
    library = DUAL_ENCODERS["siglip2"](tmp_path / "part")
    config = VLJEPA.from_pretrained(f"aligned:{tmp_path / 'part'}").config
    pair = config.calibration.pair
    assert pair is not None
    assert (pair.scale, pair.bias) == pytest.approx((library.scale, library.bias))
    assert config.calibration.classify == config.init_temperature == pytest.approx(1 / library.scale)
    assert config.max_logit_scale >= library.scale
    assert config.x_encoder.part.config == json.loads((tmp_path / "part" / "config.json").read_text())


def test_a_video_is_the_mean_of_its_frames_in_any_order(tmp_path: Path) -> None:
    """Frames through the encoder of images, which knows nothing of order and is not asked about it."""
    DUAL_ENCODERS["open_clip_clip"](tmp_path / "part")
    embedder = Embedder.from_pretrained(f"aligned:{tmp_path / 'part'}")
    paths = images(tmp_path)
    stills = [Image.open(path).convert("RGB").resize((64, 64)) for path in paths]
    film = write_video(tmp_path / "film.mp4", count=8, size=(64, 64), make=lambda number, size: stills[number // 2])
    pixels = embedder.read(film)
    assert pixels.shape[1] == 8, "as many frames as mini takes, unless asked for others"
    frames = [pixels[:, place : place + 1] for place in range(8)]
    pooled = torch.cat([embedder.encode([one]).pooled_BD for one in frames])
    wanted = torch.nn.functional.normalize(pooled.mean(0), dim=-1).numpy()
    np.testing.assert_allclose(embedder.images([film])[0], wanted, atol=1e-6)
    assert np.abs(embedder.pixels(frames[:1])[0] - wanted).max() > 1e-3, "the control: one frame is not the clip"
    with torch.no_grad():
        embedder.model.predictors()["predictor"].gate.value.fill_(0.5)
    turned = embedder.pixels([pixels.flip(1)])
    np.testing.assert_allclose(turned, embedder.pixels([pixels]), atol=1e-5)
    [one] = classify(embedder.model, embedder.processor, film, labels=LABELS, frames=2)
    assert one.label in LABELS
    with pytest.raises(ConfigError, match="needs a model of clips"):
        clip_frames(embedder)  # as the suites of order ask


def test_latents_of_a_clip_become_still_place_by_place() -> None:
    tokens = torch.arange(12.0).reshape(1, 6, 2)
    mask = torch.tensor([[True, True, False, True, True, False]])
    still = Latents(tokens, mask, pooled_BD=torch.ones(1, 2), steps=2).still()
    assert still.steps == 1
    assert torch.equal(still.tokens_BND[0, :2], (tokens[0, :2] + tokens[0, 3:5]) / 2)
    assert still.mask_BN.tolist() == [[True, True, False]]
    assert torch.equal(still.pooled_BD, torch.ones(1, 2))
    assert still.still() is still


def test_a_folder_of_any_spelling_and_a_revision_in_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "my models" / "clip@v2#1"
    folder.parent.mkdir()
    DUAL_ENCODERS["clip"](folder)
    assert VLJEPA.from_pretrained(f"aligned:{folder}").config.x_encoder.part.name == str(folder)
    with pytest.raises(ConfigError, match=r"revision = 'v2' beside .*@v2"):
        VLJEPA.from_pretrained("aligned:transformers:who/clip", revision="v2")


def test_patches_that_have_no_place_in_the_predictor_are_pooled(tmp_path: Path, monkeypatch) -> None:
    """What the encoder itself says is not touched; without it the first training step failed."""
    DUAL_ENCODERS["clip"](tmp_path / "part")
    paths, name = images(tmp_path), f"aligned:{tmp_path / 'part'}"
    before = Embedder.from_pretrained(name)
    monkeypatch.setitem(aligned.SCRATCH["part"]["config"], "max_position_embeddings", 22)
    after = Embedder.from_pretrained(name)
    assert (before.model.config.x_encoder.pool_grid, after.model.config.x_encoder.pool_grid) == (None, 1)
    assert np.array_equal(before.images(paths), after.images(paths))
    latents = after.encode([after.read(paths[0])])
    with torch.no_grad():
        after.model.predictors()["predictor"].gate.value.fill_(1.0)
        after.ask(latents, [(0, "what " * 200)])


def test_adapters_want_a_folder() -> None:
    raw = {"start": "aligned:transformers:who/clip", "lora": {}, "data": {"train": [{"name": "a", "path": "a.csv"}]}}
    with pytest.raises(ConfigError, match=r"adapters belong to a folder.*vljepa new"):
        validate(RunConfig, raw, where="test")


@pytest.mark.parametrize(("dtype", "precision"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_by_its_name_is_the_same_model(dtype: str, precision: torch.dtype, tmp_path: Path) -> None:
    """In half of the memory, and with the fingerprint of the weights as they were: an index fits."""
    DUAL_ENCODERS["siglip2"](tmp_path / "part")
    paths, name = images(tmp_path), f"aligned:{tmp_path / 'part'}"
    whole, half = Embedder.from_pretrained(name), Embedder.from_pretrained(name, dtype=dtype)
    assert {one.dtype for one in half.model.parameters()} == {precision}
    assert half.model.fingerprint() == whole.model.fingerprint()
    assert half.model.text_space_hash() == whole.model.text_space_hash()
    assert (half.images(paths) * whole.images(paths)).sum(1).min() > 0.99
    assert not np.array_equal(half.images(paths), whole.images(paths)), "the control: it is another arithmetic"
    with pytest.raises(ConfigError, match="there is no precision 'int8'"):
        Embedder.from_pretrained(name, dtype="int8")
