"""Files of samples behind web addresses: which there are, and how one gets onto the disk."""

from __future__ import annotations

import errno
import http.client
import os
import re
import shutil
import time
from itertools import product
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from filelock import FileLock

from vljepa.addresses import without_secrets
from vljepa.data.formats import DATA_FILES
from vljepa.errors import DataError

SHARD_FILES = (".tar", *DATA_FILES)
_SCHEMES = ("https://", "http://")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST = 1_000_000
_TRIES = 4
_FIRST_WAIT = 1.0
_TIMEOUT = 60.0
"""Seconds without a byte."""
_AT_ONCE = 1 << 20


def is_shards(path: str) -> bool:
    """Whether a path is an address of shards; other streams, such as `pipe:`, are nothing that can be read again."""
    return path.lower().startswith(_SCHEMES)


def shard_addresses(pattern: str) -> list[str]:
    """Addresses that `https://host/train-{000..123}.tar` stands for; a pattern without a range is one shard.

    Raises:
        DataError: What is no address, or holds a password; a range that runs backwards, too many shards, or a kind of
            file that no source is.
    """
    _check_address(pattern)
    pieces = _RANGE.split(pattern)
    ranges = list(zip(pieces[1::3], pieces[2::3], strict=True))
    count = 1
    for first, last in ranges:
        count *= max(0, int(last) - int(first) + 1)
    if not 0 < count <= _MOST:
        raise DataError(
            f"{shown(pattern)!r} stands for {count:,} shards.", fix=f"write {{000..123}}, for at most {_MOST:,} files."
        )
    if shard_kind(pattern) not in SHARD_FILES:
        raise DataError(
            f"{shown(pattern)!r} is of no known kind.",
            fix=f"name files that end with {', '.join(SHARD_FILES)}, such as https://host/train-{{000..123}}.tar.",
        )
    numbers = [[str(one).zfill(len(first)) for one in range(int(first), int(last) + 1)] for first, last in ranges]
    addresses = []
    for chosen in product(*numbers):
        words = [text for pair in zip(pieces[0::3], [*chosen, ""], strict=True) for text in pair]
        addresses.append("".join(words))
    return addresses


def _check_address(pattern: str) -> None:
    """Refuse what urllib would stumble over, with words that may hold a secret."""
    try:
        parts = urlsplit(pattern)
        good = parts.hostname is not None and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or re.search(r"[^\x21-\x7e]", pattern):
        raise DataError(
            f"{shown(pattern)!r} is no address.",
            fix="write https://host/train-{000..123}.tar, with %20 for a space.",
        )
    if "@" in parts.netloc:
        raise DataError(
            f"{shown(pattern)!r} holds a user or a password, which are not sent.",
            fix="leave them out, and sign the address (https://host/a.tar?signature=...) if the server asks for it.",
        )


def shown(address: str) -> str:
    """An address without what may be secret in it: a password, a signature."""
    return without_secrets(address, at_in_path=True)  # hubs name a revision so


def shard_kind(address: str) -> str:
    """Ending of the file behind an address, such as ".tar"."""
    return Path(urlsplit(address).path).suffix


def fetch_shard(address: str, file: Path) -> None:
    """Get a shard, unless `file` is there; of several processes one fetches and the others wait.

    The file appears whole or not at all. What fails is tried again, each time after twice as long.

    Raises:
        DataError: The server does not answer, answers with an error or too little, or the disk is full.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        wait = _FIRST_WAIT
        for left in range(_TRIES - 1, -1, -1):
            if file.is_file():
                break
            try:
                _download(address, file)
            except (OSError, http.client.HTTPException, ValueError) as error:
                if left == 0 or _hopeless(error):
                    reason = (
                        "it leads in a circle, or to no web address as safe as this" if _led_astray(error) else error
                    )
                    raise DataError(
                        f"the shard {shown(address)!r} cannot be fetched: {reason}.",
                        fix=f"check the address, the network and the disk of {str(file.parent)!r}, and run it again.",
                    ) from None  # the error may name the whole address, or where it led to
                time.sleep(wait)
                wait *= 2


def _download(address: str, file: Path) -> None:
    part = file.with_name(f"{file.name}.part")
    try:
        with build_opener(_Redirects).open(address, timeout=_TIMEOUT) as answer, part.open("wb") as out:
            shutil.copyfileobj(answer, out, _AT_ONCE)
            promised, got = answer.headers.get("Content-Length"), out.tell()
            if promised is not None and promised != str(got):
                raise ConnectionError(f"{got:,} of {promised!r} bytes came")
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


class _Redirects(HTTPRedirectHandler):
    """Only to another web address, and none that is less safe: a source is never a file of another kind of server."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> Request | None:
        if not is_shards(newurl) or (req.type == "https" and urlsplit(newurl).scheme != "https"):
            raise HTTPError(req.full_url, code, msg, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _hopeless(error: Exception) -> bool:
    """Whether to try again is no use: the server says that this is not there or not allowed, or the disk is full."""
    code = getattr(error, "code", None)
    refused = code is not None and 400 <= code < 500 and code not in (408, 429)
    return refused or _led_astray(error) or getattr(error, "errno", None) == errno.ENOSPC


def _led_astray(error: Exception) -> bool:
    """Whether the server named another place that is not to be asked; the error's words would show it."""
    return isinstance(error, http.client.InvalidURL | ValueError) or getattr(error, "code", 400) < 400
