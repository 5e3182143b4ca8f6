"""What a V-JEPA model is made of: encoder, predictor, masks, and where targets come from."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from vljepa.configs.model import ImageConfig
from vljepa.configs.part import Strict


class _Named(Strict):
    @model_serializer(mode="wrap")
    def _with_name(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The name too where defaults are left out: it says which one of the union this is."""
        return {"name": self.name, **handler(self)}  # type: ignore[attr-defined]


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class SinCosPositions(_Named):
    """Fixed sines and cosines of time, row and column, added to the tokens (V-JEPA)."""

    name: Literal["sincos"] = "sincos"


class RopePositions(_Named):
    """Queries and keys turned by time, row and column in every layer (V-JEPA 2).

    Args:
        released: Turn as the released V-JEPA 2 weights were trained: their sines and cosines are tiled where pairs of
            neighbouring channels need them repeated, so that the two of a pair turn by different angles. Weights that
            were trained one way are wrong the other way.
    """

    name: Literal["rope"] = "rope"
    released: bool = False


Positions = Annotated[Annotated[SinCosPositions | RopePositions, Field(discriminator="name")], BeforeValidator(_named)]


class LayersConfig(Strict):
    """A stack of transformer layers.

    Args:
        width: Size of a token; a multiple of `heads`.
        depth: Layers.
        heads: Attention heads.
        mlp_ratio: Width of the hidden layer of an MLP, in widths.
    """

    width: int = Field(128, ge=8)
    depth: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    mlp_ratio: float = Field(4.0, gt=0)

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.heads != 0:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}: change one of them")
        return self


class VideoEncoderConfig(LayersConfig):
    """The context encoder, and the teacher.

    Args:
        patch: Side of a patch in pixels.
        tubelet: Frames of a patch.
        positions: How tokens know where they are.
    """

    patch: int = Field(8, ge=1)
    tubelet: int = Field(2, ge=1)
    positions: Positions = SinCosPositions()


class LatentPredictorConfig(LayersConfig):
    """The predictor: narrow, or it would learn what the encoder should.

    Args:
        mask_tokens: Learned tokens that stand for what is asked for; the k-th mask has the k-th.
    """

    width: int = Field(64, ge=8)
    depth: int = Field(3, ge=1)
    mask_tokens: int = Field(2, ge=1)


class MaskConfig(Strict):
    """Blocks that are hidden in all frames, and asked for: their union.

    Args:
        blocks: How many.
        scale: Share of the frame's area that each covers.
        aspect: Least and most ratio of height to width; one size is drawn for a step, places for every clip.
    """

    blocks: int = Field(ge=1)
    scale: float = Field(gt=0, lt=1)
    aspect: tuple[float, float] = (0.75, 1.5)

    @model_validator(mode="after")
    def _aspect_ascends(self) -> Self:
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise ValueError(f"aspect {self.aspect} is not a range above 0: give the least ratio first")
        return self


class ConstantMomentum(_Named):
    """The same in every step (V-JEPA 2).

    Args:
        value: Share of the teacher that is kept; 0 makes it the student.
    """

    name: Literal["constant"] = "constant"
    value: float = Field(0.99925, ge=0, le=1)


class LinearMomentum(_Named):
    """From the first step to the last (V-JEPA).

    Args:
        start: Share of the teacher that is kept in the first step, and
        end: in the last.
    """

    name: Literal["linear"] = "linear"
    start: float = Field(0.998, ge=0, le=1)
    end: float = Field(1.0, ge=0, le=1)


class TeacherTarget(_Named):
    """Targets are latents of a moving average of the context encoder, which sees the whole clip.

    Args:
        momentum: How slowly it follows. V-JEPA: linear; V-JEPA 2: constant. Short runs need less, such as 0.99.
    """

    name: Literal["teacher"] = "teacher"
    momentum: Annotated[ConstantMomentum | LinearMomentum, Field(discriminator="name")] = ConstantMomentum()


class RegularisedTarget(_Named):
    """Targets are latents of the context encoder itself, with gradient; SIGReg keeps them from collapsing (LeJEPA).

    Args:
        weight: Of SIGReg beside the prediction error.
        tokens: Tokens of a clip that it looks at, drawn anew in every step.
    """

    name: Literal["regularised"] = "regularised"
    weight: float = Field(0.02, gt=0)
    tokens: int = Field(16, ge=1)


class PixelTarget(_Named):
    """Targets are the pixels of the patches, each normalised: a masked autoencoder, as a control (arXiv 2111.06377)."""

    name: Literal["pixels"] = "pixels"


Target = Annotated[
    Annotated[TeacherTarget | RegularisedTarget | PixelTarget, Field(discriminator="name")], BeforeValidator(_named)
]


class ContextLossConfig(Strict):
    """Errors of visible tokens too, the more the nearer a hidden one is (V-JEPA 2.1, arXiv 2603.14482).

    Args:
        weight: Of a visible token beside a hidden one; it falls with the square root of the distance in tokens.
        warmup: Steps from which and until which the weight rises from 0.
    """

    weight: float = Field(0.5, gt=0)
    warmup: tuple[int, int] = (0, 0)

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not 0 <= self.warmup[0] <= self.warmup[1]:
            raise ValueError(f"warmup {self.warmup} does not rise: give two steps, the first one not after the second")
        return self


class ViewConfig(Strict):
    """How training clips are cut and mirrored, every frame of a clip alike.

    Args:
        min_scale: Smallest share of the area of a random cut.
        aspect: Least and most ratio of width to height of a cut.
        flip: Mirror half of the clips.
    """

    min_scale: float = Field(0.3, gt=0, le=1)
    aspect: tuple[float, float] = (0.75, 1.35)
    flip: bool = True


class VJEPAConfig(Strict):
    """A V-JEPA model: what is hidden of a clip is predicted in the space of latents (arXiv 2404.08471, 2506.09985).

    Args:
        image: How frames are resized and normalised; `size` has to be whole patches.
        frames: Frames of a clip, whole tubelets.
        encoder: The context encoder.
        predictor: The predictor.
        masks: What is hidden: the predictor answers for each of them, and the loss is their mean.
        target: What is predicted.
        context_loss: Errors of visible tokens too; None for none.
        levels: Layers of the encoder whose latents the predictor sees and predicts, evenly spaced, the last among them:
            V-JEPA 2.1's deep self-supervision with 4.
        views: How training clips are augmented.
    """

    image: ImageConfig = ImageConfig(
        size=(64, 64), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), resize="squash", interpolation="bicubic"
    )
    frames: int = Field(8, ge=1)
    encoder: VideoEncoderConfig = VideoEncoderConfig()
    predictor: LatentPredictorConfig = LatentPredictorConfig()
    masks: list[MaskConfig] = Field(
        default_factory=lambda: [MaskConfig(blocks=8, scale=0.15), MaskConfig(blocks=2, scale=0.7)], min_length=1
    )
    target: Target = TeacherTarget()
    context_loss: ContextLossConfig | None = None
    levels: int = Field(1, ge=1)
    views: ViewConfig = ViewConfig()

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens of a clip in time, height and width."""
        assert self.image.size is not None
        height, width = self.image.size
        return self.frames // self.encoder.tubelet, height // self.encoder.patch, width // self.encoder.patch

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.image.is_resolved:
            raise ValueError("image has to say size, mean, std, resize and interpolation: nothing else knows them")
        assert self.image.size is not None
        patch, tubelet = self.encoder.patch, self.encoder.tubelet
        if self.frames % tubelet or any(side % patch for side in self.image.size):
            raise ValueError(
                f"{self.frames} frames of {self.image.size} are no whole patches of {tubelet} x {patch} x {patch}: "
                "change frames, image.size or encoder.patch"
            )
        for name, layers in (("encoder", self.encoder), ("predictor", self.predictor)):
            head = layers.width // layers.heads
            if self.encoder.positions.name == "rope" and (head < 6 or head % 2):
                raise ValueError(
                    f"heads of the {name} are {head} wide, and rope turns pairs by time, row and column: "
                    "give it an even width of 6 at least for each head"
                )
        if self.levels > self.encoder.depth:
            raise ValueError(f"levels {self.levels} are more than the encoder's {self.encoder.depth} layers")
        if self.target.name == "pixels" and (self.levels > 1 or self.context_loss is not None):
            raise ValueError(
                "pixels have no levels and no latents of visible tokens: leave levels and context_loss out"
            )
        return self
