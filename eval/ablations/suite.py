"""The suite file: one recipe, and rows that each change it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from vljepa.configs import RunConfig, load_run_config
from vljepa.errors import ConfigError


@dataclass(frozen=True)
class Suite:
    """What is compared.

    Args:
        recipe: The recipe that all rows change.
        seeds: Of each row; equal seeds mean equal data order, so that rows are compared pair by pair.
        default: Row that the others are compared with.
        rows: Overrides of the recipe, by the row's name.
    """

    recipe: Path
    seeds: tuple[int, ...]
    default: str
    rows: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, path: Path) -> Suite:
        """Read a suite; its recipe's path is relative to the working directory.

        Raises:
            ConfigError: It has other keys, no such default, one seed, or two rows that would share a folder.
        """
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        wanted = {"recipe", "seeds", "default", "rows"}
        if not isinstance(raw, dict) or raw.keys() != wanted:
            raise ConfigError(f"{str(path)!r} is no suite of ablations.", fix=f"give it {', '.join(sorted(wanted))}.")
        rows = {str(name): tuple(changes) for name, changes in raw["rows"].items()}
        if raw["default"] not in rows:
            raise ConfigError(f"default = {raw['default']!r} is no row.", fix=f"use one of {', '.join(rows)}.")
        if len(raw["seeds"]) < 2:
            raise ConfigError(f"seeds = {raw['seeds']!r} give no interval.", fix="name two at least.")
        if len({folder_name(name) for name in rows}) < len(rows):
            raise ConfigError(f"two rows of {str(path)!r} have one name.", fix="names differ in letters or digits.")
        return cls(Path(raw["recipe"]), tuple(raw["seeds"]), raw["default"], rows)

    def run(self, row: str, seed: int, *, data: Path, cache: Path, output: Path) -> RunConfig:
        """The recipe of one run.

        Raises:
            ConfigError: The row's changes do not fit the recipe.
        """
        places = [f"data.root={data}", f"data.cache.folder={cache}", f"train.output={output}", f"train.seed={seed}"]
        return load_run_config(self.recipe, [*self.rows[row], *places])


def folder_name(row: str) -> str:
    """Name of a row's folder.

    Example:
        >>> folder_name("Y-Encoder at 0.05")
        'y_encoder_at_0_05'
    """
    return re.sub(r"[^a-z0-9]+", "_", row.lower()).strip("_")
