"""The normal form in which two texts count as equal."""

from __future__ import annotations

import re
import unicodedata

_SPACE = re.compile(r"\s+")


def normalise_text(text: str) -> str:
    """Form in which two texts count as the same target: lower case, single spaces, no closing punctuation.

    Example:
        >>> normalise_text("  A red  Apple. ")
        'a red apple'
    """
    # Folding can undo the composition, so compose on both sides of it.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _SPACE.sub(" ", folded).strip().rstrip(".!?;, ")
