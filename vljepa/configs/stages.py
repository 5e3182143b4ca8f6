"""Recipes of several stages, each a run that starts from the weights of the one before, as in the paper."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vljepa.configs.loading import merge, read_recipe, run_config
from vljepa.configs.run import RunConfig
from vljepa.errors import ConfigError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_NAME_RULE = "use small letters, digits, _ and -; it names a folder."
_PREFIX = "stages."


def is_staged_recipe(path: str | Path) -> bool:
    """Whether a recipe has `stages`.

    Raises:
        ConfigError: The file is missing or is not YAML.
    """
    return "stages" in read_recipe(path)


def load_stages(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, RunConfig]:
    """Read a recipe whose `stages` maps names to what each stage changes in the rest of the recipe.

    A stage may change `data`, `objective`, `optim` and `train`, key by key; lists such as `data.train` are replaced
    whole. The first starts from `model` or `start`. A stage writes into `train.output`/NAME.

    Args:
        path: The recipe.
        overrides: `key=value` holds in every stage, whatever the stage says; `stages.NAME.key=value` in one, and
            wins over the former.

    Returns:
        A run per stage, in the order in which they are trained.

    Raises:
        ConfigError: The file is missing or is not YAML, or a key or value is wrong.
    """
    raw = read_recipe(path)
    stages = raw.pop("stages", None)
    if not isinstance(stages, dict) or not stages:
        raise ConfigError(
            f"{str(path)!r}: stages = {stages!r} is not a mapping from names to changes.",
            fix="write `stages: {first: {train: {steps: 100}}, second: {...}}`.",
        )
    shared = [word for word in overrides if not word.startswith(_PREFIX)]
    own = [word.removeprefix(_PREFIX).partition(".") for word in overrides if word.startswith(_PREFIX)]
    for name, _, rest in own:
        if name not in stages or not rest:
            raise ConfigError(
                f"there is no stage {name!r} in {str(path)!r}.",
                fix=f"write stages.NAME.key=value with one of {', '.join(map(str, stages))}.",
            )
    runs = {}
    for name, changes in stages.items():
        where = f"{path}, stage {name!r}"
        words = [rest for stage, _, rest in own if stage == name]
        _check_stage(name, changes, words, where=where)
        run = run_config(merge(raw, changes), [*shared, *words], where=where)
        if run.lora is not None:
            raise ConfigError(f"{where}: stages train all weights, not `lora`.", fix="use a recipe of one run for it.")
        train = run.train.model_copy(update={"output": str(Path(run.train.output) / name)})
        runs[name] = run.model_copy(update={"train": train})
    return runs


def _check_stage(name: Any, changes: Any, words: Sequence[str], *, where: str) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: {name!r} is no name of a stage.", fix=_NAME_RULE)
    if not isinstance(changes, dict):
        raise ConfigError(f"{where}: {changes!r} is not a mapping of changes.", fix="write `{}` for none.")
    for key in ("model", "start", "lora"):
        if key in changes or any(re.match(rf"{key}[.=]", word) for word in words):
            raise ConfigError(
                f"{where}: a stage changes `{key}`, but every stage goes on with the model of the one before.",
                fix="set `model` or `start` beside `stages`.",
            )
    train = changes.get("train")
    if (isinstance(train, dict) and "output" in train) or any(word.startswith("train.output=") for word in words):
        raise ConfigError(
            f"{where}: a stage sets train.output, but it writes into a folder of its own name.",
            fix="set train.output beside `stages`.",
        )
