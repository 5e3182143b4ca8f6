"""The evaluations that are programs of their own, run as suites with their own result formats and reports."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.command import say
from eval.harness.suite import ROOT, Found
from vljepa.errors import CheckpointError, ConfigError
from vljepa.parts.saved import CONFIG_FILE, decoder_folder, saved_folder


def mini(found: Found, model: str, cache: Path, *, views: int = 1) -> dict[str, Any]:
    """One seed of `eval.mini`: the model beside every baseline, refitted on the same training data."""
    from eval.mini.__main__ import evaluate

    given = {
        "data": [found.folder],
        "models": [model],
        "photos": found.files["photos"].parent,
        "captions_tsv": None,
        "sources": ["emoji", "clipart", "photos"],
        "views": views,
        "split": "test",
        "cache": cache / "mini",
    }
    return evaluate(Namespace(**given))


def captions(found: Found, model: str, cache: Path, *, recipe: str) -> dict[str, Any]:
    """`eval.captions` of the model's own decoder."""
    from eval.captions.measure import measure

    return measure(
        data=found.folder,
        model=model,
        recipe=ROOT / recipe,
        decoders=_decoder(model),
        split="test",
        cache=cache / "mini",
        say=say,
    )


def selective(found: Found, model: str, cache: Path, **plan: Any) -> dict[str, Any]:
    """`eval.selective` with the model's own decoder; the settings are which streams, rates and thresholds."""
    from eval.selective.measure import Setting, measure

    setting = Setting(suite=plan, data=found.folder, model=model, decoders=_decoder(model), cache=cache / "selective")
    return measure(setting, say=say)


def moments(found: Found, model: str, cache: Path, **plan: Any) -> dict[str, Any]:
    """`eval.moments`; the settings are how many videos there are, how long, and which thresholds."""
    from eval.moments.measure import measure

    return measure(data=found.folder, model=model, split="test", cache=cache / "moments", say=say, **plan)


def adaptation(found: Found, model: str, cache: Path, *, shots: Sequence[int], seeds: Sequence[int]) -> dict[str, Any]:
    """`eval.adaptation`: few pictures of each of 50 kinds of groceries."""
    from eval.adaptation.measure import measure

    if model != "mini":
        raise ConfigError(f"the recipe of this suite starts from mini, not from {model!r}.", fix="use --model mini.")
    return measure(
        data=found.files["photos"].parent,
        mini_data=found.folder,
        work=cache / "adaptation",
        shots=shots,
        seeds=seeds,
        say=say,
    )


def _decoder(model: str) -> dict[str, str]:
    """The model's own decoder, by the name of the part that it was made from."""
    folder = decoder_folder(saved_folder(model))
    if folder is None:
        raise CheckpointError(f"{model!r} has no Y-Decoder.", fix="train one with `vljepa train-decoder`.")
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    return {config["part"]["name"]: str(folder)}
