"""What the tabs share: one model, used by one visitor at a time, and errors in words that a visitor can act on."""

from __future__ import annotations

import functools
import hashlib
import inspect
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vljepa.errors import ConfigError, VLJEPAError
from vljepa.inference.index import Index
from vljepa.inference.pipeline import Pipeline


class Desk:
    """A model and the folders of this machine that visitors may search.

    One visitor uses the model at a time: for an answer, a segment of a video, or a frame of a webcam.

    Args:
        pipeline: The model.
        name: What it is called on the page.
        folders: Of images and videos; nothing else of this machine is shown.

    Attributes:
        lock: Held by who uses the model.
        media: Files that were found in the folders, by the keys under which browsers may ask for them.
    """

    def __init__(self, pipeline: Pipeline, *, name: str, folders: Sequence[Path] = ()) -> None:
        self.pipeline = pipeline
        self.name = name
        self.folders = {str(folder): folder.resolve() for folder in folders}
        self.lock = threading.RLock()
        self.media: dict[str, Path] = {}
        self._indexes: dict[str, Index] = {}

    @property
    def has_words(self) -> bool:
        """Whether the model has a Y-Decoder."""
        return self.pipeline.model.y_decoder is not None

    def index_of(self, folder: str, *, progress: Callable[[int], None] | None = None) -> Index:
        """Index of one of the folders, made once and brought up to date each time it is asked for.

        Args:
            folder: Its name in `folders`.
            progress: Called with the number of files done since the last call.

        Raises:
            VLJEPAError: Nothing in it can be read.
        """
        known = [self._indexes[folder]] if folder in self._indexes else []
        self._indexes[folder] = self.pipeline.index(self.folders[folder], known=known, progress=progress)
        return self._indexes[folder]

    def key_of(self, folder: str, path: str) -> str | None:
        """Key under which browsers may ask for an indexed file; None where a link leads out of the folder."""
        file = self.folders[folder] / path
        if not file.resolve().is_relative_to(self.folders[folder]):
            return None
        key = hashlib.sha256(str(file).encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self.media[key] = file
        return key


def in_words(call: Callable[..., Any]) -> Callable[..., Any]:
    """A handler whose errors of ours are shown to the visitor; it may be a generator."""
    import gradio as gr

    def shown(error: VLJEPAError) -> gr.Error:
        return gr.Error(str(error), duration=None, print_exception=False, title="That did not work")

    if inspect.isgeneratorfunction(call):

        @functools.wraps(call)
        def each(*args: Any, **options: Any) -> Any:
            try:
                yield from call(*args, **options)
            except VLJEPAError as error:
                raise shown(error) from None

        return each

    @functools.wraps(call)
    def once(*args: Any, **options: Any) -> Any:
        try:
            return call(*args, **options)
        except VLJEPAError as error:
            raise shown(error) from None

    return once


def image_upload(elem_id: str) -> Any:
    """A place for an image's file, and below it what the model sees; the file."""
    import gradio as gr

    image = gr.File(label="Image", file_types=["image"], type="filepath", elem_id=elem_id)
    shown = gr.Image(label="What the model sees", interactive=False, height=320, buttons=["fullscreen"])
    image.change(lambda path: path, inputs=image, outputs=shown)
    return image


def uploaded(path: str | None, *, what: str = "image") -> str:
    """The file that a visitor has chosen.

    Raises:
        ConfigError: There is none.
    """
    if not path:
        raise ConfigError(f"there is no {what}.", fix="choose or drop one first.")
    return path


def listed(text: str) -> list[str]:
    """What a visitor has listed in a box: by lines, or by commas where there is one line; blanks left out."""
    lines = text.strip().splitlines()
    parts = lines if len(lines) > 1 else text.split(",")
    return [part.strip() for part in parts if part.strip()]
