"""Draws clips: sprites with transparency over a photo, eight frames to an animated WebP."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from PIL import Image

from recipes.mini.clip_scenes import FRAMES, Scene
from recipes.mini.records import write_bytes

SIDE = 224
MILLISECONDS = 250


@dataclass(frozen=True, slots=True)
class Sprite:
    """A drawing with transparency, and what it shows."""

    source_id: str
    concept: str
    name: str
    kind: str
    image: Path
    license: str


@lru_cache(maxsize=512)
def _drawing(path: Path) -> Image.Image:
    with Image.open(path) as image:
        drawing = image.convert("RGBA")
    return drawing.crop(drawing.getchannel("A").point([0 if value < 16 else 255 for value in range(256)]).getbbox())


@lru_cache(maxsize=128)
def _photo(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def background(image: Path, random: Random, *, to: int = SIDE) -> Image.Image:
    """A square cut from a photo, mirrored or not, resized `to` pixels."""
    photo = _photo(image)
    side = round(min(photo.size) * random.uniform(0.6, 1))
    left, top = random.randint(0, photo.width - side), random.randint(0, photo.height - side)
    cut = photo.resize((to, to), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))
    return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else cut


def frames(scene: Scene, sprites: list[Sprite], behind: Image.Image) -> list[Image.Image]:
    """The frames of a scene, each as large as the background, a square."""
    images, side = [], behind.width
    for number in range(FRAMES):
        image = behind.copy()
        for sprite, track in reversed(list(zip(sprites, scene.tracks, strict=True))):
            pose = track[number]
            if pose is None:
                continue
            drawing = _drawing(sprite.image)
            scale = pose.size * side / max(drawing.size)
            size = (max(1, round(drawing.width * scale)), max(1, round(drawing.height * scale)))
            scaled = drawing.resize(size, Image.Resampling.LANCZOS)
            corner = (round(pose.x * side - size[0] / 2), round(pose.y * side - size[1] / 2))
            image.paste(scaled, corner, scaled)
        images.append(image)
    return images


def save_clip(images: list[Image.Image], target: Path) -> None:
    """Write frames as an animated WebP."""
    data = io.BytesIO()
    images[0].save(
        data,
        format="WEBP",
        save_all=True,
        append_images=images[1:],
        duration=MILLISECONDS,
        loop=0,
        quality=80,
        method=1,
        minimize_size=False,
        kmax=1,
        kmin=0,
    )
    write_bytes(target, data.getvalue())
