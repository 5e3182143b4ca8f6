"""Where the segments of streams go: captions on stdout, subtitle files that are good after every segment."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from vljepa.cli.output import note, printable
from vljepa.errors import ConfigError, DataError

if TYPE_CHECKING:
    from vljepa.inference.notices import Notice
    from vljepa.inference.selective import Segment
    from vljepa.inference.stream_stats import StreamStats

STDOUT = "-"
_KINDS = ("jsonl", "srt", "vtt")
_EARLY = 1000
"""Events before the first segment that are kept, the newest ones."""


def check_outputs(outputs: Mapping[str, str | None]) -> None:
    """Find out that a file cannot be written, or is no such file, before hours of video and not after.

    Args:
        outputs: Paths by kind, which is also how the names must end; `-` is stdout.

    Raises:
        ConfigError: Two for stdout, a page for stdout, or a name with another ending.
        DataError: The place is a folder, or its folder is not there or not writable.
    """
    wanted = [kind for kind in _KINDS if outputs.get(kind) == STDOUT]
    if len(wanted) > 1:
        names = " and ".join(f"--{kind}" for kind in wanted)
        raise ConfigError(f"{names} cannot both go to stdout.", fix="give a file name to all but one.")
    for kind, name in outputs.items():
        if name is not None and (name != STDOUT or kind not in _KINDS):
            _check_file(kind, Path(name))


class StreamFiles:
    """Captions or one kind of subtitles on stdout, the others in files; everything is flushed at once.

    Files are opened for the first segment, so that a stream which fails before it leaves old ones as they were. JSON
    lines of live sources are written in any case: with what happened before the first segment, and the sums.

    Args:
        outputs: Paths by kind (`jsonl`, `srt`, `vtt`), as `check_outputs` has passed them.
        named: Say with each caption which source it is of.
        live: JSON lines are added to those that are there: whoever watches for days is started again now and then.
    """

    def __init__(self, outputs: Mapping[str, str | None], *, named: bool = False, live: bool = False) -> None:
        wanted = {kind: outputs.get(kind) for kind in _KINDS}
        self._files = {kind: Path(name) for kind, name in wanted.items() if name is not None and name != STDOUT}
        self._printed = next((kind for kind, name in wanted.items() if name == STDOUT), "captions")
        self._opened: dict[str, IO[str]] | None = None
        self._early: deque[str] = deque(maxlen=_EARLY)  # what happened before the first segment
        self._cues = 0
        self._named = named
        self._live = live

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened = self._open() if error is None else self._opened
        if opened is None and self._early and "jsonl" in self._files:
            opened = {"jsonl": self._begin("jsonl")}
        for file in (opened or {}).values():
            file.close()

    def add(self, segment: Segment, *, name: str = "") -> None:
        """Write a segment of a source everywhere, to stdout last.

        Raises:
            BrokenPipeError: Nobody reads stdout any more.
            DataError: A file cannot be written.
        """
        from vljepa.inference.subtitles import caption_line, json_line, srt_cue, vtt_cue

        cue = srt_cue(segment, self._cues + 1)
        self._cues += bool(cue)
        source = name if self._named else None
        formatted = {
            "jsonl": json_line(segment, source=source),
            "srt": cue,
            "vtt": vtt_cue(segment),
            "captions": printable(caption_line(segment, source=source)) + "\n",
        }
        for kind, file in self._open().items():
            _write(file, formatted[kind])
        print(formatted[self._printed], end="", flush=True)

    def tell(self, notice: Notice) -> None:
        """Say what happened to a live source on stderr and in the JSON lines."""
        from vljepa.inference.subtitles import notice_line

        if self._named or notice.kind != "gone":  # the only source's end is the command's error
            note(f"{notice.source}: {notice.kind}: {notice.message}")
        self._add_event(notice_line(notice))

    def sum_up(self, stats: Mapping[str, StreamStats]) -> None:
        """Say what became of the live sources, on stderr and in the JSON lines."""
        from vljepa.inference.stream_report import live_figures
        from vljepa.inference.subtitles import summary_line

        for name, notes in stats.items():
            if notes.live:
                note(f"{name}: {live_figures(notes)}")
                self._add_event(summary_line(name, notes))

    def _add_event(self, line: str) -> None:
        if self._printed == "jsonl":
            print(line, end="", flush=True)
        elif self._opened is None:
            self._early.append(line)
        elif "jsonl" in self._opened:
            _write(self._opened["jsonl"], line)

    def _open(self) -> dict[str, IO[str]]:
        from vljepa.inference.subtitles import VTT_HEADER

        if self._opened is None:
            self._opened = {}
            for kind in self._files:
                self._opened[kind] = self._begin(kind)
            if self._printed == "vtt":
                print(VTT_HEADER, end="", flush=True)
        return self._opened

    def _begin(self, kind: str) -> IO[str]:
        from vljepa.inference.subtitles import VTT_HEADER

        path = self._files[kind]
        try:
            goes_on = kind == "jsonl" and self._live
            torn = goes_on and _is_torn(path)
            file = path.open("a" if goes_on else "w", encoding="utf-8", newline="\n")
        except OSError as error:
            raise _unwritable(path, error) from error
        _write(file, {"vtt": VTT_HEADER, "jsonl": "\n" * torn + "".join(self._early)}.get(kind, ""))
        return file


def _is_torn(path: Path) -> bool:
    """Whether a file ends within a line, as one does whose writer was killed."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def _write(file: IO[str], text: str) -> None:
    try:
        file.write(text)
        file.flush()
    except OSError as error:
        raise _unwritable(Path(file.name), error) from error


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot write {str(path)!r}: {error.strerror}.", fix="make room, or name another place.")


def _check_file(kind: str, path: Path) -> None:
    ending = f".{kind}"
    if path.suffix.lower() != ending:
        # Also keeps `--srt clip.mp4` from writing over the video.
        raise ConfigError(f"--{kind} {str(path)!r} does not end in {ending}.", fix=f"name a file such as out{ending}.")
    if path.is_dir():
        raise DataError(f"{str(path)!r} is a folder.", fix="name a file.")
    if not path.parent.is_dir():
        raise DataError(f"there is no folder {str(path.parent)!r}.", fix="make it first, or name another place.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise DataError(f"{str(path)!r} cannot be written.", fix="give write permission, or name another place.")
