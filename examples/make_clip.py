"""Makes `examples/clip.mp4`: the example images under a slowly moving camera, with cuts and cross-fades between."""

from __future__ import annotations

from pathlib import Path

import av
from PIL import Image

HERE = Path(__file__).parent
SIZE, FPS = 256, 12
# Image, seconds, seconds of cross-fade into the next (0: a cut), and the camera's way as (x, y, zoom) from 0 to 1.
SCENES = [
    ("cat", 4.0, 0.0, (0.2, 0.5, 0.0), (0.6, 0.4, 0.5)),
    ("coffee", 3.5, 1.0, (0.5, 0.5, 0.6), (0.5, 0.5, 0.0)),
    ("lemons", 5.0, 0.0, (0.0, 0.6, 0.2), (1.0, 0.6, 0.2)),
    ("rocket", 3.5, 1.5, (0.4, 1.0, 0.3), (0.4, 0.0, 0.3)),
    ("astronaut", 4.5, 0.0, (0.5, 0.2, 0.4), (0.5, 0.2, 0.0)),
    ("pagoda", 3.0, 1.0, (1.0, 0.5, 0.1), (0.2, 0.5, 0.1)),
    ("flower", 4.0, 0.0, (0.5, 0.5, 0.0), (0.6, 0.5, 0.6)),
]


def view(image: Image.Image, start: tuple[float, ...], end: tuple[float, ...], share: float) -> Image.Image:
    """What the camera sees after a share of its way."""
    x, y, zoom = (a + (b - a) * share for a, b in zip(start, end, strict=True))
    side = min(image.size) * (1 - 0.5 * zoom)
    left, top = x * (image.width - side), y * (image.height - side)
    return image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))


def frames() -> list[Image.Image]:
    """All frames; a cross-fade belongs to both of its scenes."""
    made: list[Image.Image] = []
    overlap = 0
    for name, seconds, fade, start, end in SCENES:
        image = Image.open(HERE / "images" / f"{name}.jpg").convert("RGB")
        count = round(seconds * FPS)
        scene = [view(image, start, end, number / (count - 1)) for number in range(count)]
        for number in range(overlap):
            share = (number + 1) / (overlap + 1)
            made[number - overlap] = Image.blend(made[number - overlap], scene[number], share)
        made += scene[overlap:]
        overlap = round(fade * FPS)
    return made


def main() -> None:
    """Write the clip."""
    with av.open(str(HERE / "clip.mp4"), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "27", "preset": "veryslow", "g": str(4 * FPS)}
        for image in frames():
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())


if __name__ == "__main__":
    main()
