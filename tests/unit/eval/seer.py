"""A model whose right answers are known: it sees the colour of an image, and knows a few words by heart.

A text is the bag of its known words. An image predicts its colour; asked whether something of a colour is there, yes
or no; asked how many, three. `blind` gives the same embedding for everything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

from eval import registry, run
from eval.core.result import Context
from eval.core.result import Model as Measured
from vljepa.configs import CalibrationConfig, ClipsConfig, PromptsConfig, SelectiveConfig
from vljepa.errors import ImageError
from vljepa.inference.clips import VisualReader
from vljepa.inference.embed import Embedded, Embedder
from vljepa.inference.words import Words
from vljepa.models.types import Latents, Tokens

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
WORDS = [*COLOURS, "yes", "no", *map(str, range(16)), "bright", "dark"]


class Processor:
    """Colours of images, and queries by number."""

    def __init__(self) -> None:
        self.config = SimpleNamespace(x_encoder=SimpleNamespace(image=SimpleNamespace(max_pixels=10_000_000)))
        self.known: list[str] = []

    def images(self, images: Sequence[Any]) -> torch.Tensor:
        return self.frames(images).unsqueeze(1)

    def frames(self, images: Sequence[Any]) -> torch.Tensor:
        return torch.stack([self._colour(image) for image in images])[:, :, None, None]

    def queries(self, texts: Sequence[str]) -> Tokens:
        self.known += [text for text in texts if text not in self.known]
        ids = torch.tensor([[self.known.index(text)] for text in texts])
        return Tokens(ids, torch.ones_like(ids))

    def _colour(self, image: Any) -> torch.Tensor:
        if not isinstance(image, Image.Image):
            try:
                image = Image.open(image)
                image.load()
            except OSError as error:
                raise ImageError(f"cannot read {image}.", fix="mend it.") from error
        pixel = image.convert("RGB").resize((1, 1)).getpixel((0, 0))
        return torch.tensor(pixel, dtype=torch.float32) / 255


class Model:
    """Predicts in the space of the words."""

    def __init__(self, processor: Processor, *, blind: bool) -> None:
        self.processor, self.blind = processor, blind
        self.residual = None
        clips = ClipsConfig(frames=8, max_frames=8)
        self.config = SimpleNamespace(
            embed_dim=len(WORDS),
            residual=None,
            prompts=PromptsConfig(),
            predictor=SimpleNamespace(clips=clips),
            clips=clips,
            calibration=CalibrationConfig(classify=0.1, ask=0.1),
            y_encoder=SimpleNamespace(prefix=""),
        )
        self.y_decoder = SimpleNamespace(config=SimpleNamespace(selective=SelectiveConfig(threshold=0.3)))

    def class_embeddings(self) -> None:
        """There is no classifier."""

    def encode_vision(self, pixels: torch.Tensor) -> Latents:
        tokens = pixels.flatten(2)
        return Latents(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool))

    def predict(self, latents: Latents, query: Tokens) -> torch.Tensor:
        texts = [self.processor.known[int(number)] for number in query.ids_BL[:, 0]]
        rows = [self._one(tokens, text) for tokens, text in zip(latents.tokens_BND, texts, strict=True)]
        return torch.from_numpy(np.stack(rows))

    def _one(self, tokens: torch.Tensor, query: str) -> np.ndarray:
        colours = [list(COLOURS)[int(frame.argmax())] for frame in tokens]
        if query.startswith("Is there"):
            return self.bag("yes" if any(colour in query for colour in colours) else "no")
        return self.bag("3" if query.startswith("How many") else " ".join(colours))

    def bag(self, text: str) -> np.ndarray:
        words = text.lower().replace(".", "").split()
        row = np.array([float(word in words) for word in WORDS], dtype=np.float32)
        if self.blind or not row.any():
            row[:] = 1
        return row / np.linalg.norm(row)


class Seer(Embedder):
    """The model as the evaluations use it."""

    def __init__(self, *, blind: bool = False) -> None:
        self.processor = Processor()
        self.model = Model(self.processor, blind=blind)
        self.read = VisualReader(self.processor, clips=self.model.config.clips)
        self.device = torch.device("cpu")

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([self.model.bag(text) for text in texts]) if texts else np.zeros((0, len(WORDS)), np.float32)

    def kept_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self.texts(texts)

    def images(self, images: Sequence[Any], *, query: str = "", progress: Any = None) -> np.ndarray:
        return np.stack([self.model._one(self.processor.frames([image])[..., 0, 0], query) for image in images])

    def embedded(self, images: Sequence[Any], **options: Any) -> Iterator[Embedded]:
        if images:
            yield Embedded(images=list(images), rows=self.images(images), classes=None)

    def write(self, rows: np.ndarray, classes: np.ndarray | None = None, **options: Any) -> list[Words]:
        return [Words(f"a {list(COLOURS)[int(row[:3].argmax())]} thing", None) for row in rows]

    def require_words(self) -> None:
        pass


def paint(path: Path, colour: str) -> str:
    """An image of one colour; its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), COLOURS[colour]).save(path)
    return path.name


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


Measure = Callable[..., dict[str, Any]]


def context_of(found: Any, embedder: Any, cache: Path = Path("cache")) -> Context:
    """What a task works with, around a model that is loaded already."""
    model = Measured("seer")
    vars(model)["embedder"] = embedder
    return Context(found, model, cache, cache)


def measure_suite(name: str, folder: Path, /, *, blind: bool = False, **changed: Any) -> dict[str, Any]:
    """What a suite's task makes of the files in a folder."""
    suite = run.read_suite(name)
    found = run.find(suite, [folder], alone=True)
    result = registry.task(suite.task)(context_of(found, Seer(blind=blind)), **suite.settings | changed)
    return result.content() | {"examined": result.examined}
