"""Names as slots: a text says `<1>` where it says the name of the first entity that is told, and `<1>s` for several.

A decoder that writes slots need not spell a name that few of its training texts hold, and cannot misspell one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache, partial

from vljepa.processing.nouns import article_of, plural_of
from vljepa.processing.text import normalise_text

_SLOT = re.compile(r"\b(an? )?<(\d)>(s?)(?!\w)|<(\d)>(s?)(?!\w)")


def slot(place: int) -> str:
    """Slot of an entity, by its place among those that are told."""
    return f"<{place + 1}>"


def cut(text: str, names: Sequence[str]) -> str:
    """A text, in normal form, with slots for some names, articles before them brought to `a`.

    Example:
        >>> cut("an airedale and two huskies", ["Airedale", "husky"])
        'a <1> and two <2>s'
    """
    for place in sorted(range(len(names)), key=lambda place: -len(names[place])):
        text = _pattern(names[place]).sub(partial(_slot_of, place=place), text)
    return text


def fill(text: str, names: Sequence[str]) -> str:
    """The text with the names for its slots; articles agree. A slot without a name stays as it is.

    Example:
        >>> fill("a <1> and two <2>s", ["Airedale", "husky"])
        'an airedale and two huskies'
    """

    def named(found: re.Match[str]) -> str:
        article, number, plural = found[1], int(found[2] or found[4]) - 1, found[3] or found[5]
        if not 0 <= number < len(names):
            return found[0]
        name = normalise_text(names[number])
        if article is None:
            return plural_of(name) if plural else name
        return f"{article_of(name)} {name}"

    return _SLOT.sub(named, text)


def _slot_of(found: re.Match[str], *, place: int) -> str:
    article = "a " if found["article"] and found["one"] else found["article"] or ""
    return f"{article}{slot(place)}{'' if found['one'] else 's'}"


@lru_cache(maxsize=4096)
def _pattern(name: str) -> re.Pattern[str]:
    one = normalise_text(name)
    several = plural_of(one)
    ways = f"(?P<one>{re.escape(one)})" + ("" if several == one else f"|(?P<several>{re.escape(several)})")
    return re.compile(rf"(?<![\w<])(?P<article>an? )?(?:{ways})(?![\w>])")
