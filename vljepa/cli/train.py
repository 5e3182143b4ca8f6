"""`vljepa train`: run a recipe."""

from __future__ import annotations

from typing import Annotated

import typer

from vljepa.cli.options import JsonOption
from vljepa.cli.output import note, print_json, print_table
from vljepa.cli.recipe import Overrides, Recipe, find_recipe


def train(
    recipe: Recipe,
    overrides: Overrides = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the run into training.png at the end.")] = False,
    device: Annotated[str | None, typer.Option("--device", help="cpu, cuda or cuda:1; else what is there.")] = None,
    json: JsonOption = False,
) -> None:
    """Train a model as a recipe says, from its newest checkpoint if there is one.

    SIGTERM, Ctrl-C and SIGUSR1 end it after the step at hand, saved; exit code 75, and the same command goes on.

    Example: vljepa train recipes/mini.yaml optim.lr=1e-4 train.output=runs/small
    """
    from vljepa.configs import load_run_config

    run = load_run_config(find_recipe(recipe), overrides or ())
    if plot:
        from vljepa.training.plot import require_matplotlib

        require_matplotlib()  # before the hours of training, not after
    from vljepa.training.trainer import Trainer

    result = Trainer(run, device=device).fit()
    if plot:
        from vljepa.training.plot import plot_run

        note(f"drawn: {plot_run(result.folder)}")
    if json:
        print_json(result.as_dict())
        return
    rows = [(name, f"{value:.4f}") for name, value in result.metrics.items()]
    print_table(columns=("validation metric", "best"), rows=rows)
    note(f"the model is in {result.model_folder}")
