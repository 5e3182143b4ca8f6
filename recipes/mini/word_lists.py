"""The lists of words in ``words/``, one YAML file for each module that has some."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "words"


@cache
def read_words(name: str) -> dict[str, Any]:
    """Return what stands in a file: lists and mappings of words by their name, in the order of the file."""
    words: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return words


def any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    """Return the regular expression that finds any of some, in any case."""
    return re.compile("|".join(patterns), re.IGNORECASE)
