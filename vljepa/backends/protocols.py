"""What the house asks of a library whose models it uses. A new library is one new file that answers these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from torch import Tensor, nn

from vljepa.configs import DenseConfig, PartSpec, YEncoderConfig


class Seen(NamedTuple):
    """What a vision module makes of images, or of clips.

    Attributes:
        tokens: [B, N, D].
        logits: Of its own classifier, [B, K]; None without one.
        pooled: Of a dual encoder, its embedding in the space that it shares with texts, [B, S], not normalised.
    """

    tokens: Tensor
    logits: Tensor | None = None
    pooled: Tensor | None = None


class VisionTower(Protocol):
    """A vision module; it is an `nn.Module`. What is a property here may be a plain attribute there."""

    @property
    def width(self) -> int:
        """Size of a token."""
        ...

    @property
    def pooled_width(self) -> int | None:
        """Of a dual encoder, S, size of the space that it shares with texts; None otherwise."""
        ...

    @property
    def num_classes(self) -> int:
        """Classes of its own classifier, 0 without one."""
        ...

    @property
    def joint_frames(self) -> bool:
        """True for video encoders that attend across frames."""
        ...

    @property
    def tubelet(self) -> int:
        """Frames that become one step in time."""
        ...

    @property
    def model(self) -> nn.Module:
        """The library's own module."""
        ...

    def read(self, folder: Path) -> dict[str, Tensor]:
        """Tensors of `model` from the files of its library."""
        ...

    def __call__(self, pixels: Tensor) -> Seen:
        """Tokens and what else it knows, from [B, C, H, W] (or [B, T, C, H, W] with joint frames)."""
        ...

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the spatial tokens of one frame, which come last."""
        ...


class TextTower(Protocol):
    """A text module as a Y-Encoder's backbone; it is an `nn.Module`."""

    @property
    def width(self) -> int:
        """E, size of a feature."""
        ...

    def features(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """Pooled features [B, E], not normalised; of a dual encoder, in the space it shares with images."""
        ...

    def load_pretrained(self, folder: Path) -> None:
        """Load the tower's weights from the files of its library, with no gap."""
        ...


class Tokenizer(Protocol):
    """Texts to ids and mask, both [B, L] with L the longest text of the batch, or the tower's whole context."""

    def __call__(self, texts: Sequence[str], *, max_tokens: int) -> tuple[Tensor, Tensor]:
        """Encode; texts longer than `max_tokens` are cut. The mask is True on every position that the tower reads."""
        ...


@dataclass(frozen=True)
class TextFacts:
    """What a text encoder's own files say of its use.

    Args:
        pooling: How a sentence's feature is read.
        max_tokens: Longest text in tokens.
        prefix: Put before a text that is to be found (sentence-transformers' prompt for documents).
        dense: Layers after the pooling.
    """

    pooling: Literal["mean", "last", "cls", "pooler"]
    max_tokens: int
    prefix: str = ""
    dense: tuple[DenseConfig, ...] = ()


@dataclass(frozen=True)
class Contrast:
    """How a dual encoder makes logits of cosines: scale * cosine + bias.

    Args:
        scale: 1 / temperature.
        bias: Of encoders that were trained with a sigmoid loss; None of those with a softmax.
    """

    scale: float
    bias: float | None = None


class Backend(Protocol):
    """One library of models.

    A part that comes here has its `config`: the contents of `config_file`, or what a recipe says of a random part.
    `folder` is where the part's files are; None for a random part, which has none.
    """

    @property
    def config_file(self) -> str:
        """The file beside the weights that holds the architecture."""
        ...

    @property
    def files(self) -> tuple[str, ...]:
        """Patterns of a repository's files that it reads."""
        ...

    @property
    def tokenizer_files(self) -> tuple[str, ...]:
        """Patterns of the files that `tokenizer` reads."""
        ...

    @property
    def fixed_length(self) -> bool:
        """Whether its text towers take rows of their whole context only, of which no padding may be cut."""
        ...

    def repository(self, name: str) -> str:
        """Hub id of a model by the name that its users write.

        Raises:
            PartError: The library knows no such name.
        """
        ...

    def image(self, part: PartSpec, folder: Path | None) -> dict[str, Any]:
        """Fields of `ImageConfig` that the model's own files ask for; without a folder, what the config alone says.

        Where the library has a transform of its own, `pixels.fitting` finds the resampler and the rounding of it.

        Raises:
            PartError: The files do not say, or ask for something that `ImageConfig` cannot express.
        """
        ...

    def least_frames(self, part: PartSpec) -> int:
        """Frames that a clip needs at least."""
        ...

    def text(self, part: PartSpec, folder: Path | None) -> TextFacts:
        """How the part is used as a text encoder.

        Raises:
            PartError: It is none, or its files ask for something that is not there.
        """
        ...

    def vision_tower(self, part: PartSpec) -> VisionTower:
        """The part as a vision encoder, with fresh weights by torch's generator, which is seeded with `part.seed`.

        Raises:
            PartError: It is none.
        """
        ...

    def contrast(self, part: PartSpec, folder: Path | None) -> Contrast | None:
        """Scale and bias of a dual encoder, whose towers embed images and texts in one space; None of others."""
        ...

    def text_tower(self, config: YEncoderConfig) -> TextTower:
        """The part as a text encoder, with fresh weights by torch's generator, which is seeded with the part's `seed`.

        Raises:
            PartError: It is none.
            ConfigError: A pooling that it does not have.
        """
        ...

    def tokenizer(self, part: PartSpec, folder: Path | None) -> Tokenizer:
        """Tokenizer from the folder; a random part has no folder and reads bytes."""
        ...
