"""One way to embed: command line, Python, evaluation and training see the same frames and pixels of a file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from eval.core.embedding import EncodedFrames, EncodedImages, FileEmbedder, as_clips, joined, readable
from eval.core.suite import Found, read_suite
from eval.tasks import animations
from eval.tasks.questions_files import Question
from tests.conftest import write_rows
from tests.unit.eval.seer import context_of
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.checkpoint.clips import with_clips
from vljepa.cli.main import main
from vljepa.configs import ClipsConfig, VLJEPAConfig, load_preset, validate
from vljepa.data.images import LiveImages
from vljepa.data.records import Clip
from vljepa.errors import ConfigError
from vljepa.inference.embed import Embedder
from vljepa.models.types import Latents, Tokens
from vljepa.processing.video import read_frames
from vljepa.validation.encoder import Encoder

FRAMES = 4


def toy(*, clips: bool) -> VLJEPA:
    raw = load_preset("toy").model_dump(mode="json")
    raw["x_encoder"]["pool_grid"] = 2
    torch.manual_seed(0)
    model = VLJEPA.from_parts(validate(VLJEPAConfig, raw, where="test"))
    if clips:
        model = with_clips(model, ClipsConfig(frames=FRAMES, changes=1, grid=1))
        torch.nn.init.normal_(model.predictor.clip_changes.together.weight)
        torch.nn.init.normal_(model.predictor.clip_places.places)
    return model.eval()


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    model = toy(clips=True)
    return Embedder(model, VLJEPAProcessor(model.config))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A square that moves over a ground that changes: other frames are other images."""
    frames = []
    for step in range(12):
        image = Image.new("RGB", (64, 64), (20 * step, 255 - 20 * step, 90))
        image.paste((250, 250, 20), (4 * step, 24, 4 * step + 14, 38))
        frames.append(image)
    path = tmp_path_factory.mktemp("clip") / "clip.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=250, lossless=True)
    return path


def cosines(rows_ND: np.ndarray, row_D: np.ndarray) -> list[float]:
    return [float(one @ row_D) for one in rows_ND]


def test_one_clip_has_one_embedding_whoever_asks(
    embedder: Embedder, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [api] = embedder.images([clip])
    embedder.model.save_pretrained(tmp_path / "model")
    told: list[np.ndarray] = []
    whole = Embedder.embedded

    def embedded(self: Embedder, *args: Any, **given: Any) -> Any:
        for batch in whole(self, *args, **given):
            told.append(batch.rows)
            yield batch

    monkeypatch.setattr(Embedder, "embedded", embedded)
    assert main(["classify", str(clip), "--labels", "a square,a circle", "--model", str(tmp_path / "model")]) == 0
    [[cli]] = told
    [evaluation] = FileEmbedder(embedder, frames=FRAMES).embed([clip])
    encoder = Encoder(embedder.model, embedder.processor, images=LiveImages(embedder.processor))
    [training] = encoder.predictions([(Clip(clip, start=0.0, end=None, frames=FRAMES), "")])
    assert cosines(np.stack([cli, evaluation, training]), api) == pytest.approx([1, 1, 1], abs=1e-5)
    # The control: first and last frame included, as the evaluation once had it, is another embedding.
    others = [frame.image for frame in read_frames(clip, count=FRAMES, max_pixels=10**6)]
    [other] = embedder.pixels([embedder.processor.frames(others).unsqueeze(0)])
    assert float(other @ api) < 0.999


def test_a_suite_s_number_of_frames_counts_and_not_the_model_s(embedder: Embedder, clip: Path) -> None:
    [two] = FileEmbedder(embedder, frames=2).embed([clip])
    [wanted] = Embedder(embedder.model, embedder.processor, frames=2).images([clip])
    assert float(two @ wanted) == pytest.approx(1, abs=1e-5)
    assert float(two @ embedder.images([clip])[0]) < 0.999


def test_an_image_has_one_embedding_too(embedder: Embedder, tmp_path: Path) -> None:
    path = tmp_path / "upright.jpg"
    image = Image.new("RGB", (60, 40), "red")
    image.paste("blue", (0, 0, 20, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    image.save(path, exif=exif)
    encoder = Encoder(embedder.model, embedder.processor, images=LiveImages(embedder.processor))
    seen = [FileEmbedder(embedder).embed([path])[0], encoder.predictions([(path, "")])[0]]
    assert cosines(np.stack(seen), embedder.images([path])[0]) == pytest.approx([1, 1], abs=1e-5)


def test_what_the_product_refuses_is_not_scored(clip: Path, tmp_path: Path) -> None:
    model = toy(clips=False)
    images = Embedder(model, VLJEPAProcessor(model.config))
    with pytest.raises(ConfigError, match="frames = 4 is for a model of clips"):
        FileEmbedder(images, frames=4)
    with pytest.raises(ConfigError, match="2 images as one clip are for a model of clips"):
        FileEmbedder(images).embed([(clip, clip)])
    assert readable(FileEmbedder(images).embed([clip])).tolist() == [
        True
    ]  # an animation is its first frame, as in classify


def test_questions_and_clips_of_several_lengths_keep_their_order(
    embedder: Embedder, clip: Path, tmp_path: Path
) -> None:
    still = tmp_path / "still.png"
    Image.new("RGB", (32, 32), "green").save(still)
    pairs = [(clip, "a?"), (still, "b?"), (clip, ""), (still, "a?"), ((still, still), "b?")] + [(still, "c?")] * 70
    rows = FileEmbedder(embedder).ask(pairs)
    flat = [(one, query) for one, query in pairs if isinstance(one, Path)]
    alone = embedder.pairs([one for one, _ in flat], [query for _, query in flat])
    np.testing.assert_allclose(np.delete(rows, 4, axis=0), alone, atol=1e-5)
    assert np.abs(rows[4] - rows[1]).max() > 1e-4  # two frames, not one


class Elsewhere:
    """A model on a device from which nothing comes back unasked, and to which nothing goes unasked."""

    device = torch.device("meta")
    residual = None

    def __init__(self, embedder: Embedder) -> None:
        self.config, self.width = embedder.model.config, embedder.model.config.embed_dim

    def encode_vision(self, pixels: torch.Tensor) -> Latents:
        assert pixels.device == self.device
        tokens = torch.zeros(len(pixels), pixels.shape[1], 4, device=self.device)
        return Latents(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=self.device),
                       steps=pixels.shape[1])  # fmt: skip

    def predict(self, latents: Latents, query: Tokens) -> torch.Tensor:
        assert {one.device for one in (latents.tokens_BND, latents.mask_BN, query.ids_BL, query.mask_BL)} == {
            self.device
        }
        return torch.ones(len(query.ids_BL), self.width)


@pytest.fixture
def elsewhere(embedder: Embedder) -> Any:
    away = Embedder(embedder.model, embedder.processor)
    away.model = Elsewhere(embedder)  # type: ignore[assignment]
    away.device = torch.device("meta")
    away.texts = lambda texts: np.ones((len(texts), embedder.model.config.embed_dim), dtype=np.float32)  # type: ignore[method-assign]
    return away


def test_pixels_go_to_the_model_s_device(
    elsewhere: Any, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(animations, "clip_frames", lambda one: FRAMES)
    clips = EncodedFrames(elsewhere, [clip], frames=FRAMES)
    question = Question(clip, "which way?", ("left",), ("left", "right"))
    assert clips.ask([question], list(range(FRAMES))).shape == (1, elsewhere.model.width)
    write_rows(tmp_path / "animations.jsonl", [{"video": clip.name, "text": "a square"}])
    (tmp_path / clip.name).write_bytes(clip.read_bytes())
    found = Found(read_suite("mini_animations"), tmp_path, {"rows": tmp_path / "animations.jsonl"})
    assert animations.measure(context_of(found, elsewhere)).rows == 1
    assert readable(FileEmbedder(elsewhere, frames=FRAMES).embed([clip])).all()


def test_frozen_features_come_back_from_the_device(elsewhere: Any, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("eval.core.embedding.masked_mean", lambda tokens, mask: seen.append(tokens.device) or
                        torch.zeros(1, 3))  # fmt: skip
    elsewhere.read = lambda path: torch.zeros(1, 1, 3, 8, 8)
    assert EncodedImages(elsewhere, [clip]).features([clip]).shape == (1, 3)
    assert seen == [torch.device("meta")]


def test_what_is_encoded_once_is_asked_as_the_product_asks(
    embedder: Embedder, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encode once, ask many: kept encodings of images, and of a clip's frames, give the product's own rows."""
    still = tmp_path / "still.png"
    Image.new("RGB", (32, 32), "green").save(still)
    other = tmp_path / "other.png"
    Image.new("RGB", (32, 32), "blue").save(other)
    encoded, calls = [], embedder.model.encode_vision
    monkeypatch.setattr(embedder.model, "encode_vision", lambda pixels: encoded.append(len(pixels)) or calls(pixels))
    kept = EncodedImages(embedder, [still, other, still])
    pairs = [(other, "a?"), (still, ""), (still, "b?"), (other, "")] * 20
    rows = kept.ask(pairs)
    assert encoded == [2]
    alone = embedder.pairs([one for one, _ in pairs], [query for _, query in pairs])
    np.testing.assert_allclose(rows, alone, atol=1e-5)
    question = SimpleNamespace(image=clip, query="a?")
    [in_order] = EncodedFrames(embedder, [clip], frames=FRAMES).ask([question], list(range(FRAMES)))
    np.testing.assert_allclose(in_order, embedder.images([clip], query="a?")[0], atol=1e-5)


def test_joining_and_cutting_into_clips_keeps_the_embedding_of_a_dual_encoder() -> None:
    """The mean over the frames of each clip; it was lost, and with it all that an aligned model says."""
    parts = [Latents(torch.ones(2, 3, 4), torch.ones(2, 3).bool(), pooled_BD=torch.full((2, 5), float(one)))
             for one in (1, 3)]  # fmt: skip
    clips = as_clips(joined(parts).choose([0, 2, 1, 3]), steps=2)
    assert clips.tokens_BND.shape == (2, 6, 4)
    assert torch.equal(clips.pooled_BD, torch.full((2, 5), 2.0))
