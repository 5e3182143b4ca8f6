"""What our pages have in common: one file that loads nothing, text that stays text, one look (`page.css`).

A page's own policy allows no style and no script but those in its template.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from importlib import resources
from pathlib import Path
from string import Template

from vljepa.data.whole_file import replace_file
from vljepa.errors import DataError


def render_page(template: str, **parts: str) -> str:
    """A page of a template beside this file.

    Args:
        template: Name of the file; `$style` in it is the common style, `$policy` the content security policy.
        parts: HTML of the template's other places.
    """
    here = resources.files("vljepa.inference")
    style = here.joinpath("page.css").read_text(encoding="utf-8")
    page = here.joinpath(template).read_text(encoding="utf-8").replace("$style", style.rstrip("\n"))
    return Template(page).substitute(policy=_policy(page), **parts)


def write_page(path: Path, page: str) -> None:
    """Write a page; the file is complete or not there.

    Raises:
        DataError: The file cannot be written.
    """
    try:
        replace_file(path, page.encode("utf-8"))
    except OSError as error:
        raise DataError(f"cannot write {str(path)!r}: {error.strerror}.", fix="name another place.") from error


def escaped(text: str) -> str:
    """Text for HTML: markup in it is just text, and what is no character becomes a question mark."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return html.escape(printable.encode("utf-8", "replace").decode("utf-8"))


def image_tag(jpeg: bytes | None, *, alt: str) -> str:
    """An image inside the page; an empty place where there is none.

    Args:
        jpeg: The file.
        alt: What it shows; any text.
    """
    if jpeg is None:
        return '<div class="blank"></div>'
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode("ascii")}" alt="{escaped(alt)}">'


def _policy(page: str) -> str:
    """Content security policy: nothing from outside, no style and script but the page's."""
    rules = ["default-src 'none'", "img-src data:"]
    for kind in ("style", "script"):
        for content in re.findall(f"<{kind}>(.*?)</{kind}>", page, flags=re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode("ascii")
            rules.append(f"{kind}-src 'sha256-{digest}'")
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])
