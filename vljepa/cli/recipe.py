"""`vljepa recipe`: the recipes that come with the package, shown, copied and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vljepa.cli.options import JsonOption
from vljepa.cli.output import note, print_json, print_table
from vljepa.errors import ConfigError

app = typer.Typer(help="Training recipes: list, show, copy and check.", no_args_is_help=True)

LAYOUTS = "accelerate"
"""Folder of the configs of `accelerate launch`, beside the recipes."""

Recipe = Annotated[str, typer.Argument(metavar="RECIPE", help="A path, or a name from `vljepa recipe ls`.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes, such as optim.lr=1e-4.")
]


@app.command("ls")
def list_recipes(json: JsonOption = False) -> None:
    """List the recipes that come with the package, and the configs for `accelerate launch`."""
    rows = [(name, _headline(path)) for name, path in (shipped_recipes() | shipped_layouts()).items()]
    if json:
        print_json([{"name": name, "about": about} for name, about in rows])
    else:
        print_table(columns=("name", "about"), rows=rows)


@app.command("cat")
def show(recipe: Recipe) -> None:
    """Print a recipe, or a config for `accelerate launch`."""
    print(_read(_find_file(recipe)), end="")


@app.command("cp")
def copy(
    recipe: Recipe, target: Annotated[Path, typer.Argument(help="New file, or a folder for it; never overwritten.")]
) -> None:
    """Copy a recipe, or a config for `accelerate launch`, to change it; into a folder under its own name.

    Example: vljepa recipe cp your_folder mine.yaml
    Example: vljepa recipe cp accelerate/ddp .
    """
    source = _find_file(recipe)
    text = _read(source)
    if target.is_dir():
        target = target / source.name
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{str(target)!r} exists already.", fix="choose another name.") from None
    except OSError as error:
        raise ConfigError(f"cannot write {str(target)!r}: {error.strerror}.", fix="choose another place.") from error
    note(f"written: {target}")


@app.command("validate")
def validate(recipe: Recipe, overrides: Overrides = None, json: JsonOption = False) -> None:
    """Check every key and value of a recipe, without reading its data; --json prints it with all defaults filled in.

    Example: vljepa recipe validate mini optim.lr=1e-4 --json
    """
    from vljepa.configs import (
        is_decoder_recipe,
        is_staged_recipe,
        load_decoder_run_config,
        load_run_config,
        load_stages,
    )

    path, config = find_recipe(recipe), {}
    if is_staged_recipe(path):
        stages = load_stages(path, overrides or ())
        config["stages"] = {name: run.model_dump(mode="json") for name, run in stages.items()}
    else:
        load = load_decoder_run_config if is_decoder_recipe(path) else load_run_config
        config = load(path, overrides or ()).model_dump(mode="json")
    if json:
        print_json({"recipe": str(path), "valid": True, "config": config})
    else:
        print(f"{path}: valid")


def find_recipe(name: str) -> Path:
    """File of a recipe given by path or by name.

    Raises:
        ConfigError: Neither exists.
    """
    path = Path(name)
    if path.is_file():
        return path
    recipes = shipped_recipes()
    if name in recipes:
        return recipes[name]
    known = ", ".join(recipes) or "none"
    raise ConfigError(f"there is no recipe {name!r}; the shipped ones are: {known}.", fix="give a path or such a name.")


def shipped_recipes() -> dict[str, Path]:
    """Recipes by name."""
    return {path.stem: path for path in _shipped("*.yaml")}


def shipped_layouts() -> dict[str, Path]:
    """Configs for `accelerate launch` by name, such as `accelerate/ddp`."""
    return {f"{LAYOUTS}/{path.stem}": path for path in _shipped(f"{LAYOUTS}/*.yaml")}


def _shipped(pattern: str) -> list[Path]:
    """Files inside an installed package, or at the root of a clone."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "recipes", package.parent / "recipes"):
        if folder.is_dir():
            return sorted(folder.glob(pattern))
    return []


def _find_file(name: str) -> Path:
    return shipped_layouts().get(name) or find_recipe(name)


def _headline(path: Path) -> str:
    """First comment line of a recipe."""
    first = _read(path).partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{str(path)!r} cannot be read: {error}.", fix="give a YAML file in UTF-8.") from error
