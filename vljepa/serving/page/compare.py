"""Tab: how near texts are to each other, and to an image."""

from __future__ import annotations

from typing import Any

from vljepa.errors import ConfigError
from vljepa.serving.page.desk import Desk, in_words

MOST = 50


def add(desk: Desk) -> None:
    """Add the tab to the page that is being made."""
    import gradio as gr

    with gr.Tab("Compare texts"):
        with gr.Row():
            left = gr.Textbox(label="Texts, one in each line", lines=5, elem_id="left")
            right = gr.Textbox(label="Compared with these, or with each other", lines=5, elem_id="right")
        go = gr.Button("Compare", variant="primary", elem_id="compare")
        table = gr.Dataframe(label="Cosines", interactive=False, elem_id="cosines")

        def compare(a: str, b: str) -> dict[str, Any]:
            with desk.lock:
                head, rows = cosines(desk, a, b)
            return {"headers": head, "data": rows}

        go.click(in_words(compare), inputs=[left, right], outputs=table, api_name="compare")


def cosines(desk: Desk, left: str, right: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table of cosines.

    Raises:
        VLJEPAError: No text, too many, or one that is no Unicode.
    """
    a = [line.strip() for line in left.splitlines() if line.strip()]
    b = [line.strip() for line in right.splitlines() if line.strip()] or a
    if not a:
        raise ConfigError("there are no texts.", fix="write one in each line.")
    if max(len(a), len(b)) > MOST:
        raise ConfigError(f"there are {max(len(a), len(b))} texts.", fix=f"compare {MOST} or fewer.")
    rows = desk.pipeline.embedder.texts(a) @ desk.pipeline.embedder.texts(b).T
    return ["", *b], [[text, *(f"{value:.3f}" for value in row)] for text, row in zip(a, rows.tolist(), strict=True)]
