"""Tab: which of some labels fits, or none of these."""

from __future__ import annotations

from vljepa.errors import ConfigError
from vljepa.serving.page.desk import Desk, in_words, listed

NONE = "(none of these)"


def add(desk: Desk) -> None:
    """Add the tab to the page that is being made."""
    import gradio as gr

    with gr.Tab("Classify"), gr.Row():
        with gr.Column():
            image = gr.File(label="Image", file_types=["image"], type="filepath", elem_id="classify-image")
            shown = gr.Image(label="What the model sees", interactive=False, height=320, buttons=["fullscreen"])
            labels = gr.Textbox(label="Labels", placeholder="cat, dog, cup of coffee", elem_id="labels")
            none = gr.Checkbox(label="It may be none of these", value=True)
            go = gr.Button("Classify", variant="primary", elem_id="classify")
        table = gr.Label(label="Probabilities", num_top_classes=10, elem_id="probabilities")

        image.change(lambda path: path, inputs=image, outputs=shown)

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
    names = listed(labels)
    if not path:
        raise ConfigError("there is no image.", fix="choose or drop one first.")
    if not names:
        raise ConfigError("there are no labels.", fix="write some, separated by commas.")
    [found] = desk.pipeline.classify(path, names, none=none)
    return found.probabilities | ({} if found.none is None else {NONE: found.none})
