"""Text that is no Unicode: bytes of the command line, or `\\ud83d` of a JSON file, that stand for no character."""

from __future__ import annotations

from vljepa.errors import ConfigError, VLJEPAError


def unicode_fault(text: str) -> str | None:
    """What is wrong with a text, as the end of a sentence; None where it is Unicode.

    Example:
        >>> unicode_fault("caf\\udce9")
        'is not Unicode at character 4 (\\\\udce9)'
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"is not Unicode at character {error.start + 1} ({ascii(text[error.start])[1:-1]})"
    return None


def check_unicode(text: str, *, what: str, kind: type[VLJEPAError] = ConfigError) -> str:
    """The text, which is Unicode.

    Args:
        text: Any.
        what: What errors call it, such as "the question".
        kind: Error to raise.

    Raises:
        VLJEPAError: Of `kind`: it holds what is no character, and could not be tokenized.
    """
    fault = unicode_fault(text)
    if fault is not None:
        raise kind(f"{what} {ascii(text)} {fault}.", fix="give it in UTF-8, or leave that character out.")
    return text
