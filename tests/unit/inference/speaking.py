"""Stories in colours, told by frames."""

from PIL import Image

from vljepa.processing.video import Frame

NAMES = ["red", "green", "blue"]
COLOURS = dict(zip(NAMES, [(255, 0, 0), (0, 255, 0), (0, 0, 255)], strict=True))
STORY = [("red", 5.0), ("green", 4.0), ("blue", 3.0)]


def image(colour):
    return Image.new("RGB", (8, 6), COLOURS.get(colour, colour))


def story(scenes=STORY, *, fps=4.0, begin=0.0):
    """Frames of scenes (colour, seconds)."""
    number = 0
    for colour, seconds in scenes:
        for _ in range(round(seconds * fps)):
            yield Frame(image(colour), begin + number / fps, number)
            number += 1
