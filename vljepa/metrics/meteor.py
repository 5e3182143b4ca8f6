"""METEOR 1.5, by its authors' own Java program: where Java is, and the package pycocoevalcap that carries it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vljepa.errors import DataError
from vljepa.metrics.captions import tokenize

_JAR = Path("meteor") / "meteor-1.5.jar"
_SEPARATOR = " ||| "


def meteor_is_there() -> bool:
    """Whether METEOR can run here."""
    return shutil.which("java") is not None and _jar() is not None


def meteor(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, NDArray[np.float64]]:
    """METEOR of a corpus and of each item (Denkowski and Lavie 2014), on the tokens of `tokenize`.

    The program takes some seconds to start, and up to 2 GB of memory.

    Args:
        candidates: One text per item.
        references: Right texts of each item.

    Returns:
        The corpus score, which comes from the summed counts and is not the mean, and the score of each item, [N].

    Raises:
        DataError: Java or the program is not there, or it fails.
    """
    assert len(candidates) == len(references) > 0, (len(candidates), len(references))
    lines = [
        _SEPARATOR.join(("SCORE", *(_words(text) for text in texts), _words(candidate)))
        for candidate, texts in zip(candidates, references, strict=True)
    ]
    jar, java = _jar(), shutil.which("java")
    if jar is None or java is None:
        lacking = "Java" if java is None else "the package pycocoevalcap"
        raise DataError(
            f"METEOR needs {lacking}, which is not installed.",
            fix='install a Java runtime and `pip install "vljepa-torch[eval]"`, or go without METEOR.',
        )
    with subprocess.Popen(
        [java, "-Xmx2G", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        cwd=jar.parent,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    ) as program:
        # One line at a time: it answers each, and neither side's pipe may fill up.
        counts = [_answer(program, line) for line in lines]
        scores = [_answer(program, _SEPARATOR.join(("EVAL", *counts)))]
        scores += [_answer(program) for _ in lines]
        program.terminate()
    return float(scores[-1]), np.array([float(score) for score in scores[:-1]])


def _words(text: str) -> str:
    return " ".join(tokenize(text))


def _answer(program: subprocess.Popen[str], line: str | None = None) -> str:
    assert program.stdin is not None
    assert program.stdout is not None
    try:
        if line is not None:
            program.stdin.write(line + "\n")
            program.stdin.flush()
        found = program.stdout.readline()
    except OSError:
        found = ""
    if not found.strip():
        raise DataError("METEOR's program ended early.", fix="see whether `java -version` works and 2 GB are free.")
    return found.strip()


def _jar() -> Path | None:
    package = importlib.util.find_spec("pycocoevalcap")
    places = list(package.submodule_search_locations or ()) if package is not None else []
    return next((jar for place in places if (jar := Path(place) / _JAR).is_file()), None)
