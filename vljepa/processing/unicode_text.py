"""What is no text, and text that is no Unicode: bytes of the command line or of JSON that stand for no character."""

from __future__ import annotations

from vljepa.errors import ConfigError, VLJEPAError


def unicode_fault(text: str) -> str | None:
    """What is wrong with a text, as the end of a sentence; None where it is Unicode.

    Example:
        >>> unicode_fault("caf" + chr(0xDCE9)).split(" (")[0]
        'is not Unicode at character 4'
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"is not Unicode at character {error.start + 1} ({ascii(text[error.start])[1:-1]})"
    return None


def _short(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


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
        raise kind(f"{what} {_short(text)} {fault}.", fix="give it in UTF-8, or leave that character out.")
    return text


def check_text(text: object, *, what: str) -> str:
    """A text, as it is.

    Args:
        text: Anything.
        what: What errors call it.

    Raises:
        ConfigError: It is not a `str`, or not Unicode.
    """
    if not isinstance(text, str):
        raise ConfigError(f"{what} is {text!r}, of type {type(text).__name__}, not a text.", fix="give a str.")
    return check_unicode(text, what=what)
