import numpy as np
import pytest
import torch
from PIL import Image

from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import CacheConfig, load_preset
from vljepa.data import features as module
from vljepa.data.features import FeatureCache
from vljepa.data.text_features import TextFeatures
from vljepa.errors import DataError


@pytest.fixture(scope="module")
def toy():
    model = VLJEPA(load_preset("toy"))
    return model.eval(), VLJEPAProcessor(model.config)


@pytest.fixture
def images(tmp_path):
    paths = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        pixels = np.random.default_rng(number).integers(0, 255, size=(40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        paths.append(path)
    return paths


@pytest.fixture
def cache_config(tmp_path):
    return CacheConfig(folder=str(tmp_path / "cache"), seed=3)


def open_cache(config, model):
    return FeatureCache(config, fingerprint=model.x_encoder_fingerprint())


def fill(cache, toy, wanted, **settings):
    return cache.fill(wanted, model=toy[0], processor=toy[1], **settings)


def test_cached_features_are_the_encoders_to_fp16(toy, images, cache_config):
    model, processor = toy
    assert fill(open_cache(cache_config, model), toy, dict.fromkeys(images, 2)) == {}
    cache = open_cache(cache_config, model)
    assert fill(cache, toy, dict.fromkeys(images, 2)) == {}
    with torch.no_grad():
        vision = model.encode_vision(processor.images(images))
    found = cache.read([(path, 0) for path in images]).latents
    torch.testing.assert_close(found.tokens_BND, vision.tokens_BND.half().float(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.logits_BK, vision.logits_BK.half().float(), rtol=1e-3, atol=1e-3)
    assert found.mask_BN.dtype == torch.bool
    assert found.mask_BN.all()


def test_augmented_views_differ_and_are_seeded(toy, images, cache_config, tmp_path):
    cache = open_cache(cache_config, toy[0])
    fill(cache, toy, {images[0]: 3})
    views = [cache.read([(images[0], view)]).latents.tokens_BND for view in range(3)]
    assert not torch.equal(views[0], views[1])
    assert not torch.equal(views[1], views[2])
    other = open_cache(cache_config.model_copy(update={"folder": str(tmp_path / "other")}), toy[0])
    fill(other, toy, {images[1]: 1, images[0]: 3})
    torch.testing.assert_close(other.read([(images[0], 2)]).latents.tokens_BND, views[2], rtol=1e-3, atol=1e-3)


def test_only_what_is_missing_is_encoded(toy, images, cache_config, tmp_path, monkeypatch):
    fill(open_cache(cache_config, toy[0]), toy, dict.fromkeys(images[:3], 1))
    copy = tmp_path / "copy.png"
    copy.write_bytes(images[0].read_bytes())
    images[1].write_bytes(images[4].read_bytes())
    seen = []
    original = VLJEPA.encode_vision
    monkeypatch.setattr(
        VLJEPA, "encode_vision", lambda self, pixels: (seen.append(len(pixels)), original(self, pixels))[1]
    )
    cache = open_cache(cache_config, toy[0])
    fill(cache, toy, {copy: 1, images[0]: 1, images[1]: 1, images[4]: 1, images[2]: 2})
    # New are: the content of image 4, once, though two files have it; and the second view of image 2.
    assert sum(seen) == 2
    same = cache.read([(copy, 0), (images[0], 0), (images[1], 0), (images[4], 0)]).latents.tokens_BND
    assert torch.equal(same[0], same[1])
    assert torch.equal(same[2], same[3])


def test_another_encoder_or_augmentation_is_refused(toy, images, cache_config):
    fill(open_cache(cache_config, toy[0]), toy, dict.fromkeys(images, 1))
    with pytest.raises(DataError, match=r"x_encoder = .* this run has 'other'"):
        FeatureCache(cache_config, fingerprint="other")
    with pytest.raises(DataError, match=r"min_scale = 0\.4, this run has 0\.5"):
        open_cache(cache_config.model_copy(update={"min_scale": 0.5}), toy[0])


def test_broken_and_missing_images_are_skipped_within_the_budget(toy, images, cache_config, tmp_path):
    broken, twin, missing = tmp_path / "broken.png", tmp_path / "twin.png", tmp_path / "missing.png"
    broken.write_bytes(images[0].read_bytes()[:60])
    twin.write_bytes(broken.read_bytes())
    wanted = dict.fromkeys([*images, broken, twin, missing], 1)
    skipped = fill(open_cache(cache_config, toy[0]), toy, wanted, max_skipped=0.5)
    assert set(skipped) == {broken, twin, missing}
    assert "not a readable image" in skipped[broken]
    with pytest.raises(DataError, match=r"of 8 images are unreadable, more than data\.max_skipped = 0\.3"):
        fill(open_cache(cache_config, toy[0]), toy, wanted, max_skipped=0.3)


def test_features_that_fp16_cannot_hold_are_refused(toy, images, cache_config, monkeypatch):
    original = VLJEPA.encode_vision

    def huge(self, pixels):
        vision = original(self, pixels)
        vision.tokens_BND[0, 0, 0] = 1e6
        return vision

    monkeypatch.setattr(VLJEPA, "encode_vision", huge)
    with pytest.raises(DataError, match="do not fit fp16"):
        fill(open_cache(cache_config, toy[0]), toy, dict.fromkeys(images, 1))


def test_loader_processes_change_nothing(toy, images, cache_config, tmp_path):
    found = []
    for workers in (0, 2):
        config = cache_config.model_copy(update={"folder": str(tmp_path / f"cache{workers}")})
        cache = open_cache(config, toy[0])
        fill(cache, toy, dict.fromkeys(images, 2), workers=workers)
        found.append(cache.read([(path, 1) for path in images]).latents.tokens_BND)
    assert torch.equal(*found)


def test_text_features_are_the_y_encoders(toy, tmp_path):
    model, processor = toy
    texts = ["a red fish", "a boat", "a red fish", "the longest text of them all, by far"]
    TextFeatures(tmp_path, config=model.config.y_encoder).fill(texts, model=model, processor=processor)
    again = TextFeatures(tmp_path, config=model.config.y_encoder)
    tokens = processor.targets(texts)
    with torch.no_grad():
        expected = model.text_features(tokens)
    torch.testing.assert_close(again.read(texts), expected, rtol=1e-4, atol=1e-5)
    changed = model.config.y_encoder.model_copy(update={"prefix": "query: "})
    with pytest.raises(DataError, match="y_encoder = "):
        TextFeatures(tmp_path, config=changed)


def test_logits_are_read_without_the_tokens(toy, images, cache_config, monkeypatch):
    cache = open_cache(cache_config, toy[0])
    fill(cache, toy, dict.fromkeys(images, 1))
    whole = cache.read([(path, 0) for path in images]).latents.logits_BK
    stacked = []
    original = module._stack
    monkeypatch.setattr(module, "_stack", lambda rows, name: (stacked.append(name), original(rows, name))[1])
    assert torch.equal(cache.logits(images), whole)
    assert stacked == ["vision_logits"]
