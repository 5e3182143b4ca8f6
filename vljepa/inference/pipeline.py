"""One object for a finished model: what the functions of `vljepa.inference` do, without the pair of arguments.

Shapes: N images or texts, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast, overload

import numpy as np
from numpy.typing import NDArray

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.errors import ConfigError, ImageError
from vljepa.inference.candidates import Prediction, as_list, check_question
from vljepa.inference.caption import Caption, caption
from vljepa.inference.classify import classify
from vljepa.inference.embed import Embedder, Rows
from vljepa.inference.frame_sources import Source
from vljepa.inference.index import Hit, Index
from vljepa.inference.selective import Segment
from vljepa.inference.stream import stream
from vljepa.inference.vqa import ask
from vljepa.processing.file_types import type_by_suffix
from vljepa.processing.processor import ImageInput, VLJEPAProcessor

Images: TypeAlias = ImageInput | Iterable[ImageInput]
Inputs: TypeAlias = Images
"""Images and texts, one or many: a `str` is an image where it names one, else a text (see `Pipeline.encode`)."""


def load(
    name: str | Path = "mini",
    *,
    device: str | None = None,
    dtype: str | None = None,
    decoder: str | None = None,
    backend: str = "torch",
) -> Pipeline:
    """Load a finished model and what belongs to it.

    Args:
        name: A shipped preset, a folder of a saved model, a hub repository, or `aligned:` and a dual encoder.
        device: `cpu`, `cuda`, `cuda:1`, `mps`; without it CUDA where present, else the CPU.
        dtype: Precision of the weights: `fp32`, `bf16` or `fp16`, for large models on a GPU; without it fp32.
        decoder: Folder of a Y-Decoder to use instead of the model's own.
        backend: What runs the X-Encoder: `torch`, or `onnx` for onnxruntime, on the CPU alone (extra `onnx`).

    Raises:
        VLJEPAError: No such model, device, precision or backend, or a decoder of another text space.

    Example:
        >>> vl = load("mini")  # doctest: +SKIP
        >>> vl.similarity("examples/images/cat.jpg", ["a cat", "a dog"]).round(2)  # doctest: +SKIP
        array([[0.56, 0.09]], dtype=float32)
    """
    return Pipeline(Embedder.from_pretrained(str(name), device=device, dtype=dtype, decoder=decoder, backend=backend))


class Pipeline:
    """A finished model with its processor: embeddings, answers, captions and search.

    Args:
        embedder: A model and its processor.

    Attributes:
        model: The `VLJEPA`.
        processor: The processor that belongs to it.
        embedder: Both, ready to embed files.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.model: VLJEPA = embedder.model
        self.processor: VLJEPAProcessor = embedder.processor

    def encode(
        self, inputs: Inputs | None = None, *, images: Images | None = None, texts: str | Iterable[str] | None = None
    ) -> Rows:
        """Embeddings of images by the Predictor, and of texts by the Y-Encoder, in one space.

        Give one of the three arguments. In `inputs` the kinds may be mixed. A `str` there is an image where a file of
        that name is there, or where it ends as images and videos do (`.jpg`) or is an address without blanks, which
        then is an error if it cannot be read: a mistyped name is never embedded as a text. Any other `str` is a text.

        Args:
            inputs: One or many: texts, files, PIL images, arrays, tensors, bytes, open files.
            images: One or many, all images, whatever they read like.
            texts: One or many, all texts, whatever they read like.

        Returns:
            [N, D] float32 rows of unit length, also for one input; dot products are cosines.

        Raises:
            ConfigError: Not one of the three arguments, or something that is neither a text nor an image.
            ImageError: An image is missing, broken or too large.
        """
        if sum(one is not None for one in (inputs, images, texts)) != 1:
            raise ConfigError("encode takes one of inputs, images= and texts=.", fix="give exactly one of them.")
        if images is not None:
            return self.embedder.images(as_list(cast(Any, images)))
        if texts is not None:
            return self.embedder.texts([texts] if isinstance(texts, str) else list(texts))
        items = as_list(cast(Any, inputs))
        are_texts = np.array([isinstance(item, str) and not names_an_image(item) for item in items], dtype=bool)
        rows: Rows = np.empty((len(items), self.model.config.embed_dim), dtype=np.float32)
        rows[are_texts] = self.embedder.texts([str(items[place]) for place in np.flatnonzero(are_texts)])
        rows[~are_texts] = self.embedder.images([items[place] for place in np.flatnonzero(~are_texts)])
        return rows

    def similarity(self, a: Inputs | Rows, b: Inputs | Rows) -> NDArray[np.float32]:
        """Cosines of everything in `a` with everything in `b`.

        Args:
            a: As for `encode`; or embeddings, an array [N, D] or [D].
            b: Likewise, [M, D] or [D].

        Returns:
            [N, M], from -1 to 1.

        Raises:
            ConfigError: An array of one or two axes whose last one is not D; else as `encode`.
            ImageError: An image is missing, broken or too large.
        """
        return self._rows(a) @ self._rows(b).T

    def classify(self, images: Images, labels: Sequence[str], **options: Any) -> list[Prediction]:
        """Say which of `labels` each image shows; options and errors as for `vljepa.classify`."""
        return classify(self.model, self.processor, cast(Any, images), labels=labels, **options)

    @overload
    def ask(self, images: Images, question: str, choices: None = None, **options: Any) -> list[Caption]: ...
    @overload
    def ask(self, images: Images, question: str, choices: Sequence[str], **options: Any) -> list[Prediction]: ...
    def ask(
        self, images: Images, question: str, choices: Sequence[str] | None = None, **options: Any
    ) -> list[Prediction] | list[Caption]:
        """Answer a question about each image: with one of `choices`, or without them in words.

        Options and errors are those of `vljepa.ask`, and without choices those of `vljepa.caption`.
        """
        given = cast(Any, images)
        if choices is not None:
            return ask(self.model, self.processor, given, question=question, choices=choices, **options)
        return caption(self.model, self.processor, given, query=check_question(question), **options)

    def caption(self, images: Images, **options: Any) -> list[Caption]:
        """Describe images in words; options and errors as for `vljepa.caption`."""
        return caption(self.model, self.processor, cast(Any, images), **options)

    def stream(self, source: Source, **options: Any) -> Generator[Segment, None, None]:
        """Say a video in words, segment by segment; options and errors as for `vljepa.stream`."""
        return stream(source, model=self.model, processor=self.processor, **options)

    def index(self, paths: str | Path | Sequence[str | Path], **options: Any) -> Index:
        """Embed folders of images and videos for `search`; options and errors as for `vljepa.Index.build`."""
        return Index.build(self.model, self.processor, paths, **options)

    def search(self, index: Index | str | Path, query: str | ImageInput, **options: Any) -> list[Hit]:
        """The images and segments of an index that are nearest to a text or an image, best first.

        Args:
            index: As `index` makes it, or the folder that one was saved in.
            query: A text or an image; a `str` is told apart as in `encode`.
            options: As for `vljepa.Index.search`, such as `k`.

        Raises:
            TextSpaceError: The file was made by another model.
            VLJEPAError: As for `vljepa.Index.search` and `vljepa.Index.load`.
        """
        if not isinstance(index, Index):
            index = Index.load(self.model, self.processor, index)
        if isinstance(query, str) and names_an_image(query):
            query = Path(query)
        return index.search(query, **options)

    def _rows(self, given: Inputs | Rows) -> Rows:
        """Embeddings of unit length; arrays of one or two axes are such already."""
        if not (isinstance(given, np.ndarray) and given.ndim <= 2):
            return self.encode(given)
        rows = np.atleast_2d(given).astype(np.float32)
        if rows.shape[-1] != self.model.config.embed_dim:
            raise ConfigError(
                f"an array of shape {given.shape} is no embeddings of this model, which have "
                f"{self.model.config.embed_dim} numbers.",
                fix="give rows of `encode`; an image as an array without colours goes through encode(images=...).",
            )
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and (lengths > 0).all()):
            raise ConfigError("embeddings that are zero or no numbers have no cosine.", fix="leave them out.")
        return cast(Rows, rows / lengths)


def names_an_image(text: str) -> bool:
    """Whether a `str` is an image: it names a file that is there, ends like one, or is an address.

    Raises:
        ImageError: It ends like an image, and there is no such file.
    """
    path = Path(text)
    try:
        if path.is_file():
            return True
    except (OSError, ValueError):  # too long for a name, or with a NUL: a text
        return False
    if "://" in text and not any(map(str.isspace, text)):
        return True
    if type_by_suffix(path.suffix) is not None:
        raise ImageError(f"there is no image {text!r}.", fix="check the path; a text goes in as texts=[...].")
    return False
