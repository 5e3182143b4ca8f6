"""`vljepa train-decoder`: run a recipe of a Y-Decoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vljepa.cli.options import JsonOption
from vljepa.cli.output import note, print_json, print_table
from vljepa.cli.recipe import Overrides, Recipe, find_recipe

if TYPE_CHECKING:
    from vljepa.training.decoder import DecoderTrainer


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
        trainer = DecoderTrainer(run, device=device)
        result = trainer.fit()
        notes = _fit_confidence(trainer, result.model_folder)
    if json:
        print_json(result.as_dict())
        return
    rows = [(name, f"{value:.4f}") for name, value in result.metrics.items()]
    if rows:
        print_table(columns=("validation metric", "best"), rows=rows)
    for line in notes:
        note(line)
    note(f"the decoder is in {result.model_folder}")


def _fit_confidence(trainer: DecoderTrainer, folder: Path) -> list[str]:
    """Fit how sure the decoder is on the run's validation images, write it into its config, and say what was done.

    A run that was finished before has it, and of several processes one writes.
    """
    from vljepa.checkpoint.decoder import rewrite_config
    from vljepa.data.processes import process_number
    from vljepa.inference.confidence import Referenced, fit_confidence
    from vljepa.inference.embed import Embedder

    if not hasattr(trainer, "inputs") or process_number() != 0:
        return []
    embedder = Embedder.from_pretrained(trainer.run.model, device=str(trainer.accelerator.device), decoder=str(folder))
    tasks = trainer.inputs.tasks
    sources = [Referenced(one.predictions_ND.numpy(), one.classes_NK, one.texts, one.queries) for one in tasks]
    choice, notes = fit_confidence(embedder, sources)
    rewrite_config(folder, choice=choice)
    return notes
