"""What goes wrong in a user's hands, said in one line: what was got, what was expected, what to do."""

from __future__ import annotations


class VLJEPAError(Exception):
    """A user's error. The command line prints it in one line and exits with code 2.

    Args:
        message: What was got and what was expected, with the offending value.
        fix: The next thing to try, as an imperative sentence.
    """

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message, fix)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} Fix: {self.fix}"


class ConfigError(VLJEPAError):
    """A recipe, a preset or an override that does not validate."""


class PartError(VLJEPAError):
    """A pretrained part that cannot be named, found, loaded or trusted."""


class AssetError(VLJEPAError):
    """A file of the asset manifest that cannot be fetched, verified or stored."""


class DataError(VLJEPAError):
    """A source whose rows, columns or paths are not usable."""


class ImageError(DataError):
    """An image that is missing, broken, or larger than the pixel cap."""


class VideoError(DataError):
    """A video that is missing, no video, damaged, cut short, or larger than the pixel cap."""


class CheckpointError(VLJEPAError):
    """A saved model or training state that is incomplete or does not fit."""


class StoppedError(VLJEPAError):
    """A run that a signal ended early, and that goes on where it was; the command line exits with code 75."""


class TextSpaceError(VLJEPAError):
    """An index or a decoder that was made by another model, or in another text space, than the one at hand."""


class FileWarning(UserWarning):
    """Something worth knowing about a file that was read; the command line prints it as a note."""
