"""The one cache of results: a JSON file holds while model, data, settings and all of the code are the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval.core.provenance import code_digest, text_digest

Key = dict[str, str]


def key_of(code: str, **parts: Any) -> Key:
    """Hashes of what a result depends on.

    Args:
        code: Module that computes it; everything of ours that it imports, however deep, belongs to it.
        parts: Digests as they are, and anything else that JSON knows.
    """
    digests = {
        name: part if isinstance(part, str) else text_digest(json.dumps(part, sort_keys=True, default=str))
        for name, part in parts.items()
    }
    return {**digests, "code": code_digest(code)}


def still_holds(path: Path, key: Key) -> dict[str, Any] | None:
    """The finished result in a file, where nothing that it depends on has changed."""
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    return loaded if loaded.get("key") == key else None


def kept(path: Path, key: Key, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result in a file where it still holds, else what `compute` gives now, written there with its key."""
    found = still_holds(path, key)
    if found is None:
        write({"key": key, **compute()}, path)
        found = still_holds(path, key)
    assert found is not None, path
    return found


def write(content: dict[str, Any], path: Path) -> None:
    """Write a JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    half.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    half.replace(path)
