"""The page itself: its tabs in a row, and what it may show of this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vljepa.serving.page import classify, compare, describe, search, video
from vljepa.serving.page.desk import Desk

if TYPE_CHECKING:
    from gradio import Blocks

MAX_FILE = "256mb"


def make_page(desk: Desk) -> Blocks:
    """The page, not yet served."""
    import gradio as gr

    with gr.Blocks(title=f"vljepa: {desk.name}", analytics_enabled=False) as page:
        gr.Markdown(f"# vljepa\n**{desk.name}** predicts the embedding of what is there, and says it when asked.")
        for tab in (describe, search, video, classify, compare):
            tab.add(desk)
    return page


def serve_page(page: Blocks, desk: Desk, *, host: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve until a signal ends it.

    Args:
        page: As of `make_page`.
        desk: Whose folders the browser may load files from; uploads apart, no others.
        host: Address to listen on.
        port: Its port; 0 for a free one.
        on_ready: Called with the address.
    """
    page.queue(default_concurrency_limit=8, max_size=64)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port or None,
        allowed_paths=[str(folder) for folder in desk.folders.values()],
        max_file_size=MAX_FILE,
        prevent_thread_lock=True,
        share=False,
        quiet=True,
        footer_links=[],
    )
    on_ready(address)
    page.block_thread()
