"""`vljepa ask`: a question about a picture, answered with one of the choices, or in words."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vljepa.cli.choosing import as_json, choose_over, print_predictions, split_list
from vljepa.cli.options import (
    DecoderOption,
    DeviceOption,
    FramesOption,
    JsonOption,
    MinConfidenceOption,
    ModelOption,
    NumBeamsOption,
    TopKOption,
)
from vljepa.cli.output import print_heading, print_json
from vljepa.cli.saying import print_said, print_said_json, say_over
from vljepa.errors import ConfigError


def ask(
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="A picture, a video, or a folder or quoted glob of pictures.")
    ],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help='Such as "what colour is it?".')],
    choices: Annotated[
        str | None, typer.Option("--choices", help="Possible answers, separated by commas; without, words of its own.")
    ] = None,
    min_confidence: MinConfidenceOption = 0.0,
    answer_prior: Annotated[
        bool | None,
        typer.Option(
            "--answer-prior/--no-answer-prior",
            help="Count how frequent answers were in training; without, only if all choices are training answers.",
        ),
    ] = None,
    top_k: TopKOption = 5,
    num_beams: NumBeamsOption = None,
    model: ModelOption = "mini",
    decoder: DecoderOption = None,
    frames: FramesOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Answer a question about a picture or a video: with one of the choices and calibrated probabilities, or in words.

    Example: vljepa ask photo.jpg "what colour is it?" --choices red,green,blue
    """
    if choices is None:
        asked = {"model": model, "decoder": decoder, "frames": frames, "device": device, "num_beams": num_beams}
        _answer(image, question, json=json, **asked)
        return
    from vljepa.inference.vqa import ask as run

    predictions, skipped = choose_over(
        [image],
        model=model,
        device=device,
        frames=frames,
        call=run,
        question=question,
        choices=split_list(choices),
        min_confidence=min_confidence,
        answer_prior=answer_prior,
    )
    if json:
        results = as_json(predictions, name="answer", top_k=top_k)
        unread = [{"path": path, "reason": why} for path, why in skipped]
        print_json({"question": question, "predictions": results, "skipped": unread})
    else:
        print_heading(question)
        print_predictions(predictions, name="answer", top_k=top_k)


def _answer(image: str, question: str, *, json: bool, **asked: Any) -> None:
    if not question.strip():
        raise ConfigError("the question is empty.", fix='ask something, such as "what colour is it?".')
    found, skipped = say_over([image], query=question, **asked)
    if json:
        print_said_json(found, skipped, name="answer", question=question)
    else:
        print_heading(question)
        print_said(found, name="answer")
