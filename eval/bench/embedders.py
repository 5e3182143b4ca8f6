"""Other ways from image files to rows around the same tower, for `bench.index`."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vljepa.inference.embed import Embedder, Rows

WORKERS = 2


def with_data_loader(embedder: Embedder, files: Sequence[str]) -> Rows:
    """As one writes it by hand: a DataLoader of worker processes that decode with PIL, and torchvision's transform.

    Args:
        embedder: Whose tower and Predictor are used.
        files: JPEG files.

    Returns:
        [N, D] rows of unit length.
    """
    from torch.utils.data import DataLoader

    loader = DataLoader(Photos(embedder, files), batch_size=embedder.batch_size, num_workers=WORKERS)
    return np.concatenate([embedder.pixels(list(pixels.split(1))) for pixels in loader])


class Photos(torch.utils.data.Dataset[Tensor]):
    """Decoded and transformed files, [1, C, H, W] each.

    Args:
        embedder: Whose size, mean and standard deviation are used.
        files: JPEG files.
    """

    def __init__(self, embedder: Embedder, files: Sequence[str]) -> None:
        self.files = list(files)
        self.transform: Callable[[Image.Image], Tensor] = _transform(embedder)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> Tensor:
        torch.set_num_threads(1)
        with Image.open(self.files[place]) as image:
            return self.transform(image.convert("RGB")).unsqueeze(0)


def _transform(embedder: Embedder) -> Callable[[Image.Image], Tensor]:
    """Torchvision's, or ours where it is not installed."""
    try:
        from torchvision.transforms import v2
    except ImportError:
        return embedder.processor.transform
    config = embedder.processor.config.x_encoder.image
    assert config.size is not None
    short = config.resize_to or round(min(config.size) / config.crop_fraction)
    steps: Any = v2.Compose(
        [
            v2.Resize(short, interpolation=v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(list(config.size)),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(config.mean, config.std),
        ]
    )
    found: Callable[[Image.Image], Tensor] = steps
    return found


def rclip_rows(embedder: Embedder, files: Sequence[str], folder: Path) -> Callable[[], object] | None:
    """The indexing of rclip: its walk, hashes, threads, read-ahead, preprocessing and database, around this tower.

    Its weights are of another model; pixels have this tower's size.

    Args:
        embedder: Whose tower and Predictor are used.
        files: JPEG files; links to them make the folder that it indexes.
        folder: For that, and its database.

    Returns:
        Index the folder anew; None without rclip: `pip install --no-deps --target FOLDER rclip pi_heif`, and FOLDER in
        PYTHONPATH, is enough of it.
    """
    try:
        db, main, preprocess = map(import_module, ("rclip.db", "rclip.main", "rclip.utils.preprocess"))
        import_module("pi_heif")  # it asks for that only at work
    except ImportError:
        return None
    config = embedder.processor.config.x_encoder.image
    assert config.size is not None
    vars(preprocess)["IMAGE_SIZE"] = config.size[0]
    photos = folder / "rclip"
    photos.mkdir()
    for number, file in enumerate(files):
        (photos / f"{number:06}.jpg").symlink_to(file)
    turn = 0

    def run() -> None:
        nonlocal turn
        turn += 1
        database = db.DB(folder / f"rclip{turn}.sqlite3")
        with redirect_stderr(io.StringIO()):
            indexer = main.RClip(_Tower(embedder), database, embedder.batch_size, None)
            indexer.ensure_index(str(photos))
            indexer.close()
        database.close()

    return run


class _Tower:
    """What rclip asks of its model."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    def compute_preprocessed_image_features(self, images: Sequence[Any], *, for_indexing: bool = False) -> Rows:
        """Rows of pixels [C, H, W]."""
        del for_indexing
        return self.embedder.pixels([torch.from_numpy(np.ascontiguousarray(one))[None, None] for one in images])
