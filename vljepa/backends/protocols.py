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
    """A vision module; it is an `nn.Module`.

    Attributes:
        width: Size of a token.
        pooled_width: Of a dual encoder, S, size of the space that it shares with texts; None otherwise.
        num_classes: Classes of its own classifier, 0 without one.
        joint_frames: True for video encoders that attend across frames.
        tubelet: Frames that become one step in time.
    """

    width: int
    pooled_width: int | None
    num_classes: int
    joint_frames: bool
    tubelet: int

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
    """One library of models."""

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
