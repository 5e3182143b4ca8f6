"""Runs the snippets of a Markdown page as a reader would: in order, in one folder, each one having to work.

Fences say what they are in their first word:

    ```python     run on its own in a fresh namespace
    ```console    the lines after `$ ` are commands, each by itself, the others show what they print (not compared)
    ```bash       a script
    ```text, ```json, ```yaml ...   shown, not run

A runnable fence is left out only by `not-run: REASON` after its first word, which everybody sees who edits the page.
"""

import multiprocessing
import os
import re
import shlex
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

RUNNABLE = ("python", "console", "bash")
SHOWN = ("text", "json", "yaml", "toml", "csv", "bibtex", "mermaid", "diff")
_PLAIN = re.compile(r"""vljepa( [^\s|&;<>$`*?~#\\"']+| "[^"$`\\]+"| '[^']+')+""")
"""A command that a shell would only take the quotes from."""
_LOADED = multiprocessing.get_context("forkserver")
"""Starts commands from a process that has the libraries loaded already: most of a short command's time is theirs."""
_LOADED.set_forkserver_preload(["timm", "transformers", "vljepa.cli.main", "vljepa.checkpoint.vl_jepa"])
_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,})(?P<info>.*)$")


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """One runnable fence: what it is written in, where it starts, its text, and why it is not run (or None)."""

    language: str
    line: int
    text: str
    not_run: str | None


class SnippetError(AssertionError):
    """A snippet that does not do what the page promises, or a fence that does not say what it is."""


def extract(page: Path) -> list[Snippet]:
    """Runnable fences of a page, in order."""
    snippets = []
    opened = None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        match = _FENCE.match(line)
        if opened is None:
            if match:
                opened = (match, number, [])
        elif match and match["ticks"].startswith(opened[0]["ticks"]) and not match["info"].strip():
            snippets += _snippet(page, opened[0]["info"], opened[1], opened[2])
            opened = None
        else:
            opened[2].append(line.removeprefix(opened[0]["indent"]))
    if opened is not None:
        raise SnippetError(f"{page}:{opened[1]}: the fence is not closed")
    return snippets


def run(page: Path, folder: Path) -> int:
    """Run a page's snippets in `folder`; returns how many ran.

    Raises:
        SnippetError: The first snippet that fails, with its place and what it said.
    """
    runnable = [snippet for snippet in extract(page) if snippet.not_run is None]
    for snippet in runnable:
        run_one = _run_python if snippet.language == "python" else _run_shell
        try:
            run_one(snippet, folder)
        except SnippetError as error:
            raise SnippetError(f"{page}:{snippet.line}: {error}") from None
    return len(runnable)


def _snippet(page: Path, info: str, line: int, lines: list[str]) -> list[Snippet]:
    language, _, rest = info.strip().partition(" ")
    if language in SHOWN:
        return []
    if language not in RUNNABLE:
        known = ", ".join((*RUNNABLE, *SHOWN))
        raise SnippetError(f"{page}:{line}: a fence of {language or 'nothing'!r}; say one of {known}")
    mark, _, reason = rest.partition(":")
    if rest and (mark != "not-run" or not reason.strip()):
        raise SnippetError(f"{page}:{line}: {rest!r} after the language; only `not-run: REASON` may stand there")
    return [Snippet(language=language, line=line, text="\n".join(lines), not_run=reason.strip() or None)]


def _run_python(snippet: Snippet, folder: Path) -> None:
    """In this process, which has the libraries loaded already."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(snippet.text, "<snippet>", "exec"), {"__name__": "__main__"})
    except (Exception, SystemExit):
        raise SnippetError(traceback.format_exc()) from None
    finally:
        os.chdir(before)


def _run_shell(snippet: Snippet, folder: Path) -> None:
    if snippet.language == "bash":
        _run_script(snippet.text, folder)
        return
    commands = [line.removeprefix("$ ") for line in snippet.text.splitlines() if line.startswith("$ ")]
    if not commands:
        raise SnippetError("a console fence without a `$ ` line")
    for command in commands:
        run_one = _run_command if _PLAIN.fullmatch(command) else _run_script
        run_one(command, folder)


def _run_script(script: str, folder: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise SnippetError(f"exit code {done.returncode} from\n{script}\n{done.stdout}{done.stderr}")


def _run_command(command: str, folder: Path) -> None:
    said = folder.parent / f"{folder.name}.said"
    process = _LOADED.Process(target=_command, args=(shlex.split(command), folder, said, dict(os.environ)))
    process.start()
    process.join(timeout=600)
    if process.exitcode != 0:
        process.kill()
        raise SnippetError(f"exit code {process.exitcode} from\n{command}\n{said.read_text(encoding='utf-8')}")


def _command(words: list[str], folder: Path, said: Path, environment: dict[str, str]) -> None:
    """What the installed script does, in a process of its own."""
    from vljepa.cli.main import main

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = words
    sys.exit(main())
