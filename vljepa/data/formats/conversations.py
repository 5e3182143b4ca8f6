"""Conversations about an image, as LLaVA and those after it write them: a sample per turn.

`{"image": "a.jpg", "conversations": [{"from": "human", "value": "<image> What is it?"}, {"from": "gpt", ...}]}`; or
`messages` with `role` and `content`, and `images` as a list of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vljepa.data.formats.registry import Fault, Item, Row

_TURNS = ("conversations", "messages")
_ASKS, _ANSWERS = ("human", "user"), ("gpt", "assistant")
_MARK = "<image>"


def turns_of(row: Row) -> Iterator[Item]:
    """A row per question and answer of a conversation; any other row as it is."""
    name = next((one for one in _TURNS if isinstance(row.get(one), list)), None)
    if name is None:
        yield row
        return
    image = row.get("image") or row.get("images")
    if isinstance(image, list):
        if len(image) > 1:
            yield Fault(f"a conversation about {len(image)} images")
            return
        image = image[0] if image else None
    if not image:
        yield Fault("conversations without an image", counts=False)
        return
    about = {"image": image} | ({"source_id": str(row["source_id"])} if row.get("source_id") else {})
    yield from (about | turn if isinstance(turn, dict) else turn for turn in _pairs(row[name]))


def _pairs(turns: list[Any]) -> Iterator[Item]:
    asked = ""
    for turn in turns:
        turn_text = _said(turn)
        if turn_text is None:
            yield Fault("a turn of a conversation without `from` and `value`, or `role` and `content`")
            return
        who, text = turn_text
        if who in _ASKS:
            asked = text.replace(_MARK, " ").strip()
        elif who in _ANSWERS:
            yield {"query": asked, "text": text}
            asked = ""


def _said(turn: Any) -> tuple[str, str] | None:
    if not isinstance(turn, dict):
        return None
    who, text = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
    if isinstance(text, list):  # parts, of which some are the image
        text = " ".join(str(part.get("text", "")) for part in text if isinstance(part, dict)).strip()
    return (who, text) if isinstance(who, str) and isinstance(text, str) else None
