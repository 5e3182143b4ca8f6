"""Videos beside images in `ask`, `classify` and `caption`: which files are clips, and for which models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.videos import number_of, plain, write_video
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.checkpoint.clips import with_clips
from vljepa.configs import ClipsConfig, load_preset
from vljepa.errors import ConfigError, ImageError
from vljepa.inference.clips import VisualReader
from vljepa.inference.embed import Embedder

CLIPS = ClipsConfig(frames=4, max_frames=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """numbers.mp4 with 20 frames, moving.gif with three, still.gif and photo.png, and broken.mp4."""
    folder = tmp_path_factory.mktemp("visuals")
    write_video(folder / "numbers.mp4")
    images = [plain(number, (16, 16)) for number in (0, 9, 19)]
    images[0].save(folder / "moving.gif", save_all=True, append_images=images[1:], duration=100)
    images[0].save(folder / "still.gif")
    images[1].save(folder / "photo.png")
    (folder / "broken.mp4").write_bytes((folder / "numbers.mp4").read_bytes()[:300])
    return folder


@pytest.fixture(scope="module")
def models():
    images = VLJEPA(load_preset("toy")).eval()
    clips = with_clips(images, CLIPS)
    torch.nn.init.normal_(clips.predictor.clip_places.places)
    return images, clips


class Numbers:
    """A processor that hands the images on."""

    def __init__(self, config):
        self.config = config

    def images(self, images):
        return [["image"]]

    def frames(self, images):
        return torch.tensor([number_of(image) for image in images])


def test_a_video_is_read_as_the_middles_of_its_parts(models, folder):
    processor = Numbers(models[1].config)
    assert VisualReader(processor, clips=CLIPS)(folder / "numbers.mp4")[0].tolist() == [2, 7, 12, 17]
    assert VisualReader(processor, clips=CLIPS, frames=2)(folder / "numbers.mp4")[0].tolist() == [5, 15]


def test_a_video_of_one_frame_is_an_image(models, folder, tmp_path):
    write_video(tmp_path / "one.mp4", count=1)
    assert VisualReader(Numbers(models[1].config), clips=CLIPS)(tmp_path / "one.mp4") == [["image"]]
    write_video(tmp_path / "two.mp4", count=2)
    assert len(VisualReader(Numbers(models[1].config), clips=CLIPS)(tmp_path / "two.mp4")[0]) == 4, "the control"


def test_lengths_of_what_is_read(models, folder):
    read = VisualReader(VLJEPAProcessor(models[1].config), clips=CLIPS)
    for name, frames in {"numbers.mp4": 4, "moving.gif": 4, "still.gif": 1, "photo.png": 1}.items():
        assert read(folder / name).shape[:2] == (1, frames), name
    assert read(Image.open(folder / "photo.png")).shape[1] == 1


def test_a_model_of_images_refuses_videos_and_takes_the_first_frame_of_an_animation(models, folder):
    read = VisualReader(VLJEPAProcessor(models[0].config), clips=None)
    assert read(folder / "moving.gif").shape[1] == 1
    with pytest.raises(ImageError, match=r"is a video, and this model has learned from images.*model mini"):
        read(folder / "numbers.mp4")
    with pytest.raises(ImageError, match="no image"):
        read(folder / "nowhere.mp4")
    with pytest.raises(ConfigError, match="frames = 4 is for a model of clips"):
        VisualReader(read.processor, clips=None, frames=4)


@pytest.mark.parametrize("frames", [1, 7])
def test_frames_have_a_limit(models, frames):
    with pytest.raises(ConfigError, match=f"frames = {frames} is not from 2 to 6"):
        Embedder(models[1], VLJEPAProcessor(models[1].config), frames=frames)


def test_images_and_clips_go_together_and_broken_ones_are_left_out(models, folder):
    embedder = Embedder(models[1], VLJEPAProcessor(models[1].config))
    names = ["photo.png", "numbers.mp4", "broken.mp4", "still.gif", "moving.gif"]
    broken = []
    batches = embedder.batches([folder / name for name in names], on_broken=lambda one, error: broken.append(one.name))
    [(kept, rows_ND)] = list(batches)
    assert broken == ["broken.mp4"]
    assert [one.name for one in kept] == ["photo.png", "numbers.mp4", "still.gif", "moving.gif"]
    for path, row in zip(kept, rows_ND, strict=True):
        np.testing.assert_allclose(embedder.images([path])[0], row, atol=1e-5)
    backwards = folder / "backwards.gif"
    frames = [plain(number, (16, 16)) for number in (19, 9, 0)]
    frames[0].save(backwards, save_all=True, append_images=frames[1:], duration=100)
    assert np.abs(embedder.images([backwards])[0] - rows_ND[3]).max() > 1e-4, "the order of frames is seen"
