"""What the feature cache keeps of clips, of clips backwards, and of images shown as clips."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.conftest import write_rows
from tests.contract.vision_classes import vision_models
from tests.videos import number_of, plain, write_video
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import (
    CacheConfig,
    ClipView,
    PartSpec,
    SourceConfig,
    StillView,
    XEncoderConfig,
    load_preset,
)
from vljepa.data.collate import Collator, StepBatches
from vljepa.data.contents import content_of
from vljepa.data.features import FeatureCache
from vljepa.data.images import LiveImages, clip_images, visual_frames
from vljepa.data.records import Clip, Record, Still
from vljepa.data.sampling import StepSampler
from vljepa.data.sources import load_source
from vljepa.errors import DataError

IMAGES = Path(__file__).parents[3] / "examples" / "images"
CAP = 1_000_000


@pytest.fixture
def cache_config(tmp_path):
    return CacheConfig(folder=str(tmp_path / "cache"), seed=3)


def open_cache(config, model):
    return FeatureCache(config, fingerprint=model.x_encoder_fingerprint())


def test_cached_clips_are_the_encoder_s_to_fp16(toy, numbers, cache_config, tmp_path):
    model, processor = toy
    clip = Clip(numbers, start=0.0, end=None, frames=4)
    plain(3, (40, 40)).save(tmp_path / "photo.png")
    cache = open_cache(cache_config, model)
    assert cache.fill({clip: 3, tmp_path / "photo.png": 1}, model=model, processor=processor) == {}
    expected = model.encode_vision(processor.frames(clip_images(clip, view=0, max_pixels=CAP))[None])
    found = cache.read([(clip, 0), (clip, 1), (clip, 2)]).latents
    torch.testing.assert_close(found.tokens_BND[:1], expected.tokens_BND, rtol=1e-3, atol=1e-3)
    assert not torch.equal(found.tokens_BND[0], found.tokens_BND[1])
    assert not torch.equal(found.tokens_BND[1], found.tokens_BND[2])
    photo = cache.read([(tmp_path / "photo.png", 0)]).latents.tokens_BND
    assert found.tokens_BND.shape[1] == 4 * photo.shape[1]
    assert found.steps == expected.steps == 4
    assert cache.read([(tmp_path / "photo.png", 0)]).latents.steps == 1
    again = open_cache(cache_config, model)
    assert again.fill({clip: 3}, model=model, processor=processor) == {}
    assert torch.equal(again.read([(clip, 2)]).latents.tokens_BND[0], found.tokens_BND[2])


def frames_of(clip):
    return [number_of(image) for image in clip_images(clip, view=0, max_pixels=CAP)]


@pytest.mark.parametrize("backwards_first", [False, True])
def test_a_clip_runs_backwards_without_being_encoded_anew(toy, numbers, cache_config, tmp_path, backwards_first):
    model, processor = toy
    row = {"video": str(numbers.name), "text": "x"}
    write_rows(numbers.parent / "rows.jsonl", [row, row | {"backwards": True}])
    source = SourceConfig(name="s", path="rows.jsonl", view=ClipView(frames=4))
    clip, turned = (record.image for record in load_source(source, root=numbers.parent))
    assert frames_of(turned) == frames_of(clip)[::-1]
    assert str(turned) == f"{clip} backwards"
    expected = model.encode_vision(processor.frames(clip_images(turned, view=0, max_pixels=CAP))[None])
    cache = open_cache(cache_config, model)
    for visuals in ((turned,), (clip,)) if backwards_first else ((clip, turned), (turned,)):
        cache.fill(dict.fromkeys(visuals, 1), model=model, processor=processor)
    assert len(list((tmp_path / "cache" / "vision").glob("*.arrow"))) == 1
    got = cache.read([(turned, 0)]).latents.tokens_BND
    torch.testing.assert_close(got, expected.tokens_BND, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(got, cache.read([(clip, 0)]).latents.tokens_BND, atol=1e-2), "the control"
    assert content_of(clip, {}) != content_of(turned, {}), "what an encoder that joins frames has to encode"


@pytest.fixture
def still(tmp_path):
    """The example images as clips of three frames, as a source gives them."""
    write_rows(tmp_path / "rows.jsonl", [{"image": path.name, "text": "x"} for path in sorted(IMAGES.glob("*.jpg"))])
    source = SourceConfig(name="s", path="rows.jsonl", root=str(IMAGES), view=StillView(frames=3))
    stills = [record.image for record in load_source(source, root=tmp_path)]
    assert stills[0] == Still(sorted(IMAGES.glob("*.jpg"))[0], frames=3)
    assert str(stills[0]) == str(stills[0].image), "the same image by its source_id"
    return stills[0]


def test_a_still_clip_is_the_image_seen_often_and_encoded_once(toy, cache_config, tmp_path, still):
    model, processor = toy
    frames = visual_frames(still, max_pixels=CAP)
    assert len(frames) == 3
    expected = model.encode_vision(processor.frames(frames)[None])
    live = LiveImages(processor).read([(still, 0)]).pixels_BTCHW
    assert torch.equal(live, processor.frames(frames)[None])
    cache = open_cache(cache_config, model)
    cache.fill({still.image: 2}, model=model, processor=processor)
    cache.fill({still: 2}, model=model, processor=processor)
    assert len(list((tmp_path / "cache" / "vision").glob("*.arrow"))) == 1
    assert cache.contents[still] == cache.contents[still.image], "so that it is found in both training and validation"
    got = cache.read([(still, 0), (still, 1)]).latents
    torch.testing.assert_close(got.tokens_BND[:1], expected.tokens_BND, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(got.logits_BK[:1], expected.logits_BK, rtol=1e-2, atol=1e-2)
    assert torch.equal(got.mask_BN[:1], expected.mask_BN)
    assert got.steps == expected.steps == 3
    assert not torch.equal(*got.tokens_BND), "views of stills are those of the image"
    assert cache.read([(still.image, 0)]).latents.steps == 1, "the control"


def test_an_encoder_that_joins_frames_encodes_a_still_clip_as_one(cache_config, tmp_path, still):
    config = load_preset("toy")
    part = PartSpec(backend="transformers", name="tiny", source="random", config=vision_models()["vjepa2"][1])
    config.x_encoder = XEncoderConfig(part=part, min_frames=2, image=config.x_encoder.image)
    config.x_encoder.image.size = (32, 32)
    config.residual = None
    model, still = VLJEPA(config), replace(still, frames=4)
    cache = open_cache(cache_config, model)
    cache.fill({still: 1}, model=model, processor=VLJEPAProcessor(config))
    frames = VLJEPAProcessor(config).frames(visual_frames(still, max_pixels=CAP))
    expected = model.encode_vision(frames[None])
    got = cache.read([(still, 0)]).latents
    torch.testing.assert_close(got.tokens_BND, expected.tokens_BND, rtol=1e-2, atol=1e-2)
    assert got.steps == expected.steps == 2
    assert cache.contents[still] != content_of(still.image, {})


def test_a_visit_to_a_live_still_clip_is_the_plain_image(toy, still):
    record = Record(still, texts=("x",), source_id="v", source="a")
    config = SourceConfig(name="a", path="a", view=StillView(frames=3))
    sampler = StepSampler([2], weights=[1.0], names=["a"], batch_size=2, seed=0)
    collator = Collator(toy[1], images=LiveImages(toy[1]))
    live = StepBatches([[record] * 2], configs=[config], sampler=sampler, collator=collator, views=1, clip_views=2**31)
    pixels = live[3][0].batch.pixels_BTCHW
    assert pixels.shape[:2] == (2, 3)
    assert torch.equal(pixels[0], pixels[1])


def test_only_clips_that_are_not_there_are_encoded(toy, numbers, cache_config, tmp_path, monkeypatch):
    copy = Path(shutil.copy(numbers, tmp_path / "copy.mp4"))
    encoded = []
    original = VLJEPA.encode_vision
    monkeypatch.setattr(
        VLJEPA, "encode_vision", lambda self, pixels: (encoded.append(pixels.shape[:2]), original(self, pixels))[1]
    )

    def fill(*clips):
        encoded.clear()
        cache = open_cache(cache_config, toy[0])
        cache.fill(dict.fromkeys(clips, 1), model=toy[0], processor=toy[1])
        return sum(count for count, _ in encoded)

    first = Clip(numbers, start=0.0, end=1.0, frames=4)
    assert fill(first) == 1
    assert fill(first) == 0
    assert fill(Clip(copy, start=0.0, end=1.0, frames=4)) == 0, "the same content under another name"
    others = [
        Clip(numbers, start=0.5, end=1.0, frames=4),
        Clip(numbers, start=0.0, end=None, frames=4),
        Clip(numbers, start=0.0, end=1.0, frames=2),
    ]
    assert fill(first, *others) == 3
    write_video(copy, count=15)
    assert fill(Clip(copy, start=0.0, end=1.0, frames=4)) == 1, "a changed video is encoded anew"


def test_a_folder_of_frames_is_known_by_its_frames(toy, cache_config, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(4):
        plain(number, (16, 16)).save(folder / f"{number}.png")
    clip = Clip(folder, start=0.0, end=None, frames=2)
    caches = []
    for _ in range(2):
        caches.append(open_cache(cache_config, toy[0]))
        assert caches[-1].fill({clip: 1}, model=toy[0], processor=toy[1]) == {}
        plain(9, (16, 16)).save(folder / "1.png")
    assert caches[0].contents != caches[1].contents


def test_broken_clips_are_skipped_within_the_budget(toy, numbers, cache_config, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(numbers.read_bytes()[:300])
    good, *bad = (
        Clip(path, start=start, end=None, frames=2)
        for path, start in [
            (numbers, 0.0),
            (tmp_path / "broken.mp4", 0.0),
            (tmp_path / "none.mp4", 0.0),
            (numbers, 9.0),
        ]
    )
    wanted = dict.fromkeys([good, *bad], 1)
    skipped = open_cache(cache_config, toy[0]).fill(wanted, model=toy[0], processor=toy[1], max_skipped=0.8)
    assert set(skipped) == set(bad)
    assert "no frame from 9 s" in skipped[bad[2]]
    with pytest.raises(DataError, match=r"3 of 4 images are unreadable.*broken\.mp4"):
        open_cache(cache_config, toy[0]).fill(wanted, model=toy[0], processor=toy[1], max_skipped=0.5)
