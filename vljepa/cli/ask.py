"""`vljepa ask`: a question about an image, answered with one of the choices, or in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from vljepa.cli.addresses import is_address
from vljepa.cli.captioning import caption_all, print_words, print_words_json
from vljepa.cli.choosing import as_json, choose_over, listed, print_predictions
from vljepa.cli.options import (
    AllowUrlsOption,
    ChoicesFileOption,
    DecoderOption,
    DeviceOption,
    DtypeOption,
    FramesOption,
    JsonOption,
    ModelOption,
    NumBeamsOption,
    PathsFileOption,
)
from vljepa.cli.output import print_heading, print_json
from vljepa.cli.paths_file import with_paths_of
from vljepa.errors import ConfigError


def ask(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[IMAGE] QUESTION",
            help="An image, a video, or a folder or quoted glob of images; and a question, such as "
            '"what colour is it?". With -f the question alone.',
        ),
    ],
    paths_file: PathsFileOption = None,
    allow_urls: AllowUrlsOption = False,
    choices: Annotated[
        str | None, typer.Option("--choices", help="Possible answers, separated by commas; without, words of its own.")
    ] = None,
    choices_file: ChoicesFileOption = None,
    min_confidence: Annotated[
        float | None,
        typer.Option("--min-confidence", min=0.0, max=1.0, help="Abstain below this probability."),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option("--top-k", "-k", min=1, help="With choices: how many to list per image; 5 without it."),
    ] = None,
    answer_prior: Annotated[
        bool | None,
        typer.Option(
            "--answer-prior/--no-answer-prior",
            help="Count how frequent answers were in training; without, only if all choices are training answers.",
        ),
    ] = None,
    num_beams: NumBeamsOption = None,
    model: ModelOption = "mini",
    decoder: DecoderOption = None,
    frames: FramesOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    json: JsonOption = False,
) -> None:
    """Answer a question about an image or a video: with one of the choices and calibrated probabilities, or in words.

    Example: vljepa ask photo.jpg "what colour is it?" --choices red,green,blue
    """
    *images, question = words
    if len(images) != (paths_file is None):
        wanted = "an image and a question" if paths_file is None else "a question alone with -f"
        raise ConfigError(
            f"ask takes {wanted}, and was given {len(words)} argument{'' if len(words) == 1 else 's'}.",
            fix="put the question in quotes; several images are a folder, a quoted glob, or -f.",
        )
    if images and Path(question).is_file() and not Path(images[0]).exists() and not is_address(images[0]):
        raise ConfigError("the image comes first, and then the question.", fix=f"vljepa ask {question} {images[0]!r}.")
    asked_of = with_paths_of(images, paths_file)
    free = choices is None and choices_file is None
    _check_options(
        free=free,
        with_choices={"--top-k": top_k, "--answer-prior": answer_prior},
        in_words={"--num-beams": num_beams, "--decoder": decoder},
    )
    if free:
        asked = {
            "model": model,
            "decoder": decoder,
            "frames": frames,
            "device": device,
            "dtype": dtype,
            "num_beams": num_beams,
            "allow_urls": allow_urls,
        }
        _answer(asked_of, question, json=json, min_confidence=min_confidence or 0.0, **asked)
        return
    from vljepa.inference.vqa import ask as run

    predictions, skipped = choose_over(
        asked_of,
        model=model,
        device=device,
        dtype=dtype,
        frames=frames,
        allow_urls=allow_urls,
        call=run,
        question=question,
        choices=listed(choices, choices_file, option="--choices", verb="ask"),
        min_confidence=min_confidence or 0.0,
        answer_prior=answer_prior,
    )
    most = 5 if top_k is None else top_k
    if json:
        results = as_json(predictions, name="answer", top_k=most)
        unread = [{"path": path, "reason": why} for path, why in skipped]
        print_json({"question": question, "predictions": results, "skipped": unread})
    else:
        print_heading(question)
        print_predictions(predictions, name="answer", top_k=most)


def _check_options(*, free: bool, with_choices: Mapping[str, object], in_words: Mapping[str, object]) -> None:
    """Refuse what an answer of the other kind has no use for."""
    given = [name for name, value in (with_choices if free else in_words).items() if value is not None]
    if not given:
        return
    if free:
        raise ConfigError(
            f"{given[0]} is for choices: words of the model's own are not chosen from a list.",
            fix=f"add --choices, or leave {given[0]} out.",
        )
    raise ConfigError(
        f"{given[0]} is for words of the model's own, and there are choices.",
        fix=f"leave out {given[0]} or the choices.",
    )


def _answer(images: Sequence[str], question: str, *, json: bool, **asked: Any) -> None:
    from vljepa.inference.candidates import check_question

    check_question(question)
    found, skipped = caption_all(images, query=question, **asked)
    if json:
        print_words_json(found, skipped, name="answer", question=question)
    else:
        print_heading(question)
        print_words(found, name="answer")
