"""`vljepa ask`: a question about a picture, answered with one of the choices."""

from __future__ import annotations

from typing import Annotated

import typer

from vljepa.cli.choosing import as_json, choose_over, print_predictions, split_list
from vljepa.cli.options import DeviceOption, JsonOption, MinConfidenceOption, ModelOption, TopKOption
from vljepa.cli.output import print_heading, print_json


def ask(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A picture, or a folder or quoted glob of them.")],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help='Such as "what colour is it?".')],
    choices: Annotated[str, typer.Option("--choices", help="Possible answers, separated by commas.")],
    min_confidence: MinConfidenceOption = 0.0,
    top_k: TopKOption = 5,
    model: ModelOption = "mini",
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Answer a question about a picture with one of the choices, with calibrated probabilities.

    Example: vljepa ask photo.jpg "what colour is it?" --choices red,green,blue
    """
    from vljepa.inference.vqa import ask as run

    predictions, skipped = choose_over(
        [image],
        model=model,
        device=device,
        call=run,
        question=question,
        choices=split_list(choices),
        min_confidence=min_confidence,
    )
    if json:
        results = as_json(predictions, name="answer", top_k=top_k)
        unread = [{"path": path, "reason": why} for path, why in skipped]
        print_json({"question": question, "predictions": results, "skipped": unread})
    else:
        print_heading(question)
        print_predictions(predictions, name="answer", top_k=top_k)
