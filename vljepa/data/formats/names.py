"""Which column of a stranger's table is what, guessed by the names that people use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vljepa.data.stored import Stored

NAMES = {
    "video": ("video", "video_path", "video_file", "clip"),
    "image": ("image", "image_path", "image_file", "file", "file_name", "filename", "filepath", "path", "picture",
              "photo", "img"),
    "text": ("text", "caption", "captions", "answer", "sentences", "sentence", "description", "title", "label", "name"),
    "query": ("query", "question", "prompt"),
    "source_id": ("source_id", "image_id", "picture_id"),
    "candidates": ("candidates", "choices", "options"),
    "type": ("type", "question_type", "answer_type"),
    "start": ("start", "start_time", "begin"),
    "end": ("end", "end_time", "stop"),
}  # fmt: skip
"""Names by what they mean, the likeliest first."""


def guess_columns(row: Mapping[str, Any]) -> dict[str, str]:
    """Meaning to column, for every meaning that some column of the row has; case does not count.

    Examples:
        >>> guess_columns({"File": "a.png", "Caption": "a cat", "id": 3})
        {'image': 'File', 'text': 'Caption'}
    """
    by_name = {str(name).strip().lower(): name for name in row}
    found = {}
    for meaning, names in NAMES.items():
        name = next((by_name[name] for name in names if name in by_name), None)
        if name is not None:
            found[meaning] = name
    stored = next((name for name, value in row.items() if isinstance(value, Stored)), None)
    if stored is not None:
        found["image"] = stored
    return found
