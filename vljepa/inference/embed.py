"""Images and texts in, rows of the shared space out: what every use of a finished model stands on.

Shapes: N images or texts, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import torch

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import PromptsConfig, validate
from vljepa.errors import CheckpointError
from vljepa.inference.clips import VisualReader
from vljepa.inference.embedded import Embedded, Rows
from vljepa.inference.kept_texts import kept_rows
from vljepa.inference.onnx_towers import check_backend, run_on_onnx
from vljepa.inference.reading import GROUP, OnBroken, Progress, read_ahead
from vljepa.inference.words import Words, Writer
from vljepa.models.cpu import keep_freed_memory
from vljepa.models.device import resolve_device, resolve_dtype
from vljepa.models.residuals import Ablation
from vljepa.models.types import Latents
from vljepa.processing.class_names import name_rows
from vljepa.processing.processor import ImageInput, VLJEPAProcessor
from vljepa.processing.unicode_text import check_text

__all__ = ["Embedded", "Embedder", "Rows"]

_CPU_BATCH = 8  # larger batches of convolutions leave the CPU's cache and get slower
_GPU_BATCH = 64
_TEXT_BATCH = 64
_QUERY_BATCH = 64


class Embedder:
    """A model and its processor, ready to embed files.

    The model is put into eval mode and used on the device that it is on. Files may be images, and videos for a model
    that has learned from clips.

    Args:
        model: A finished model.
        processor: The processor that belongs to it.
        frames: Frames of each video, one of each equal part; None for as many as the model was trained with.

    Raises:
        ConfigError: `frames` is not what the model can take.

    Example:
        >>> embedder = Embedder.from_pretrained("mini")  # doctest: +SKIP
        >>> similarity = embedder.images(["photo.jpg"]) @ embedder.texts(["a cat", "a dog"]).T  # doctest: +SKIP
    """

    def __init__(self, model: VLJEPA, processor: VLJEPAProcessor, *, frames: int | None = None) -> None:
        keep_freed_memory()
        self.model = model.eval()
        self.processor = processor
        self.read = VisualReader(processor, clips=model.config.clips, frames=frames)
        self.device = next(model.parameters()).device

    @classmethod
    def from_pretrained(
        cls,
        name: str = "mini",
        *,
        device: str | None = None,
        dtype: str | None = None,
        decoder: str | None = None,
        frames: int | None = None,
        backend: str = "torch",
    ) -> Self:
        """Load a preset with shipped weights, a folder, a hub repository, or a dual encoder.

        Args:
            name: As for `VLJEPA.from_pretrained`.
            device: `cpu`, `cuda`, `cuda:1`, `mps`; without it CUDA where present, else the CPU.
            dtype: Precision of the weights: `fp32`, `bf16` or `fp16`, for large models on a GPU; without it fp32.
            decoder: Folder of a Y-Decoder to use instead of the model's own.
            frames: As for the class.
            backend: What runs the X-Encoder: `torch`, or `onnx` for onnxruntime, on the CPU alone.

        Raises:
            VLJEPAError: No such model, device, precision or backend, or a decoder of another text space.
        """
        check_backend(backend)
        if backend == "onnx":
            device = device or "cpu"
        place, precision = resolve_device(device), resolve_dtype(dtype)
        model, processor = VLJEPA.from_pretrained(name), VLJEPAProcessor.from_pretrained(name)
        if decoder is not None:
            model.load_decoder(decoder)
            processor.load_decoder(decoder)
        if precision != torch.float32:
            model.narrow(precision)
        model = model.to(place)
        if backend == "onnx":
            run_on_onnx(model)
        return cls(model, processor, frames=frames)

    @property
    def batch_size(self) -> int:
        """How many images the X-Encoder takes at a time on this device."""
        return _CPU_BATCH if self.device.type == "cpu" else _GPU_BATCH

    def images(self, images: Sequence[ImageInput], *, query: str = "", progress: Progress | None = None) -> Rows:
        """Predicted embeddings of images under a query.

        Args:
            images: Files, PIL images, arrays and so on; see `ImageInput`.
            query: The question; empty means the model's caption prompt.
            progress: Called with the number of images done since the last call.

        Returns:
            [N, D] float32 rows of unit length, in the order of `images`.

        Raises:
            ImageError: An image is missing, broken or too large.
        """
        rows = [rows for _, rows in self.batches(images, query=query, progress=progress)]
        return np.concatenate(rows) if rows else self._no_rows()

    def batches(self, images: Sequence[ImageInput], **options: Any) -> Iterator[tuple[list[ImageInput], Rows]]:
        """The images and rows of `embedded`, with its options, in groups of up to 64: quicker where nobody waits."""
        for batch in self.embedded(images, group=GROUP, **options):
            yield batch.images, batch.rows

    def embedded(
        self,
        images: Sequence[ImageInput],
        *,
        query: str = "",
        progress: Progress | None = None,
        on_broken: OnBroken | None = None,
        group: int | None = None,
    ) -> Iterator[Embedded]:
        """Images in groups of bounded memory; the next ones are read while the model works on these.

        Args:
            images: Files, PIL images, arrays and so on; see `ImageInput`.
            query: The question; empty means the model's caption prompt.
            progress: Called with the number of images done since the last call, broken ones included.
            on_broken: Called for an image that cannot be read, which is then left out; without it, that is an error.
            group: Images that come together, at most; None for `batch_size`.

        Raises:
            ImageError: An image cannot be read and there is no `on_broken`.
        """
        check_text(query, what="the query")
        most, ahead = group or self.batch_size, self.batch_size
        for count, kept, pixels in read_ahead(self.read, images, size=most, ahead=ahead, on_broken=on_broken):
            if kept:
                rows, classes = self.answered(pixels, [(at, query) for at in range(len(kept))], progress=progress)
                yield Embedded(images=kept, rows=rows, classes=classes)
            if progress is not None and count > len(kept):
                progress(count - len(kept))

    def pairs(self, images: Sequence[ImageInput], queries: Sequence[str]) -> Rows:
        """Predicted embeddings of images, each under a query of its own.

        Args:
            images: Files, PIL images, arrays and so on; see `ImageInput`.
            queries: One per image; an empty one means the model's caption prompt.

        Returns:
            [N, D] float32 rows of unit length, in the order of `images`.

        Raises:
            ImageError: An image is missing, broken or too large.
        """
        rows = [self._no_rows()]
        for start in range(0, len(images), self.batch_size):
            some = slice(start, start + self.batch_size)
            rows.append(self.asked([self.read(image) for image in images[some]], list(enumerate(queries[some]))))
        return np.concatenate(rows)

    @torch.inference_mode()
    def asked(self, pixels: Sequence[torch.Tensor], pairs: Sequence[tuple[int, str]]) -> Rows:
        """Predicted embeddings of images under several queries each; every image is encoded once.

        Args:
            pixels: [1, T, C, H, W] each, as from `read`; at least one; those of one length T go together.
            pairs: Number of an image and a query each; an empty query means the model's caption prompt.

        Returns:
            [N, D] float32 rows of unit length, in the order of `pairs`.
        """
        return self.answered(pixels, pairs)[0]

    def answered(
        self, pixels: Sequence[torch.Tensor], pairs: Sequence[tuple[int, str]], *, progress: Progress | None = None
    ) -> tuple[Rows, Rows | None]:
        """Rows of `asked`, and class probabilities [len(pixels), K] of an X-Encoder with a classifier."""
        rows: Rows = np.empty((len(pairs), self.model.config.embed_dim), dtype=np.float32)
        classes: list[tuple[list[int], Rows]] = []
        lengths = np.array([one.shape[1] for one in pixels])
        for length in np.unique(lengths):  # images and clips each go by themselves
            alike = np.flatnonzero(lengths == length).tolist()
            within = {number: place for place, number in enumerate(alike)}
            wanted = [place for place, (number, _) in enumerate(pairs) if number in within]
            latents = self.encode([pixels[number] for number in alike], progress=progress)
            rows[wanted] = self.ask(latents, [(within[pairs[place][0]], pairs[place][1]) for place in wanted])
            known = self.class_probabilities(latents)
            if known is not None:
                classes.append((alike, known))
        if not classes:
            return rows, None
        places = np.argsort(np.concatenate([alike for alike, _ in classes]))
        return rows, np.concatenate([known for _, known in classes])[places]

    @torch.inference_mode()
    def class_probabilities(self, latents: Latents) -> Rows | None:
        """What the X-Encoder's own classifier says of what was encoded, [N, K]; None without one."""
        residual = self.model.residual
        known = None if residual is None else residual.class_probabilities(latents)
        return None if known is None else known.float().cpu().numpy()

    @torch.inference_mode()
    def encode(self, pixels: Sequence[torch.Tensor], *, progress: Progress | None = None) -> Latents:
        """What the X-Encoder makes of images, or of clips of one length, in batches of `batch_size`, for `ask`.

        Args:
            pixels: [1, T, C, H, W] each, as from `read`, all of one length T; at least one.
            progress: Called with the number of images encoded since the last call.
        """
        parts, size = [], self.batch_size
        for batch in (torch.cat(list(pixels[start : start + size])) for start in range(0, len(pixels), size)):
            parts.append(self.model.encode_vision(batch.to(self.device)))
            if progress is not None:
                progress(len(batch))
        return Latents.joined(parts)

    @torch.inference_mode()
    def ask(self, latents: Latents, pairs: Sequence[tuple[int, str]], *, ablate: Ablation | None = None) -> Rows:
        """Predicted embeddings of what was encoded, under a query each.

        Args:
            latents: As of `encode`, on this model's device; of any model with the same X-Encoder.
            pairs: Row of `latents` and a query each; an empty query means the model's caption prompt.
            ablate: As for `VLJEPA.predict`.

        Returns:
            [N, D] float32 rows of unit length, in the order of `pairs`.
        """
        predict = self.model.predict if ablate is None else partial(self.model.predict, ablate=ablate)
        count = len(latents.tokens_BND)
        size, rows = max(_QUERY_BATCH, count), [self._no_rows()]
        for start in range(0, len(pairs), size):
            chosen, queries = zip(*pairs[start : start + size], strict=True)
            query = self.processor.queries([one or self.model.config.prompts.caption for one in queries])
            some = latents if list(chosen) == list(range(count)) else latents.choose(chosen)
            prediction = predict(some, query.to(self.device))
            rows.append(prediction.float().cpu().numpy())
        return np.concatenate(rows)

    def pixels(self, pixels: Sequence[torch.Tensor]) -> Rows:
        """Predicted embeddings, under the model's caption prompt, of images that the processor has prepared.

        Args:
            pixels: [1, T, C, H, W] each, as from `VLJEPAProcessor.images`; at least one.

        Returns:
            [N, D] float32 rows of unit length.
        """
        return self.asked(pixels, [(place, "") for place in range(len(pixels))])

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Rows:
        """Embeddings of texts by the Y-Encoder.

        Returns:
            [N, D] float32 rows of unit length.

        Raises:
            ConfigError: One is not a `str`, or not Unicode.
        """
        for text in texts:
            check_text(text, what="the text")
        rows = [self._no_rows()]
        for start in range(0, len(texts), _TEXT_BATCH):
            encoded = self.model.encode_text(
                self.processor.targets(list(texts[start : start + _TEXT_BATCH])).to(self.device)
            )
            rows.append(encoded.float().cpu().numpy())
        return np.concatenate(rows)

    def kept_texts(self, texts: Sequence[str]) -> Rows:
        """The same for labels and answers: embeddings are kept until a weight changes, up to 64 MB per model."""
        return kept_rows(self.model, self.processor, texts, embed=self.texts)

    def names(self, names: Sequence[str], *, templates: Sequence[str] | None = None) -> Rows:
        """Embeddings [M, D] of class names: the mean over templates, which are kept as `kept_texts` keeps them.

        Args:
            names: M names, at least one.
            templates: Texts in which `{}` is the name; None for the model's own.

        Raises:
            ConfigError: A template has no `{}`.
        """
        prompts = self.model.config.prompts
        if templates is not None:
            prompts = validate(PromptsConfig, {"classification": list(templates)}, where="templates")
        return name_rows(names, prompts=prompts, embed=self.kept_texts)

    def words(self, rows: Rows, **options: Any) -> list[str]:
        """Texts for predicted embeddings [N, D], by the Y-Decoder; options as for `write`.

        Raises:
            CheckpointError: The model has no Y-Decoder.
            ConfigError: An option is outside of its range.
        """
        return [one.text for one in self.write(rows, **options)]

    def write(self, rows: Rows, classes: Rows | None = None, **options: Any) -> list[Words]:
        """The same with the confidence of each.

        Args:
            rows: Predicted embeddings [N, D].
            classes: What the X-Encoder's own classifier says of the same images, [N, K].
            options: `task`, as of `Writer.write`: what the embeddings are; and as for `YDecoder.generate`.

        Raises:
            CheckpointError: The model has no Y-Decoder.
            ConfigError: An option is outside of its range.
        """
        self.require_words()
        return Writer(self.model, self.processor, embed=self.texts, kept=self.kept_texts).write(
            rows, classes, **options
        )

    def require_words(self) -> None:
        """Check that there is a Y-Decoder, before hours of embedding and not after.

        Raises:
            CheckpointError: There is none.
        """
        if self.model.y_decoder is None or self.processor.words is None:
            raise CheckpointError(
                "this model has no Y-Decoder, so it has no words.",
                fix="train one with `vljepa train-decoder` and name it with --decoder, use the model 'mini', or give a "
                "question choices.",
            )

    def _no_rows(self) -> Rows:
        return np.zeros((0, self.model.config.embed_dim), dtype=np.float32)
