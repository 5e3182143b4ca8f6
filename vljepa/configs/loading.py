"""From YAML and `key=value` words to a validated config, with errors that name the key and the nearest right one."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from vljepa.configs.decoder import DecoderRunConfig
from vljepa.configs.methods import MODEL_CONFIGS
from vljepa.configs.model import VLJEPAConfig
from vljepa.configs.part import Strict
from vljepa.configs.run import RunConfig
from vljepa.errors import ConfigError

ConfigT = TypeVar("ConfigT", bound=BaseModel)

_INSTEAD_OF_ACCUMULATION = (
    "gradients summed over small batches are not those of a large one, whose samples are all contrasted with each "
    "other; raise train.batch_size, and set objective.grad_cache to what fits into memory."
)
"""Nobody finds the right keys by their names."""


def preset_names() -> list[str]:
    """Names of the embedded model presets."""
    folder = resources.files("vljepa.configs") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_preset(name: str) -> VLJEPAConfig:
    """Config of a model preset.

    Raises:
        ConfigError: No such preset.
    """
    return validate(VLJEPAConfig, _preset_dict(name), where=f"preset {name!r}")


def load_run_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a recipe and apply `key=value` overrides, such as `optim.lr=1e-4`.

    Raises:
        ConfigError: The file is missing or is not YAML, or a key or value is wrong.
    """
    raw = read_recipe(path)
    if "stages" in raw:
        raise ConfigError(
            f"{str(path)!r} is a recipe of stages.", fix="run it with `vljepa train`, or read it with `load_stages`."
        )
    return run_config(raw, overrides, where=str(path))


def run_config(raw: dict[str, Any], overrides: Sequence[str] = (), *, where: str) -> RunConfig:
    """Validate what a recipe of one run says, with overrides.

    Args:
        raw: As read from YAML; left as it is.
        overrides: As of `load_run_config`.
        where: Where it comes from, for errors.

    Raises:
        ConfigError: A key or value is wrong.
    """
    if _names_decoder(raw):
        raise ConfigError(f"{where!r} is a recipe of a Y-Decoder.", fix="run it with `vljepa train-decoder`.")
    if any(word.partition("=")[::2] == ("model", name) for word in overrides for name in preset_names()):
        # `model=mini` takes the place of the recipe's model, changes to it included
        raw = {key: value for key, value in raw.items() if key != "model"}
    merged = merge(raw, parse_overrides(overrides))
    if merged.get("start") is None or "model" in merged:
        merged["model"] = _expand_model(merged.get("model", {}))
    return validate(RunConfig, merged, where=where)


def load_decoder_run_config(path: str | Path, overrides: Sequence[str] = ()) -> DecoderRunConfig:
    """Read a recipe of a Y-Decoder and apply `key=value` overrides.

    Raises:
        ConfigError: As `load_run_config`.
    """
    raw = read_recipe(path)
    if not _names_decoder(raw):
        raise ConfigError(f"{str(path)!r} is not a recipe of a Y-Decoder.", fix="run it with `vljepa train`.")
    return validate(DecoderRunConfig, merge(raw, parse_overrides(overrides)), where=str(path))


def is_decoder_recipe(path: str | Path) -> bool:
    """Whether a recipe is for `vljepa train-decoder`.

    Raises:
        ConfigError: The file is missing or is not YAML.
    """
    return _names_decoder(read_recipe(path))


def _names_decoder(raw: dict[str, Any]) -> bool:
    """Whether there is a section `decoder`, misspelt perhaps: validation then names it."""
    return bool(difflib.get_close_matches("decoder", [str(key) for key in raw], n=1, cutoff=0.8))


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: The file is missing, or is not YAML or not a mapping.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no recipe {str(path)!r}.", fix="list them with `vljepa recipe ls`.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        summary = str(error).replace("\n", " ")
        raise ConfigError(f"{str(path)!r} is not a readable YAML file: {summary}.", fix="mend the file.") from error
    if not isinstance(raw, dict):
        raise ConfigError(
            f"{str(path)!r} holds {type(raw).__name__}, not a mapping.", fix="start it with `model:` and `data:`."
        )
    return raw


def parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """Turn `a.b=1` words into a nested dict; values are read as YAML.

    Example:
        >>> parse_overrides(["optim.lr=1e-4", "train.steps=10"])
        {'optim': {'lr': 0.0001}, 'train': {'steps': 10}}

    Raises:
        ConfigError: A word is not key=value, or two words contradict each other.
    """
    nested: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"{word!r} is not an override.", fix="write key=value, for example optim.lr=1e-4.")
        try:
            value = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError) as error:
            raise ConfigError(f"the value of {word!r} is not YAML.", fix="quote it; lists are [a, b].") from error
        if isinstance(value, str):
            value = _as_number(value)
        _put(nested, key, value)
    return nested


def validate(model: type[ConfigT], raw: Any, *, where: str) -> ConfigT:
    """Build `model` from `raw`, turning pydantic's errors into one line that names the fix."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        errors = error.errors()
        # A misspelt key is also a missing one; the misspelling is what the person needs to hear.
        # Of several, the outermost: where `method` is misspelt, the keys of its model are not known either.
        unknown = [one for one in errors if one["type"] == "extra_forbidden"]
        first = min(unknown, key=lambda one: len(one["loc"]), default=errors[0])
        first = next((one for one in errors if one["loc"] == ("method",)), first)  # which says what `model` is
        method = raw.get("method") if isinstance(raw, dict) else None
        trained = MODEL_CONFIGS.get(str(method), VLJEPAConfig)
        key = ".".join(_follow(model, first["loc"], trained)[1])
        if first["type"] == "extra_forbidden":
            accumulates = "accumulat" in key and "objective" in model.model_fields
            fix = _INSTEAD_OF_ACCUMULATION if accumulates else _nearest_key(model, first["loc"], trained)
            raise ConfigError(f"{where}: unknown key {key!r}.", fix=fix) from error
        if first["type"] == "union_tag_not_found" and isinstance(first.get("input"), dict):
            raise _nameless(model, first["loc"], trained, given=first["input"], where=where) from error
        if first["type"] == "missing":
            raise ConfigError(f"{where}: the key {key!r} is missing.", fix=f"add {key!r}.") from error
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"{where}: {key or 'the config'} = {_shown(first.get('input'))}: {message}.", fix=f"change {key or 'it'!r}."
        ) from error


def _shown(value: Any) -> str:
    """A value in an error, never long: a YAML file of ten lines can hold a list of a billion."""
    limits = reprlib.Repr()
    limits.maxlevel, limits.maxlist, limits.maxdict, limits.maxstring = 2, 8, 8, 200
    return limits.repr(value)


def _put(nested: dict[str, Any], key: str, value: Any) -> None:
    """Set one override; `model=NAME` goes together with `model.x=1`, in any order, as the preset that x changes."""
    if isinstance(nested.get("model"), str) and key.startswith("model."):
        nested["model"] = {"preset": nested["model"]}
    if key == "model" and isinstance(value, str) and isinstance(nested.get("model"), dict):
        key = "model.preset"
    node = nested
    *parents, leaf = key.split(".")
    for depth, parent in enumerate(parents, start=1):
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise ConfigError(
                f"{key!r} is inside {'.'.join(parents[:depth])!r}, which another override sets to {node!r}.",
                fix="keep one of the two.",
            )
    if isinstance(node.get(leaf), dict):
        raise ConfigError(f"{key}={value!r} would undo other overrides of {key!r}.", fix="keep one of the two.")
    node[leaf] = value


def _as_number(text: str) -> str | float:
    """YAML 1.1 reads `1e-4` as text; people mean a number."""
    try:
        return float(text)
    except ValueError:
        return text


def _preset_dict(name: str) -> dict[str, Any]:
    if name not in preset_names():
        raise ConfigError(f"there is no preset {name!r}.", fix=f"use one of {', '.join(preset_names())}.")
    text = (resources.files("vljepa.configs") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = _expand_model(yaml.safe_load(text))
    return loaded


def _expand_model(model: Any) -> Any:
    if isinstance(model, str):
        return _preset_dict(model)
    if isinstance(model, dict) and "preset" in model:
        changes = {key: value for key, value in model.items() if key != "preset"}
        return merge(_preset_dict(str(model["preset"])), changes)
    return model


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Copy of `base` with `changes`: mappings are merged key by key, everything else, lists too, is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if key == "model" and isinstance(old, str) and isinstance(value, dict):
            old = {"preset": old}
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _nearest_key(model: type[BaseModel], loc: tuple[int | str, ...], trained: type[BaseModel]) -> str:
    """Suggest the sibling key that is closest to the unknown one."""
    node, _ = _follow(model, loc[:-1], trained)
    if node is None or isinstance(node, list):
        return "remove it."
    known = list(node.model_fields)
    close = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.0)
    return f"did you mean {close[0]!r}? Known here: {', '.join(known)}."


def _nameless(
    model: type[BaseModel],
    loc: tuple[int | str, ...],
    trained: type[BaseModel],
    *,
    given: dict[str, Any],
    where: str,
) -> ConfigError:
    """Error of a section that should say by its `name` what it is: that is missing, or misspelt."""
    classes, keys = _follow(model, loc, trained)
    known = list(dict.fromkeys(name for one in classes for name in one.model_fields))
    unknown = difflib.get_close_matches("name", [str(key) for key in given if key not in known], n=1, cutoff=0.0)
    wrong = ".".join([*keys, *unknown])
    if not unknown:
        return ConfigError(f"{where}: the key '{wrong}.name' is missing.", fix=f"add '{wrong}.name'.")
    names = ", ".join(str(_name(one)) for one in classes)
    return ConfigError(f"{where}: unknown key {wrong!r}.", fix=f"did you mean 'name'? It is one of {names}.")


def _follow(model: type[BaseModel], loc: Sequence[int | str], trained: type[BaseModel]) -> tuple[Any, list[str]]:
    """Config class that an error's path leads to, None for none, and the path as keys of the file.

    Into a path that leads through a union by name pydantic puts that name. `trained` is what a recipe's `model` is.
    """
    node: Any = model
    keys: list[str] = []
    for part in loc:
        if isinstance(node, list):
            node = next((one for one in node if _name(one) == part), None)
            continue
        keys.append(str(part))
        node = None if node is None else _field_model(node, part, trained)
    return node, keys


def _name(model: type[BaseModel]) -> Any:
    """Name by which a union tells a class from the others."""
    return model.model_fields["name"].default if "name" in model.model_fields else None


def _field_model(node: Any, part: int | str, trained: type[BaseModel]) -> Any:
    """Config class behind one step of an error's path, or the classes of a union; list indices stay where they are."""
    if isinstance(part, int):
        return node if isinstance(node, type) else None
    field = node.model_fields.get(part)
    if field is None:
        return None
    classes = _classes(field.annotation, trained)
    return classes if len(classes) > 1 else next(iter(classes), None)


def _classes(annotation: Any, trained: type[BaseModel]) -> list[type[BaseModel]]:
    """Config classes in an annotation; what a recipe's `model` is, its method says."""
    if annotation is Strict:
        return [trained]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [one for inner in get_args(annotation) for one in _classes(inner, trained)]
