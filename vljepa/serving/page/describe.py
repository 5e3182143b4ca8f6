"""Tab: a caption, or an answer to a question, open or from choices."""

from __future__ import annotations

from typing import Any

from vljepa.errors import ConfigError
from vljepa.serving.page.desk import Desk, image_upload, in_words, listed, uploaded

SURE = 0.3
"""Confidence from which a caption is shown without a remark."""


def add(desk: Desk) -> None:
    """Add the tab to the page that is being made."""
    import gradio as gr

    with gr.Tab("Caption and ask"):
        with gr.Row():
            with gr.Column():
                image = image_upload("describe-image")
                question = gr.Textbox(label="Question", placeholder="leave empty for a caption", elem_id="question")
                choices = gr.Textbox(
                    label="Choices", placeholder="yes, no (separated by commas; empty for an answer in words)"
                )
                go = gr.Button("Caption or answer", variant="primary", elem_id="describe")
            with gr.Column():
                words = gr.Textbox(label="In words", interactive=False, lines=2, elem_id="words")
                remark = gr.Markdown()
                table = gr.Label(label="Choices by probability", num_top_classes=10)

        def describe(path: str | None, asked: str, among: str) -> tuple[Any, ...]:
            with desk.lock:
                return answer(desk, path, asked, among)

        gr.on(
            [go.click, question.submit, choices.submit],
            in_words(describe),
            inputs=[image, question, choices],
            outputs=[words, remark, table],
            api_name="describe",
        )


def answer(desk: Desk, path: str | None, question: str, choices: str) -> tuple[str, str, dict[str, float] | None]:
    """Words, a remark about how sure they are, and probabilities of the choices, if there are some.

    Raises:
        VLJEPAError: No image, one that cannot be read, choices without a question, or a model without words.
    """
    path = uploaded(path)
    among = listed(choices)
    if among and not question.strip():
        raise ConfigError("there are choices and no question.", fix="ask one, or use the tab Classify.")
    if among:
        [found] = desk.pipeline.ask(path, question.strip(), among)
        remark = f"**{found.confidence:.0%}** sure, among {len(among)} choices."
        return found.label or "", remark, found.probabilities
    if question.strip():
        [caption] = desk.pipeline.ask(path, question.strip())
    else:
        [caption] = desk.pipeline.caption(path)
    return caption.text or "", _remark(caption.confidence), None


def _remark(confidence: float | None) -> str:
    if confidence is None:
        return "This decoder does not say how sure it is."
    doubt = "" if confidence >= SURE else ": **not sure**, take it as a hint"
    return f"Confidence {confidence:.0%}{doubt}."
