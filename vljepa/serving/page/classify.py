"""Tab: which of some labels fits, or none of these."""

from __future__ import annotations

from vljepa.errors import ConfigError
from vljepa.serving.page.desk import Desk, image_upload, in_words, listed, uploaded

NONE = "(none of these)"


def add(desk: Desk) -> None:
    """Add the tab to the page that is being made."""
    import gradio as gr

    with gr.Tab("Classify"), gr.Row():
        with gr.Column():
            image = image_upload("classify-image")
            labels = gr.Textbox(label="Labels", placeholder="cat, dog, cup of coffee", elem_id="labels")
            none = gr.Checkbox(label="It may be none of these", value=True)
            go = gr.Button("Classify", variant="primary", elem_id="classify")
        table = gr.Label(label="Probabilities", num_top_classes=10, elem_id="probabilities")

        def classify(path: str | None, names: str, other: bool) -> dict[str, float]:
            with desk.lock:
                return probabilities(desk, path, names, none=other)

        gr.on(
            [go.click, labels.submit],
            in_words(classify),
            inputs=[image, labels, none],
            outputs=table,
            api_name="classify",
        )


def probabilities(desk: Desk, path: str | None, labels: str, *, none: bool) -> dict[str, float]:
    """Probability by label; `NONE` among them where that is asked for.

    Raises:
        VLJEPAError: No image or labels, or an image that cannot be read.
    """
    path, names = uploaded(path), listed(labels)
    if not names:
        raise ConfigError("there are no labels.", fix="write some, separated by commas.")
    [found] = desk.pipeline.classify(path, names, none=none)
    return found.probabilities | ({} if found.none is None else {NONE: found.none})
