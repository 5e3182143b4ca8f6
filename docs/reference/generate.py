"""Writes the pages of the reference anew: `python docs/reference/generate.py [FOLDER]`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from typer.cli import get_docs_for_click

import vljepa
from vljepa import configs
from vljepa.cli.main import app

HERE = Path(__file__).parent


def command_line() -> str:
    """Every command with its options, as `--help` says."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="vljepa", title="Command line")
    for code, char in (("&#x27;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        text = text.replace(code, char)
    return text.replace("```console", "```text").rstrip() + "\n"


def config_keys() -> str:
    """Every config with its keys and defaults; what they mean is in the class's own words."""
    parts = ["# Config keys", "", "Keys of recipes and of saved configs. None mostly means: what the part itself says."]
    for model in sorted(set(_models()), key=lambda one: one.__name__):
        about = inspect.cleandoc(model.__doc__ or "")
        parts += [
            "",
            f"## {model.__name__}",
            "",
            "```text",
            about,
            "```",
            "",
            "| key | type | default |",
            "|---|---|---|",
        ]
        for name, field in model.model_fields.items():
            kind = str(field.annotation).replace("typing.", "").replace("vljepa.configs.", "").replace("|", "\\|")
            kind = getattr(field.annotation, "__name__", kind) if "<class" in kind else kind
            default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
            parts.append(f"| `{name}` | `{kind}` | `{_short(default)}` |")
    return "\n".join(parts) + "\n"


def python() -> str:
    """The public names, whose docstrings the site shows."""
    names = sorted(name for name in vljepa.__all__ if not name.startswith("_"))
    return "\n".join(["# Python", "", *(f"::: vljepa.{name}\n" for name in names)])


def _models() -> Iterator[Any]:
    for name in configs.__all__:
        found = getattr(configs, name)
        if inspect.isclass(found) and issubclass(found, BaseModel):
            yield found


def _short(text: str) -> str:
    text = text.replace("|", "\\|")
    return text if len(text) <= 60 else f"{text[:57]}..."


PAGES = {"cli.md": command_line, "config.md": config_keys, "api.md": python}

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, write in PAGES.items():
        (folder / name).write_text(write(), encoding="utf-8")
