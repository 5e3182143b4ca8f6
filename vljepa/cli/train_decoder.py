"""`vljepa train-decoder`: run a recipe of a Y-Decoder."""

from __future__ import annotations

from typing import Annotated

import typer

from vljepa.cli.options import JsonOption
from vljepa.cli.output import note, print_json, print_table
from vljepa.cli.recipe import Overrides, Recipe, find_recipe


def train_decoder(
    recipe: Recipe,
    overrides: Overrides = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu, cuda or cuda:1; else what is there.")] = None,
    json: JsonOption = False,
) -> None:
    """Train a Y-Decoder on texts for a finished model, from its newest checkpoint if there is one.

    SIGTERM, Ctrl-C and SIGUSR1 end it after the step at hand, saved; exit code 75, and the same command goes on.

    Example: vljepa train-decoder recipes/mini_decoder.yaml train.output=runs/words
    """
    from vljepa.configs import load_decoder_run_config

    run = load_decoder_run_config(find_recipe(recipe), overrides or ())
    from vljepa.training.agreement import leaving_processes
    from vljepa.training.decoder import DecoderTrainer

    with leaving_processes():
        result = DecoderTrainer(run, device=device).fit()
    if json:
        print_json(result.as_dict())
        return
    rows = [(name, f"{value:.4f}") for name, value in result.metrics.items()]
    if rows:
        print_table(columns=("validation metric", "best"), rows=rows)
    note(f"the decoder is in {result.model_folder}")
