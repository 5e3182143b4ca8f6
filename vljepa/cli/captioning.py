"""What `caption` and open `ask` share: run over the images that the words stand for, print what was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vljepa.cli.addresses import Fetched
from vljepa.cli.output import note_passed_over, note_skipped, print_json, print_table, progress

if TYPE_CHECKING:
    from vljepa.errors import ImageError
    from vljepa.inference.caption import Caption
    from vljepa.processing.processor import ImageInput

Skipped = list[tuple[str, str]]


def caption_all(
    words: Sequence[str],
    *,
    query: str,
    model: str,
    decoder: str | None,
    device: str | None,
    dtype: str | None,
    frames: int | None,
    min_confidence: float = 0.0,
    allow_urls: bool = False,
    **options: Any,
) -> tuple[list[Caption], Skipped]:
    """Load the model, describe all images, and return captions and the skipped images with reasons.

    Raises:
        VLJEPAError: No such image, model, decoder or device, or not one image that can be read.
    """
    from vljepa.inference.caption import captions
    from vljepa.inference.embed import Embedder
    from vljepa.inference.images import expand

    fetched = Fetched(words, allowed=allow_urls)
    found_files = expand(fetched.words)
    files = found_files.files
    embedder = Embedder.from_pretrained(model, device=device, dtype=dtype, decoder=decoder, frames=frames)
    broken: list[tuple[ImageInput, ImageError]] = []
    with progress("looking at images", total=len(files)) as advance:
        found = list(
            captions(
                embedder,
                files,
                query=query,
                min_confidence=min_confidence,
                progress=advance,
                on_broken=lambda image, error: broken.append((image, error)),
                **options,
            )
        )
    if not found:
        raise broken[0][1]
    skipped = [*fetched.skipped, *((fetched.name(str(image)), error.message) for image, error in broken)]
    note_skipped(skipped, total=len(files) + len(fetched.skipped))
    note_passed_over(found_files.passed_over, what="images")
    return [replace(one, image=fetched.name(one.image)) for one in found], skipped


def print_words(found: Sequence[Caption], *, name: str) -> None:
    """Captions as a table; `name` is what its words are called."""
    sure = [f"{one.agreement:.2f}" if one.confidence is None else f"{one.confidence:.0%}" for one in found]
    fitted = any(one.confidence is not None for one in found)
    rows = [[one.image, one.text or "-", how] for one, how in zip(found, sure, strict=True)]
    print_table(columns=["image", name, "confidence" if fitted else "agreement"], rows=rows)


def print_words_json(found: Sequence[Caption], skipped: Skipped, *, name: str, **about: str) -> None:
    """Captions as one JSON document that begins with what it is about."""
    results = [
        {"image": one.image, name: one.text, "confidence": one.confidence, "agreement": one.agreement} for one in found
    ]
    unread = [{"path": path, "reason": why} for path, why in skipped]
    print_json({**about, f"{name}s": results, "skipped": unread})
