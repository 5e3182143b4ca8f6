"""What `classify` and `ask` share: run over the pictures that the words stand for, print the chosen candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from vljepa.cli.output import note_skipped, print_table, progress

if TYPE_CHECKING:
    from vljepa.errors import ImageError
    from vljepa.inference.candidates import Prediction
    from vljepa.processing.processor import Picture


def choose_over(
    words: Sequence[str],
    *,
    model: str,
    device: str | None,
    frames: int | None,
    call: Callable[..., list[Prediction]],
    **arguments: Any,
) -> tuple[list[Prediction], list[tuple[str, str]]]:
    """Load the model, run `call` over all pictures, and return predictions and the skipped pictures with reasons.

    Raises:
        VLJEPAError: No such picture, model or device, or not one picture that can be read.
    """
    from vljepa.inference.embed import Embedder
    from vljepa.inference.pictures import expand

    files = expand(words)
    embedder = Embedder.from_pretrained(model, device=device, frames=frames)
    broken: list[tuple[Picture, ImageError]] = []
    with progress("looking at pictures", total=len(files)) as advance:
        predictions = call(
            embedder.model,
            embedder.processor,
            files,
            frames=frames,
            progress=advance,
            on_broken=lambda picture, error: broken.append((picture, error)),
            **arguments,
        )
    if not predictions:
        raise broken[0][1]
    skipped = [(str(picture), error.message) for picture, error in broken]
    note_skipped(skipped, total=len(files))
    return predictions, skipped


def split_list(text: str) -> list[str]:
    """Entries of a comma-separated option."""
    return [entry.strip() for entry in text.split(",")]


def as_json(predictions: Sequence[Prediction], *, name: str, top_k: int) -> list[dict[str, Any]]:
    """Predictions as JSON values; `name` is the key of the chosen candidate, null where the model abstains."""
    return [
        {
            "image": prediction.image,
            name: prediction.label,
            "confidence": prediction.confidence,
            "probabilities": dict(list(prediction.probabilities.items())[:top_k]),
        }
        for prediction in predictions
    ]


def print_predictions(predictions: Sequence[Prediction], *, name: str, top_k: int) -> None:
    """Predictions as a table; an abstention says so and what it would have been."""
    rows = []
    for prediction in predictions:
        best, *others = list(prediction.probabilities.items())[:top_k]
        said = prediction.label if prediction.label is not None else f"abstains (at best: {best[0]})"
        runners_up = ", ".join(f"{text} {share:.1%}" for text, share in others)
        rows.append([prediction.image, said, runners_up, f"{prediction.confidence:.1%}"])
    print_table(columns=["picture", name, "then", "confidence"], rows=rows)
