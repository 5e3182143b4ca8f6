"""What `classify` and `ask` share: run over the images that the words stand for, print the chosen candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vljepa.cli.addresses import Fetched
from vljepa.cli.output import note_passed_over, note_skipped, print_table, progress
from vljepa.errors import ConfigError, DataError

if TYPE_CHECKING:
    from vljepa.errors import ImageError
    from vljepa.inference.candidates import Prediction
    from vljepa.processing.processor import ImageInput

NONE = "none of these"
"""In a table, what is chosen where no candidate is."""


def choose_over(
    words: Sequence[str],
    *,
    model: str,
    device: str | None,
    dtype: str | None,
    frames: int | None,
    call: Callable[..., list[Prediction]],
    backend: str = "torch",
    allow_urls: bool = False,
    **arguments: Any,
) -> tuple[list[Prediction], list[tuple[str, str]]]:
    """Load the model, run `call` over all images, and return predictions and the skipped images with reasons.

    Raises:
        VLJEPAError: No such image, model or device, or not one image that can be read.
    """
    from vljepa.inference.embed import Embedder
    from vljepa.inference.images import expand

    fetched = Fetched(words, allowed=allow_urls)
    found = expand(fetched.words)
    files = found.files
    embedder = Embedder.from_pretrained(model, device=device, dtype=dtype, frames=frames, backend=backend)
    broken: list[tuple[ImageInput, ImageError]] = []
    with progress("looking at images", total=len(files)) as advance:
        predictions = call(
            embedder.model,
            embedder.processor,
            files,
            frames=frames,
            progress=advance,
            on_broken=lambda image, error: broken.append((image, error)),
            **arguments,
        )
    if not predictions:
        raise broken[0][1]
    skipped = [*fetched.skipped, *((fetched.name(str(image)), error.message) for image, error in broken)]
    note_skipped(skipped, total=len(files) + len(fetched.skipped))
    note_passed_over(found.passed_over, what="images")
    return [replace(one, image=fetched.name(one.image)) for one in predictions], skipped


def listed(text: str | None, file: Path | None, *, option: str, verb: str) -> list[str]:
    """Entries of a comma-separated option, or the lines of a file.

    Args:
        text: The option's value.
        file: UTF-8; empty lines do not count.
        option: The option's name; that of the file ends in `-file`.
        verb: Whose options they are.

    Raises:
        ConfigError: Both or neither is given.
        DataError: The file cannot be read, is not UTF-8, names nothing, or one entry in two lines.
    """
    if text is None and file is None:
        raise ConfigError(f"missing option {option!r} or '{option}-file'.", fix=f"see `vljepa {verb} --help`.")
    if text is not None and file is not None:
        raise ConfigError(f"there are {option} and {option}-file.", fix="give one of them.")
    if text is not None:
        return [entry.strip() for entry in text.split(",")]
    assert file is not None
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"cannot read {str(file)!r}: {error.strerror}.", fix="check the path.") from error
    except UnicodeDecodeError as error:
        place = f"byte {error.start + 1}"
        raise DataError(f"{str(file)!r} is not UTF-8 at {place}.", fix="save it as UTF-8 text.") from error
    entries: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        first = entries.setdefault(line.strip(), number)
        if line.strip() and first != number:
            raise DataError(
                f"{str(file)!r} has {line.strip()!r} in line {first} and again in line {number}.",
                fix="name every candidate once.",
            )
    entries.pop("", None)
    if not entries:
        raise DataError(f"{str(file)!r} is empty.", fix="write one entry into each line.")
    return list(entries)


def as_json(predictions: Sequence[Prediction], *, name: str, top_k: int) -> list[dict[str, Any]]:
    """Predictions as JSON values; `name` is the key of the chosen candidate, null where the model abstains.

    The probability of none of the candidates is there where it was asked.
    """
    return [
        {
            "image": prediction.image,
            name: prediction.label,
            "confidence": prediction.confidence,
            "probabilities": dict(list(prediction.probabilities.items())[:top_k]),
        }
        | ({} if prediction.none is None else {"none": prediction.none})
        for prediction in predictions
    ]


def print_predictions(predictions: Sequence[Prediction], *, name: str, top_k: int) -> None:
    """Predictions as a table; an abstention says so and what it would have been."""
    rows = []
    for prediction in predictions:
        best, *others = list(prediction.probabilities.items())[:top_k]
        label, confidence = prediction.label, prediction.confidence
        if label is None and prediction.none is not None and prediction.none > 0.5:
            label, confidence, others = NONE, prediction.none, [best, *others]
        elif prediction.none is not None:
            others = [*others, (NONE, prediction.none)]
        runners_up = ", ".join(f"{text} {share:.1%}" for text, share in others)
        label = f"abstains (at best: {best[0]})" if label is None else label
        rows.append([prediction.image, label, runners_up, f"{confidence:.1%}"])
    print_table(columns=["image", name, "then", "confidence"], rows=rows)
