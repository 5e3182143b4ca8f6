"""Tab: a video or a webcam in words, one caption for each segment of one meaning, as `vljepa stream` gives them."""

from __future__ import annotations

import html
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vljepa.inference.selective import Segment, SelectiveDecoder
from vljepa.inference.stream_report import render_report, savings
from vljepa.inference.stream_stats import StreamStats
from vljepa.inference.subtitles import span
from vljepa.serving.page.desk import Desk, in_words, uploaded

if TYPE_CHECKING:
    from PIL.Image import Image

SHOWN = 50
"""Captions and changes of a webcam that are kept; older ones are forgotten, so that memory stays flat."""
HEAD = ["time", "caption", "confidence"]


def add(desk: Desk) -> None:
    """Add the tab to the page that is being made."""
    import gradio as gr

    with gr.Tab("Video"):
        if not desk.has_words:
            gr.Markdown("This model has no Y-Decoder, so a video has no words here.")
            return
        with gr.Tab("A file"):
            video = gr.Video(label="Video", sources=["upload"], elem_id="video", height=320)
            go = gr.Button("Captions", variant="primary", elem_id="watch")
            note = gr.Markdown(elem_id="saved")
            table = gr.Dataframe(headers=HEAD, label="Captions", interactive=False, wrap=True, elem_id="captions")
            report = gr.HTML(label="Report", elem_id="report")

            def watch(path: str | None) -> Iterator[tuple[Any, ...]]:
                yield from captions(desk, path)

            go.click(in_words(watch), inputs=video, outputs=[table, note, report], api_name="watch")
        with gr.Tab("Webcam"):
            with gr.Row():
                camera = gr.Image(
                    label="Webcam", sources=["webcam"], streaming=True, type="pil", elem_id="webcam", height=320
                )
                change = gr.LinePlot(label="Change of meaning", x="seconds", y="change", height=320)
            live_note = gr.Markdown(elem_id="live-saved")
            live_table = gr.Dataframe(headers=HEAD, label="Captions", interactive=False, wrap=True, elem_id="live")
            session = gr.State(None)

            def see(image: Image | None, seen: Webcam | None) -> tuple[Any, ...]:
                with desk.lock:
                    seen = Webcam(desk) if seen is None else seen
                    if image is not None:
                        seen.push(image)
                    return seen, *seen.shown()

            camera.stream(
                in_words(see),
                inputs=[camera, session],
                outputs=[session, live_table, live_note, change],
                stream_every=0.25,
                time_limit=3600,
                show_progress="hidden",
                api_name=False,
            )


def captions(desk: Desk, path: str | None) -> Iterator[tuple[list[list[str]], str, str]]:
    """Rows of the table so far, a line about what was saved, and at the end the whole report.

    Raises:
        VLJEPAError: No video, or one that cannot be read.
    """
    path = uploaded(path, what="video")
    stats, segments = StreamStats(), list[Segment]()
    found = desk.pipeline.stream(path, stats=stats)
    while True:
        with desk.lock:
            segment = next(found, None)
        if segment is None:
            break
        segments.append(segment)
        yield [row(one) for one in segments], "looking at the video ...", ""
    page = render_report(title=Path(path).name, about=f"model {desk.name}", segments=segments, stats=stats)
    frame = (
        f'<iframe srcdoc="{html.escape(page)}" title="Report about the video" sandbox '
        'style="width: 100%; height: 1000px; border: 0"></iframe>'
    )
    yield [row(one) for one in segments], f"**{savings(stats)}**", frame


def row(segment: Segment) -> list[str]:
    """A row of the table."""
    sure = "" if segment.confidence is None else f"{segment.confidence:.0%}"
    return [span(segment.start, segment.end), segment.text or "(not sure enough to say)", sure]


class Webcam:
    """Frames of one visitor's webcam as segments with words.

    Args:
        desk: With a model that has a Y-Decoder.
    """

    def __init__(self, desk: Desk) -> None:
        self._embedder = desk.pipeline.embedder
        decoder = desk.pipeline.model.y_decoder
        assert decoder is not None
        self._selective = SelectiveDecoder(
            lambda rows, classes: self._embedder.write(rows, classes, task="caption"), config=decoder.config.selective
        )
        self._began = time.monotonic()
        self._last = 0.0
        self._captions: deque[list[str]] = deque(maxlen=SHOWN)
        self._changes: deque[tuple[float, float]] = deque(maxlen=4 * SHOWN)
        self.decodes = 0

    def push(self, image: Image) -> None:
        """Look at a frame, unless the last one has just been."""
        now = time.monotonic() - self._began
        if self._changes and now - self._last < 0.9 / self._selective.config.fps:
            return
        self._last = now
        [seen] = self._embedder.embedded([image])
        for segment in self._selective.push(
            seen.rows[0], now, classes_K=None if seen.classes is None else seen.classes[0]
        ):
            self.decodes += 1
            self._captions.appendleft(row(segment))
        self._changes.append((now, self._selective.score))

    def shown(self) -> tuple[list[list[str]], str, Any]:
        """Rows of the table, newest first, a line about what was saved, and the change signal."""
        import pandas

        seconds = round(self._last)
        saved = f"**{self.decodes} texts decoded** in {seconds} seconds; one each second would be {seconds}"
        return list(self._captions), saved, pandas.DataFrame(self._changes, columns=["seconds", "change"])
