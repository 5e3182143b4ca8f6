"""From an RGB image to the pixels that an X-Encoder wants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from vljepa.backends.pixels import normalised
from vljepa.backends.resolve import COMMON
from vljepa.configs import ImageConfig
from vljepa.processing.image import ImageTransform


def gradient(width: int = 40, height: int = 20) -> Image.Image:
    x = np.linspace(0, 255, width, dtype=np.uint8)
    return Image.fromarray(np.stack([np.tile(x, (height, 1))] * 3, axis=-1))


def transform_of(**fields: Any) -> ImageTransform:
    return ImageTransform(ImageConfig(**{**COMMON, **fields}))


@pytest.mark.parametrize("resize", ["shortest_edge", "crop", "squash", "pad"])
def test_every_resize_rule_gives_the_size(resize: str) -> None:
    transform = transform_of(size=(24, 32), resize=resize)
    for size in ((40, 20), (20, 40), (7, 300), (1, 1)):
        assert transform(gradient(*size)).shape == (3, 24, 32)


def test_resize_rules_differ_as_they_say() -> None:
    wide = gradient(80, 20)
    plain = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "size": (20, 20)}
    rows = {rule: transform_of(resize=rule, **plain)(wide)[0] for rule in ("crop", "squash", "pad")}
    assert rows["squash"][10, 0] < 0.1
    assert rows["squash"][10, -1] > 0.9, "the whole width is there"
    assert 0.3 < rows["crop"][10, 0] < rows["crop"][10, -1] < 0.7, "the middle only"
    assert rows["pad"][0].max() == 0, "a border in the mean colour"
    closer = transform_of(resize="crop", crop_fraction=0.5, **plain)(wide)[0]
    assert closer[10, 0] > rows["crop"][10, 0], "a smaller cut is nearer to the centre"


def test_pixels_are_normalised() -> None:
    white = transform_of(size=(4, 4), mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 0.1))(Image.new("RGB", (9, 9), "white"))
    torch.testing.assert_close(white[:, 0, 0], torch.tensor([1.0, 3.0, 7.0]))


def test_a_view_is_a_function_of_its_seed_and_leaves_the_global_generator_alone() -> None:
    transform = transform_of(size=(16, 16))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    one = transform.view(gradient(), seed=7, min_scale=0.3, flip=True)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one, transform.view(gradient(), seed=7, min_scale=0.3, flip=True))
    others = [transform.view(gradient(), seed=seed, min_scale=0.3, flip=True) for seed in range(8, 14)]
    assert all(not torch.equal(one, other) for other in others)


def test_a_view_is_resized_with_the_config_s_filter() -> None:
    """It was bilinear whatever the config said, so that training saw other images than use."""
    views = {
        name: transform_of(size=(16, 16), interpolation=name).view(gradient(), seed=7, min_scale=0.3, flip=False)
        for name in ("nearest", "bilinear", "bicubic")
    }
    assert not torch.equal(views["bilinear"], views["bicubic"])
    assert not torch.equal(views["nearest"], views["bilinear"])


def test_shortest_edge_is_torchvision_s_resize_and_centre_cut() -> None:
    from torchvision.transforms import v2

    image = Image.effect_noise((301, 227), 80).convert("RGB")
    theirs = v2.CenterCrop(100)(v2.Resize(118, interpolation=v2.InterpolationMode.BICUBIC)(image))
    ours = transform_of(size=(100, 100), resize="shortest_edge", resize_to=118, mean=(0.0,) * 3, std=(1.0,) * 3)(image)
    torch.testing.assert_close(ours, v2.functional.to_dtype(v2.functional.to_image(theirs), torch.float32, scale=True))


def test_what_is_left_open_is_no_transform() -> None:
    with pytest.raises(AssertionError):
        ImageTransform(ImageConfig(size=(16, 16)))


class Computed(TorchDispatchMode):
    """Names of torch's operations, all of which may start threads of torch's own where they are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("mean", [(0.498039, 0.498039, 0.498039), (0.48145466, 0.4578275, 0.40821073)])
def test_pixels_are_those_of_torch_to_the_last_bit_without_its_threads(mean: tuple[float, float, float]) -> None:
    std = (0.501961, 0.26130258, 0.27577711)
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(np.stack([levels, levels.T, 255 - levels], axis=-1))
    with Computed() as computed:
        pixels = normalised(image, ImageConfig(**{**COMMON, "mean": mean, "std": std}))

    wanted = torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1) / 255.0
    wanted = (wanted - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    assert torch.equal(pixels, wanted)
    assert computed.names <= {"lift_fresh"}, "no more than taking the array over"
