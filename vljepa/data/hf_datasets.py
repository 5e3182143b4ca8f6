"""Opens datasets of Hugging Face, for their rows (`formats/datasets.py`) and for their images (`stored.py`)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from vljepa.errors import DataError

HUB = "hf:"


@lru_cache(maxsize=8)
def open_dataset(name: str) -> Any:
    """The `datasets.Dataset` of a saved folder or of `hf:NAME:SPLIT`. Code that comes with one is never run.

    Raises:
        DataError: It is not there, is damaged, or has splits of which none was named.
    """
    import datasets

    fix = "give the folder that `save_to_disk` wrote, or hf:NAME:SPLIT."
    try:
        if name.startswith(HUB):
            repository, _, split = name.removeprefix(HUB).partition(":")
            found = datasets.load_dataset(repository, split=split or None)
        else:
            found = datasets.load_from_disk(name)
    except Exception as error:  # pyarrow's, fsspec's, json's, the hub's: all mean that it is not usable
        raise DataError(f"the dataset {name!r} cannot be opened: {type(error).__name__}: {error}.", fix=fix) from error
    if isinstance(found, datasets.DatasetDict | datasets.IterableDatasetDict):
        splits = ", ".join(map(str, found))
        named = f"{name}:SPLIT" if name.startswith(HUB) else f"{name}/SPLIT"
        raise DataError(f"the dataset {name!r} has the splits {splits}.", fix=f"name one: {named}.")
    return found
