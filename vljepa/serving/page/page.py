"""The page itself: its tabs in a row, and what it may show of this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vljepa.errors import ConfigError
from vljepa.serving.page import classify, compare, describe, search, video
from vljepa.serving.page.desk import Desk

if TYPE_CHECKING:
    from gradio import Blocks

MAX_FILE = "256mb"
KEPT = (3600, 24 * 3600)
"""Seconds between two looks for old uploads, and how old they may become."""


def make_page(desk: Desk) -> Blocks:
    """The page, not yet served."""
    import gradio as gr

    with gr.Blocks(title=f"vljepa: {desk.name}", analytics_enabled=False, delete_cache=KEPT) as page:
        gr.Markdown(f"# vljepa\n**{desk.name}** predicts the embedding of what is there, and says it when asked.")
        for tab in (describe, search, video, classify, compare):
            tab.add(desk)
    return page


def serve_page(page: Blocks, desk: Desk, *, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve until a signal ends it.

    Args:
        page: As of `make_page`.
        desk: The browser may load what was found in its folders, and uploads; no other file.
        host: Address to listen on.
        port: Its port; 0 for a free one.
        on_ready: Called with the address.

    Raises:
        ConfigError: The port is taken.
    """
    from starlette.responses import FileResponse, Response
    from starlette.routing import Route

    def media(request: Any) -> Response:
        file = desk.media.get(request.path_params["key"])
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
        return Response(status_code=404) if file is None else FileResponse(file, headers=headers)

    page.queue(default_concurrency_limit=8, max_size=64)
    try:
        app, address, _ = page.launch(
            server_name=host,
            server_port=port or None,
            max_file_size=MAX_FILE,
            prevent_thread_lock=True,
            share=False,
            quiet=True,
            footer_links=[],
        )
    except OSError as error:
        raise ConfigError(f"the page cannot listen on {host}:{port}: {error}.", fix="give another --port.") from error
    app.router.routes.insert(0, Route(f"/{search.MEDIA}/{{key}}", media))
    on_ready(address)
    page.block_thread()
