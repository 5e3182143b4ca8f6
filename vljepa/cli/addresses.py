"""Images at addresses of the web, where `--allow-urls` allows them: fetched into files that go with the command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from vljepa.errors import ConfigError, ImageError


class Fetched:
    """What was named on the command line, with files in the place of addresses.

    Args:
        words: Paths, patterns and addresses.
        allowed: Whether addresses are fetched: those of the public web, as `vljepa.serving.fetch` bounds them.

    Attributes:
        words: The same, all of this machine; without what cannot be had.
        skipped: Addresses that give no image, with the reason.

    Raises:
        ConfigError: There is an address, and they are not allowed.
        ImageError: None can be had, and nothing else was named.
    """

    def __init__(self, words: Sequence[str], *, allowed: bool) -> None:
        self._names: dict[str, str] = {}
        self._folder: TemporaryDirectory[str] | None = None  # it goes when this object does
        self.skipped: list[tuple[str, str]] = []
        found = [self._file(word, allowed=allowed) if is_address(word) else word for word in words]
        self.words = [word for word in found if word is not None]
        if words and not self.words:
            raise ImageError(self.skipped[0][1], fix="check the address, or download the image first.")

    def name(self, path: str) -> str:
        """The address that a file was fetched from; other paths as they are."""
        return self._names.get(path, path)

    def _file(self, address: str, *, allowed: bool) -> str | None:
        if not allowed:
            raise ConfigError(f"{address!r} is an address.", fix="add --allow-urls to fetch it, or download it first.")
        from vljepa.serving.errors import RequestError
        from vljepa.serving.fetch import fetch_image

        try:
            content = fetch_image(address)
        except RequestError as error:
            self.skipped.append((address, error.message))
            return None
        self._folder = self._folder or TemporaryDirectory(prefix="vljepa_")
        name = PurePosixPath(unquote(urlsplit(address).path)).name or "image"
        place = Path(self._folder.name) / f"{len(self._names)}_{re.sub('[^A-Za-z0-9._-]', '_', name)[-80:]}"
        place.write_bytes(content)
        self._names[str(place)] = address
        return str(place)


def is_address(word: str) -> bool:
    """Whether a word is an address of the web."""
    return word.lower().startswith(("http://", "https://"))
