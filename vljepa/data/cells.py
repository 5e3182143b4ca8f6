"""The texts of a cell of a stranger's table: lists in any spelling, and words that mean that there is none."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from vljepa.processing.unicode_text import unicode_fault

_MISSING = frozenset({"nan", "null", "<na>", "#n/a"})
"""How tables write that there is nothing. `none` is not among them: it answers questions."""
_QUOTED = re.compile(r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*,?""", re.DOTALL)
_RAW = ("raw", "caption", "text", "sentence")


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, not a number, blanks, or a word that tables write for that.

    Example:
        >>> [is_missing(value) for value in (None, float("nan"), " ", "nan", "NaN", "none", 0)]
        [True, True, True, True, True, False, False]
    """
    if value is None:
        return True
    if isinstance(value, float):
        return math.isnan(value)
    return isinstance(value, str) and (not value.strip() or value.strip().lower() in _MISSING)


def text_in(value: Any) -> str:
    """A cell's text; empty where it holds nothing."""
    return "" if is_missing(value) else str(value).strip()


def texts_in(value: Any) -> tuple[str, ...]:
    """The texts of a cell: one, a list, or a list written as JSON or as Python and NumPy print it.

    What is missing in a list is left out.

    Raises:
        ValueError: Neither a text nor a list of texts; says what is wrong, as the end of a sentence.

    Examples:
        >>> texts_in("['a cat', 'a dog']"), texts_in('["a", "b"]'), texts_in("[sic] a cat")
        (('a cat', 'a dog'), ('a', 'b'), ('[sic] a cat',))
        >>> texts_in("['a' 'b']"), texts_in(["a", None])
        (('a', 'b'), ('a',))
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _written_list(value)
    values = value if isinstance(value, list | tuple) else [value]
    texts = tuple(text for one in values if (text := text_in(_raw(one))))
    for text in texts:
        fault = unicode_fault(text)
        if fault is not None:
            raise ValueError(f"= {text!a} {fault}")
    return texts


def _raw(value: Any) -> Any:
    """The text of an entry; sentences of COCO are objects."""
    if isinstance(value, dict):
        value = next((value[name] for name in _RAW if name in value), value)
    if isinstance(value, str | int | float | None):
        return value
    raise ValueError(f"= {str(value)[:100]!r} is neither a text nor a list of texts")


def _written_list(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    inner = text.strip()
    if not inner.endswith("]"):
        return [text]  # a caption may begin with a bracket
    entries, at, end = [], 1, len(inner) - 1
    while at < end and (match := _QUOTED.match(inner, at, end)) is not None:
        entries.append(_unquoted(match[1]))
        at = match.end()
    return entries if entries and not inner[at:end].strip() else [text]


def _unquoted(quoted: str) -> str:
    """A Python string without its quotes; of its escapes those that captions hold."""
    escapes = {"n": "\n", "t": "\t", "r": "\r"}
    return re.sub(r"\\(.)", lambda match: escapes.get(match[1], match[1]), quoted[1:-1], flags=re.DOTALL)
