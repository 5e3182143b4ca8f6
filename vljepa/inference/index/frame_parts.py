"""What has been embedded of a long video before it is done: pieces of its frames, on the disk beside the units.

Shapes: T frames, D width of the shared space.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vljepa.errors import DataError
from vljepa.inference.embedded import Rows
from vljepa.inference.index.shard import damaged, write_table
from vljepa.inference.segments import KeptFrames

_ENDING = "-frames.arrow"
_DIGEST = b"digest"


class FrameParts:
    """Pieces of one video's frames; each file is complete or not there.

    Args:
        folder: Of the shards.
        unit: Name of the video's unit, which says of which file, as it was then, and how it is cut.
        width: Of a row.
    """

    def __init__(self, folder: Path, unit: str, *, width: int) -> None:
        self._folder, self._stem, self._width = folder, unit.removesuffix("-unit.arrow"), width

    def load(self) -> list[KeptFrames]:
        """All pieces from the first on, in order, without a gap."""
        found: list[KeptFrames] = []
        while (file := self._file(len(found))).is_file():
            try:
                found.append(_read(file, width=self._width))
            except DataError:  # it is made again
                break
        return found

    def keep(self, number: int, frames: KeptFrames) -> None:
        """Write piece `number`.

        Raises:
            DataError: The place cannot be written.
        """
        import pyarrow as pa

        flat = pa.FixedSizeListArray.from_arrays(np.ascontiguousarray(frames.rows_TD).reshape(-1), self._width)
        table = pa.table({"time": frames.times_T, "row": flat})
        write_table(table.replace_schema_metadata({_DIGEST: frames.digest}), self._file(number))

    def forget(self) -> None:
        """Remove all pieces."""
        for file in self._folder.glob(f"{self._stem}-*{_ENDING}"):
            file.unlink(missing_ok=True)

    def _file(self, number: int) -> Path:
        return self._folder / f"{self._stem}-{number:06}{_ENDING}"


def remove_parts(folder: Path, *, but: str | None = None) -> None:
    """Remove the pieces of all videos, or of all that were not made under a stamp."""
    for file in folder.glob(f"*{_ENDING}"):
        if but is None or not file.name.startswith(but):
            file.unlink(missing_ok=True)


def _read(file: Path, *, width: int) -> KeptFrames:
    import pyarrow as pa

    try:
        with pa.memory_map(str(file)) as source:
            table = pa.ipc.open_file(source).read_all().combine_chunks()
        rows: Rows = table["row"].combine_chunks().flatten().to_numpy().astype(np.float32).reshape(-1, width)
        times = table["time"].to_numpy().astype(np.float64)
        digest = table.schema.metadata[_DIGEST]
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(file, str(error).partition("\n")[0]) from error
    if len(rows) != len(times) or not len(rows) or not np.isfinite(rows).all():
        raise damaged(file, "its numbers cannot be right")
    return KeptFrames(rows_TD=rows, times_T=times, digest=digest)
