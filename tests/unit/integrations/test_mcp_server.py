"""`vljepa mcp` with the SDK's own client over standard input and output: what it tells, and what it refuses to read."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from PIL import Image

from vljepa.errors import DataError
from vljepa.integrations.allowed import AllowedFolders

CLI = "from vljepa.cli.main import main; import sys; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """photos/: red.png, deep/blue.png, and links to what lies outside; beside it secret.png."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(folder / "red.png")
    Image.new("RGB", (8, 8), "blue").save(folder / "deep" / "blue.png")
    Image.new("RGB", (8, 8), "lime").save(tmp_path / "secret.png")
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (8, 8), "lime").save(tmp_path / "elsewhere" / "far.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "inside.png").symlink_to(folder / "red.png")
    (folder / "way").symlink_to(tmp_path / "elsewhere")
    return folder


def session(photos: Path, options: list[str], work: Callable[[Client], Any]) -> Any:
    """Run `work` with a client that has started the server as its own process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    server = StdioServerParameters(
        command=sys.executable, args=["-c", CLI, "mcp", str(photos), *options], env=environment
    )

    async def run() -> Any:
        async with Client(server, read_timeout_seconds=300) as client:
            return await work(client)

    return asyncio.run(run())


def value(result: Any) -> Any:
    assert not result.is_error, result.content
    found = result.structured_content
    return found["result"] if set(found) == {"result"} else found


def test_an_assistant_searches_captions_and_asks(photos: Path, speaking: list[str]) -> None:
    async def work(client: Client) -> dict[str, Any]:
        tools = (await client.list_tools()).tools
        call = client.call_tool
        found = {
            "tools": {one.name: one.input_schema["properties"].keys() for one in tools},
            "read only": all(one.annotations.read_only_hint for one in tools),
            "hits": value(await call("search", {"query": "something red"})),
            "alike": value(await call("search", {"image": "red.png", "k": 1})),
            "captions": value(await call("caption", {"paths": ["red.png", str(photos / "deep" / "blue.png")]})),
            "chosen": value(await call("ask", {"path": "red.png", "question": "is it?", "choices": ["a", "b"]})),
            "said": value(await call("ask", {"path": "deep/blue.png", "question": "what is it?"})),
        }
        Image.new("RGB", (8, 8), "white").save(photos / "new.png")
        return found | {"later": value(await call("search", {"query": "something red"}))}

    found = session(photos, speaking, work)
    assert set(found["tools"]) == {"search", "caption", "ask"}
    assert found["read only"]
    own = {str(photos / "red.png"), str(photos / "deep" / "blue.png")}
    assert {hit["path"] for hit in found["hits"]} == own, "no link is indexed"
    assert found["alike"][0]["path"] == str(photos / "red.png")
    assert [Path(one["path"]).name for one in found["captions"]] == ["red.png", "blue.png"]
    assert all(isinstance(one["caption"], str) for one in found["captions"])
    assert found["chosen"]["answer"] in ("a", "b")
    assert sum(found["chosen"]["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert isinstance(found["said"]["answer"], str)
    assert {hit["path"] for hit in found["later"]} == {*own, str(photos / "new.png")}


def test_nothing_outside_is_read(photos: Path, speaking: list[str]) -> None:
    outside = photos.parent / "secret.png"
    bad = [
        str(outside), "../secret.png", "deep/../../secret.png", "deep/../red.png", "link.png", "inside.png",
        "way/far.png", "/etc/passwd", "red.png\0", "", ".", "deep", str(photos), "missing.png", "file:///etc/passwd",
        "https://example.org/a.png", "~/x.png",
    ]  # fmt: skip

    async def work(client: Client) -> list[tuple[str, bool, str]]:
        said = []
        for path in bad:
            for name, arguments in (
                ("caption", {"paths": [path]}),
                ("ask", {"path": path, "question": "what is it?"}),
                ("search", {"image": path}),
            ):
                result = await client.call_tool(name, arguments)
                said.append((f"{name} {path!r}", bool(result.is_error), json.dumps(str(result.content))))
        return said

    for what, refused, message in session(photos, speaking, work):
        assert refused, what
        assert "is no file below the allowed folders" in message or "a search is for a text or for an image" in message


def test_the_rule_itself(photos: Path) -> None:
    allowed = AllowedFolders([photos])
    assert allowed.file("red.png") == photos / "red.png"
    assert allowed.file(str(photos / "deep" / "blue.png")) == photos / "deep" / "blue.png"
    assert sorted(one.name for one in allowed.media()) == ["blue.png", "red.png"]
    linked = photos.parent / "by_link"
    linked.symlink_to(photos)
    assert AllowedFolders([linked]).file("red.png") == photos / "red.png", "a folder that was named is trusted"
    for given in ("link.png", "inside.png", "way/far.png", "../secret.png", str(linked / "red.png")):
        with pytest.raises(DataError, match="is no file below"):
            allowed.file(given)
    with pytest.raises(DataError, match="there is no folder"):
        AllowedFolders([photos / "red.png"])
