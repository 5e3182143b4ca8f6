"""Tab: search the folders that were named on the command line, by text or by image; videos play at the hit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vljepa.errors import ConfigError
from vljepa.inference.index import Hit
from vljepa.inference.page import escaped
from vljepa.inference.subtitles import span
from vljepa.processing.image import open_image
from vljepa.processing.image_sequence import is_moving
from vljepa.processing.video import frame_at
from vljepa.serving.page.desk import Desk, in_words

HITS = 24
SIDE = 480
MEDIA = "media"
"""Below this the browser asks for the files of hits, by their keys."""


def add(desk: Desk) -> None:
    """Add the tab to the page that is being made."""
    import gradio as gr

    with gr.Tab("Search my folder"):
        if not desk.folders:
            gr.Markdown("Start the page with `vljepa demo --folder PATH` to search a folder of this machine here.")
            return
        names = list(desk.folders)
        folder = gr.Dropdown(names, value=names[0], label="Folder", elem_id="folder")
        with gr.Row():
            query = gr.Textbox(label="Search for", placeholder="a red flower", elem_id="query")
            image = gr.File(label="or for what is like this image", file_types=["image"], type="filepath", height=96)
        go = gr.Button("Search", variant="primary", elem_id="search")
        report = gr.Markdown()
        gallery = gr.Gallery(label="Nearest first", columns=4, allow_preview=False, elem_id="hits")
        player = gr.HTML(elem_id="player")
        hits, waiting = gr.State(None), gr.Progress()

        def search(place: str, text: str, like: str | None, progress: Any = waiting) -> tuple[Any, ...]:
            done = 0

            def advance(count: int) -> None:
                nonlocal done
                done += count
                progress((done, None), desc="looking at images and videos", unit="files")

            with desk.lock:
                found, about = nearest(desk, place, text, like, progress=advance)
            shown = [(thumbnail(desk, place, hit), caption(hit)) for hit in found]
            return shown, about, (place, found), ""

        def choose(shown: tuple[str, list[Hit]], event: Any) -> str:
            place, found = shown
            return play(desk, place, found[event.index])

        choose.__annotations__["event"] = gr.SelectData  # gradio reads it, and knows no name of this function

        gr.on(
            [go.click, query.submit],
            in_words(search),
            inputs=[folder, query, image],
            outputs=[gallery, report, hits, player],
            api_name="search",
        )
        gallery.select(choose, inputs=hits, outputs=player, api_name=False)


def nearest(
    desk: Desk, folder: str, text: str, like: str | None, *, progress: Callable[[int], None] | None = None
) -> tuple[list[Hit], str]:
    """The nearest images and segments of a folder, and a line about them.

    Raises:
        VLJEPAError: No query or two of them, a folder that is not shown here, or nothing in it that can be read.
    """
    if folder not in desk.folders:
        raise ConfigError("this folder is not shown here.", fix="choose one of the list.")
    if bool(text.strip()) == bool(like):
        raise ConfigError("give a text or an image to search for, and one of them.", fix="empty the other one.")
    index = desk.index_of(folder, progress=progress)
    hits = index.search(Path(like) if like else text.strip(), k=HITS, per_video=6)
    hits = [hit for hit in hits if desk.key_of(folder, hit.path) is not None]
    about = f"{len(hits)} of {len(index)} images and segments"
    return hits, about + (f"; {len(index.skipped)} files cannot be read" if index.skipped else "")


def caption(hit: Hit) -> str:
    """What stands below a hit: its cosine, its name and its time."""
    when = "" if hit.start is None or hit.end is None else f"  {span(hit.start, hit.end)}"
    return f"{hit.score:.2f}  {Path(hit.path).name}{when}"


def thumbnail(desk: Desk, folder: str, hit: Hit) -> Any:
    """A small image; of a video the segment's best frame."""
    path = desk.folders[folder] / hit.path
    limit = desk.pipeline.processor.config.x_encoder.image.max_pixels
    if hit.time is None:
        image = open_image(path, max_pixels=limit)
    else:
        image = frame_at(path, hit.time, fps=None, max_pixels=limit)
    image.thumbnail((SIDE, SIDE))
    return image


def play(desk: Desk, folder: str, hit: Hit) -> str:
    """A player that begins at the hit; of an image, the image."""
    path = desk.folders[folder] / hit.path
    address = f"{MEDIA}/{desk.key_of(folder, hit.path)}"  # relative: there may be a proxy with a prefix
    name = escaped(Path(hit.path).name)
    if hit.start is None or is_moving(path):
        return f'<img src="{escaped(address)}" alt="{name}" style="max-width: 100%; max-height: 480px">'
    return (
        f'<video src="{escaped(address)}#t={hit.start:.2f}" controls autoplay muted playsinline '
        f'aria-label="{name}, from the hit on" style="max-width: 100%; max-height: 480px"></video>'
    )
