"""Tools for assistants by the Model Context Protocol: search, caption and ask, on files of allowed folders alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vljepa import __version__
from vljepa.errors import ConfigError, VLJEPAError
from vljepa.extras import require_extra
from vljepa.integrations.allowed import AllowedFolders

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from vljepa.inference.index import Index
    from vljepa.inference.pipeline import Pipeline

_MOST = 50
"""Results of a search, and files of one call."""


class Tools:
    """What an assistant may call. One call at a time; the model is loaded by the first.

    Args:
        allowed: Whose files may be read.
        load: Loads the model.
    """

    def __init__(self, allowed: AllowedFolders, *, load: Callable[[], Pipeline]) -> None:
        self._allowed = allowed
        self._load = load
        self._lock = threading.Lock()
        self._index: Index | None = None

    @cached_property
    def _model(self) -> Pipeline:
        return self._load()

    def search(self, query: str = "", image: str = "", k: int = 10) -> list[dict[str, Any]]:
        """Find the images and segments of videos that are most like a text, or like an image.

        Files that are new or have changed since the last search are embedded first, which takes a while. There is
        always a most similar one, also where nothing fits: look at the scores.

        Args:
            query: What to look for, such as "a dog that jumps into a lake".
            image: Instead of it: path of an image below the allowed folders.
            k: How many to list, at most 50.
        """
        with self._turn():
            if bool(query.strip()) == bool(image):
                raise ConfigError("a search is for a text or for an image.", fix="give query or image, and not both.")
            asked = self._allowed.file(image) if image else query
            known = [] if self._index is None else [self._index]
            index = self._index = self._model.index([str(file) for file in self._allowed.media()], known=known)
            hits = index.search(asked, k=min(max(1, k), _MOST))
            return [
                {"path": str(index.folder / hit.path), "score": round(hit.score, 4)}
                | ({} if hit.start is None else {"start": hit.start, "end": hit.end, "time": hit.time})
                for hit in hits
            ]

    def caption(self, paths: list[str]) -> list[dict[str, Any]]:
        """Describe images or videos in a few words each: what is to be seen, not why.

        Args:
            paths: Files below the allowed folders, at most 50.
        """
        with self._turn():
            found = self._model.caption(self._files(paths))
            return [{"path": str(one.image), "caption": one.text, "confidence": one.confidence} for one in found]

    def ask(self, path: str, question: str, choices: list[str] | None = None) -> dict[str, Any]:
        """Answer a question about an image or a video: with one of the choices, or in words.

        Args:
            path: A file below the allowed folders.
            question: Such as "what colour is it?".
            choices: Possible answers; with them the answer is the likeliest, with its probability.
        """
        with self._turn():
            file = self._allowed.file(path)
            if choices:
                [chosen] = self._model.ask(file, question, choices)
                return {"answer": chosen.label, "probabilities": chosen.probabilities}
            [answer] = self._model.ask(file, question)
            return {"answer": answer.text, "confidence": answer.confidence}

    def _files(self, paths: list[str]) -> Any:
        if not 1 <= len(paths) <= _MOST:
            raise ConfigError(f"{len(paths)} paths are not from 1 to {_MOST}.", fix="call again for the others.")
        return [self._allowed.file(path) for path in paths]

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One call at a time; what is wrong with it is said to the assistant in a sentence."""
        from mcp.server.mcpserver.exceptions import ToolError

        with self._lock:
            try:
                yield
            except VLJEPAError as error:
                raise ToolError(str(error)) from error


def make_server(allowed: AllowedFolders, *, load: Callable[[], Pipeline]) -> MCPServer[Any]:
    """A server with the tools of `Tools`; `run("stdio")` serves until its input ends.

    Raises:
        ConfigError: The extra is not installed.
    """
    require_extra("mcp", "mcp.server", "mcp_types", user="vljepa mcp")
    from mcp.server import MCPServer
    from mcp_types import ToolAnnotations

    where = ", ".join(map(str, allowed.folders))
    server: MCPServer[Any] = MCPServer(
        "vljepa",
        version=__version__,
        instructions=f"Searches, describes and answers questions about the images and videos below {where}. Paths are "
        "absolute or relative to these folders; other files, links and .. are refused.",
        log_level="WARNING",
    )
    tools = Tools(allowed, load=load)
    for tool in (tools.search, tools.caption, tools.ask):
        server.add_tool(tool, annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))
    return server
