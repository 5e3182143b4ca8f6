"""Real images named, captioned, asked and searched by the shipped model, offline, on a CPU.

    python examples/quickstart.py [MODEL]

The model has never seen these images; where they come from is in images/LICENSES.md. MODEL is `mini` unless you
say otherwise.
"""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vljepa import VLJEPA, Index, VLJEPAProcessor, ask, caption, classify

IMAGES = Path(__file__).parent / "images"
CAPTIONS = [
    "a woman astronaut in an orange space suit",
    "the face of a tabby cat",
    "a cup of coffee on a saucer",
    "an orange flower in bloom",
    "a pile of yellow lemons",
    "a slice of pizza",
    "a Chinese temple by a lake",
    "a rocket on its launch pad at night",
    "a dog playing in the snow",
    "a train at a station",
    "people sitting at a table",
    "a red car on the street",
]
QUESTIONS = [
    ("cat.jpg", "what animal is it?", ["cat", "dog", "bird", "horse"]),
    ("lemons.jpg", "what colour is it?", ["red", "blue", "yellow", "black"]),
    ("coffee.jpg", "what is it?", ["cup", "chair", "car", "tree"]),
    ("rocket.jpg", "is there a dog in the picture?", ["yes", "no"]),
]
SEARCHES = ["something to drink", "a pet", "a building with a roof", "a slice of pizza"]


def main() -> None:
    """Describe, caption, ask and search, and print a table each."""
    name = sys.argv[1] if len(sys.argv) > 1 else "mini"
    model, processor = VLJEPA.from_pretrained(name), VLJEPAProcessor.from_pretrained(name)

    images = sorted(IMAGES.glob("*.*g"))
    described = table("described: the nearest of 12 captions", "image", "caption", "probability")
    for guess in classify(model, processor, images, labels=CAPTIONS):
        described.add_row(Path(guess.image).name, guess.label, f"{guess.confidence:.0%}")

    captioned = table("captioned, in its own words", "image", "caption", "confidence")
    decoder = model.y_decoder
    least = 0.2 if decoder is not None and decoder.config.choice.confidence is not None else 0.0
    for one in caption(model, processor, images, min_confidence=least) if decoder is not None else ():
        sure = "-" if one.confidence is None else f"{one.confidence:.0%}"
        captioned.add_row(Path(one.image).name, one.text or "(not sure enough to say)", sure)

    asked = table("asked", "image", "question", "choices", "answer", "probability")
    for image, question, choices in QUESTIONS:
        [answer] = ask(model, processor, IMAGES / image, question=question, choices=choices)
        asked.add_row(image, question, ", ".join(choices), answer.label, f"{answer.confidence:.0%}")

    searched = table("searched", "text", "nearest image", "cosine", "second", "cosine")
    index = Index.build(model, processor, IMAGES)
    for text in SEARCHES:
        first, second = index.search(text, k=2)
        searched.add_row(text, first.path, f"{first.score:.2f}", second.path, f"{second.score:.2f}")

    for result in (described, captioned, asked, searched):
        Console().print(result)


def table(title: str, *columns: str) -> Table:
    """Empty table with a title."""
    return Table(*columns, title=title, title_justify="left")


if __name__ == "__main__":
    main()
