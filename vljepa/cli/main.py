"""The `vljepa` command: its verbs, and the one place where errors become a line and an exit code.

Nothing here or at the top of a verb's module imports torch or transformers: `vljepa --help` stays quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from vljepa import __version__
from vljepa.cli import assets, data, recipe
from vljepa.cli.ask import ask
from vljepa.cli.caption import caption
from vljepa.cli.classify import classify
from vljepa.cli.demo import demo
from vljepa.cli.doctor import doctor
from vljepa.cli.embed import embed
from vljepa.cli.export import export
from vljepa.cli.generate import generate
from vljepa.cli.index import index
from vljepa.cli.mcp import mcp
from vljepa.cli.new import new
from vljepa.cli.output import note
from vljepa.cli.plan import plan
from vljepa.cli.probe import probe
from vljepa.cli.quiet import hush_libraries
from vljepa.cli.search import search
from vljepa.cli.serve import serve
from vljepa.cli.stream import stream
from vljepa.cli.train import train
from vljepa.cli.train_decoder import train_decoder
from vljepa.cli.watch import watch
from vljepa.errors import StoppedError, VLJEPAError

USER_ERROR = 2
STOPPED = 75
"""EX_TEMPFAIL of sysexits.h: all is saved, and the same command again goes on."""
INTERRUPTED = 130

app = typer.Typer(
    name="vljepa",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (
    caption,
    classify,
    ask,
    stream,
    embed,
    index,
    watch,
    search,
    serve,
    demo,
    mcp,
    new,
    train,
    train_decoder,
    probe,
    plan,
    generate,
    export,
    doctor,
):
    app.command()(verb)
app.add_typer(recipe.app, name="recipe")
app.add_typer(data.app, name="data")
app.add_typer(assets.app, name="assets")

# Newer typers carry their own copy of click; its base of usage errors is reached through a public child.
_UsageError: type[Any] = typer.BadParameter.__mro__[1]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"vljepa {__version__}")
        raise typer.Exit


@app.callback()
def _vljepa(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Vision-language JEPA: classify, ask and search images by predicted embeddings."""


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    It is 0, 2 for a user's error, 75 for training that a signal ended and that can go on, 130 for Ctrl-C elsewhere,
    or a verb's own.

    Args:
        words: The words after `vljepa`; by default those of the process.
    """
    hush_libraries()
    try:
        code = app(list(sys.argv[1:] if words is None else words), prog_name="vljepa", standalone_mode=False)
    except StoppedError as stop:
        note(str(stop))
        return STOPPED
    except VLJEPAError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except _UsageError as error:
        return _fail_usage(error)
    return code if isinstance(code, int) else 0


def _fail_usage(error: Any) -> int:
    message = error.format_message()
    if not message:  # a group without a verb has just printed its help
        return USER_ERROR
    command = error.ctx.command_path if error.ctx is not None else "vljepa"
    return _fail(f"{message}{'' if message[-1] in '.?' else '.'} Fix: see `{command} --help`.")


def _fail(message: str) -> int:
    note("error: " + " ".join(message.split()))
    return USER_ERROR
