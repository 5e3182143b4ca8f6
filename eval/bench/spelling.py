"""Do captions hold words that are none? ``python eval/run.py bench.spelling dictionary=FILE 'images=[FOLDER, ...]'``.

Against a dictionary that the decoder has not seen: one word per line, such as Debian's wamerican-large; several with
commas. Regular plurals and compounds of its words are words too, and the names of ImageNet's classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.core.console import log
from recipes.mini.spelling import is_word
from vljepa.inference.embed import Embedder
from vljepa.inference.words import stutters
from vljepa.processing.file_types import IMAGE_SUFFIXES
from vljepa.processing.taxonomy import Taxonomy
from vljepa.processing.words import words_of


def measure(*, images: Sequence[str], dictionary: str, limit: int = 2000, model: str = "mini") -> dict[str, Any]:
    """Caption images, and count words that are none and captions that repeat a pair of words.

    Args:
        images: Folders of images; of each as many, evenly spaced.
        dictionary: Files, with commas between them.
        limit: Images in all.
        model: Preset, folder or repository.
    """
    words = {word.strip().lower() for file in dictionary.split(",") for word in Path(file).read_text("utf-8").split()}
    words |= {word for name in Taxonomy.of("imagenet-1k").every_name() for word in words_of(name)}
    embedder = Embedder.from_pretrained(model, device="cpu")
    captions: list[str] = []
    counts: dict[str, int] = {}
    for folder in images:
        files = sorted(file for file in Path(folder).rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
        files = files[:: max(1, -(-len(files) * len(images) // limit))]
        counts[folder] = len(files)
        for batch in embedder.embedded(files, on_broken=lambda file, error: log(f"left out: {error}")):
            captions += [one.text for one in embedder.write(batch.rows, batch.classes)]
        log(f"{folder}: {len(files)} images")
    return {"model": model, "images": counts, **misspelt(captions, words)}


def misspelt(captions: Sequence[str], dictionary: set[str]) -> dict[str, Any]:
    """How many captions, distinct captions, stutters, and the words that are none, with how many captions hold each."""
    strange = Counter(word for caption in captions for word in set(words_of(caption)) if not is_word(word, dictionary))
    return {
        "captions": len(captions),
        "distinct": len(set(captions)),
        "stutters": sum(stutters(caption) for caption in captions),
        "words_that_are_none": dict(sorted(strange.items())),
    }
