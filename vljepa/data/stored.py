"""Images that lie inside a larger file: a tar, a Parquet file, a dataset of Hugging Face."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vljepa.data.hf_datasets import open_dataset
from vljepa.errors import ImageError


@dataclass(frozen=True, slots=True)
class TarMember:
    """An image in an uncompressed tar, read by its offset: nothing is unpacked, and any one can be read at any time.

    Args:
        path: The tar.
        offset: Of the image's first byte.
        size: In bytes.
        name: The image's name in the tar; it is only shown.
    """

    path: Path
    offset: int
    size: int
    name: str

    def read(self) -> bytes:
        """The image's file.

        Raises:
            ImageError: The tar is gone or has been cut short.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
        except OSError as error:
            raise ImageError(f"{self} cannot be read: {error.strerror}.", fix="check the tar.") from error
        if len(content) < self.size:
            raise ImageError(f"{self} is cut short.", fix="copy the tar again.")
        return content

    def __str__(self) -> str:
        return f"{self.path}/{self.name}"


@dataclass(frozen=True, slots=True)
class Cell:
    """An image in a column of a Parquet file or of a dataset.

    Args:
        table: The Parquet file, or what `vljepa.data.hf_datasets.open_dataset` takes.
        column: Name of the column.
        row: Number of the row, from 0.
    """

    table: str
    column: str
    row: int

    def read(self) -> bytes:
        """The image's file.

        Raises:
            ImageError: The cell holds no bytes.
        """
        try:
            table: _ParquetColumn | _DatasetColumn = _open(self.table, self.column)
            content = table.bytes_of(self.row)
        except (OSError, ValueError, IndexError, KeyError) as error:
            raise ImageError(f"{self} cannot be read: {error}.", fix="check the file.") from error
        if not isinstance(content, bytes) or not content:
            raise ImageError(f"{self} holds no image.", fix="mend or remove the row.")
        return content

    def __str__(self) -> str:
        return f"{self.table}[{self.row}].{self.column}"


Stored = TarMember | Cell


class _ParquetColumn:
    """Reads a row group at a time: images are mostly asked for in their order."""

    def __init__(self, path: str, column: str) -> None:
        import numpy as np
        import pyarrow.parquet as pq

        self._file, self._column = pq.ParquetFile(path), column
        groups = range(self._file.metadata.num_row_groups)
        self._starts = np.cumsum([0, *(self._file.metadata.row_group(group).num_rows for group in groups)])
        self._group: tuple[int, Any] = (-1, None)

    def bytes_of(self, row: int) -> Any:
        group = int(self._starts.searchsorted(row, side="right")) - 1
        if self._group[0] != group:
            self._group = group, self._file.read_row_group(group, columns=[self._column])[self._column]
        value = self._group[1][row - int(self._starts[group])].as_py()
        return value["bytes"] if isinstance(value, dict) else value


class _DatasetColumn:
    def __init__(self, name: str, column: str) -> None:
        from datasets import Image

        self._rows = open_dataset(name).select_columns([column]).cast_column(column, Image(decode=False))
        self._column = column

    def bytes_of(self, row: int) -> Any:
        return self._rows[row][self._column]["bytes"]


@lru_cache(maxsize=8)
def _open(table: str, column: str) -> _ParquetColumn | _DatasetColumn:
    return (_ParquetColumn if table.lower().endswith(".parquet") else _DatasetColumn)(table, column)
