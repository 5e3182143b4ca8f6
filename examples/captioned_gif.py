"""A video as a small GIF with the caption of each segment below it, and the change of meaning that ends one.

python examples/captioned_gif.py examples/clip.mp4 captioned.gif
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import vljepa
from vljepa.inference.stream_stats import StreamStats
from vljepa.processing.video import read_frames

WIDTH, HEIGHT, PLOT, WORDS = 400, 225, 40, 34
FPS = 1.5
INK, SOFT, ACCENT, WARM = "#1b1f27", "#c5cad4", "#2f5fd0", "#c9822b"


def main(video: Path, target: Path) -> None:
    """Look at the video once for its words and once for its frames."""
    stats = StreamStats()
    segments = list(vljepa.load("mini").stream(video, stats=stats))
    points = stats.signal.points()
    top = max([value for _, value in points] + [stats.threshold or 0.0]) * 1.1
    font, small = ImageFont.load_default(15), ImageFont.load_default(12)
    frames = []
    for frame in read_frames(video, fps=FPS, max_pixels=10_000_000):
        page = Image.new("RGB", (WIDTH, HEIGHT + WORDS + PLOT), "white")
        shown = frame.image.convert("RGB")
        shown.thumbnail((WIDTH, HEIGHT))
        page.paste(shown, ((WIDTH - shown.width) // 2, 0))
        draw = ImageDraw.Draw(page)
        segment = next((one for one in segments if one.start <= frame.time < one.end), segments[-1])
        draw.text((WIDTH / 2, HEIGHT + WORDS / 2), segment.text or "...", fill=INK, font=font, anchor="mm")

        def place(time: float, value: float) -> tuple[float, float]:
            return time / stats.duration * WIDTH, HEIGHT + WORDS + PLOT - 3 - value / top * (PLOT - 16)

        draw.line([place(*point) for point in points], fill=SOFT, width=2)
        draw.line([place(*point) for point in points if point[0] <= frame.time], fill=ACCENT, width=2)
        for one in segments[1:]:
            if one.start <= frame.time:
                x = place(one.start, 0)[0]
                draw.line([(x, HEIGHT + WORDS + 14), (x, page.height)], fill=WARM, width=2)
        decodes = sum(one.start <= frame.time for one in segments)
        about = f"change of meaning, {decodes} texts decoded in {frame.time:.0f} s"
        draw.text((4, HEIGHT + WORDS), about, fill=INK, font=small)
        frames.append(page.quantize(40, dither=Image.Dither.NONE))
    frames[0].save(target, save_all=True, append_images=frames[1:], duration=int(1000 / FPS), loop=0, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
