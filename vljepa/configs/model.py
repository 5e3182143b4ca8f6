"""What a VL-JEPA model is made of. Tensors and files follow from this and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from vljepa.configs.answers import AnswerPriorConfig
from vljepa.configs.open_set import OpenSetConfig
from vljepa.configs.part import PartSpec, Strict
from vljepa.configs.residual import AlignedConfig, ResidualConfig


class ImageConfig(Strict):
    """Preprocessing of one image or frame; it travels with the weights.

    None asks the backend, which reads the encoder's own files; `resize` is asked together with `resize_to`,
    `resampler`, `rounding` and `fill`. A saved model holds what was resolved.

    Args:
        size: Height and width in pixels that the X-Encoder sees.
        mean: Per-channel mean, on pixels scaled to [0, 1].
        std: Per-channel standard deviation, likewise.
        resize: `shortest_edge` scales the shorter side to `resize_to` and cuts the centre, as torchvision does; `crop`
            scales `size / crop_fraction` and the centre cut in one step; `squash` ignores the aspect ratio; `pad` keeps
            everything and fills the rest.
        resize_to: Pixels of the shorter side (`shortest_edge`), of the longer (`pad`) or of both (`squash`) before the
            centre is cut; None is `size` itself.
        resampler: What resizes: Pillow, or torchvision as transformers' processors do by default, on whose integers the
            levels of some pixels differ by one.
        rounding: Where a centre lies between two pixels: torchvision, timm and open_clip round half to even,
            transformers rounds down.
        crop_fraction: With `crop`, the share of the resized image that the centre cut keeps.
        fill: Colour around a padded image, 0 to 255; None is the mean.
        interpolation: Filter of the resize, augmented views included.
        max_pixels: Cap on width x height, read from the header before decoding (decompression bombs).
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    resize: Literal["shortest_edge", "crop", "squash", "pad"] | None = None
    resize_to: int | None = Field(None, ge=1)
    resampler: Literal["pillow", "torchvision"] = "pillow"
    rounding: Literal["half_even", "down"] = "half_even"
    crop_fraction: float = Field(1.0, gt=0, le=1)
    fill: tuple[int, int, int] | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] | None = None
    max_pixels: int = Field(89_478_485, gt=0)

    @property
    def is_resolved(self) -> bool:
        """Whether nothing is left to ask."""
        return None not in (self.size, self.mean, self.std, self.resize, self.interpolation)


class XEncoderConfig(Strict):
    """The frozen vision encoder.

    Args:
        part: Which encoder.
        image: What it wants to see.
        min_frames: Frames that the encoder needs at least; a shorter clip is filled with its last frame. None asks the
            backend (V-JEPA 2: one tubelet, 2).
        pool_grid: Side of the grid that a frame's tokens are average-pooled to; None keeps them all.
    """

    part: PartSpec
    image: ImageConfig = ImageConfig()
    min_frames: int | None = Field(None, ge=1)
    pool_grid: int | None = Field(None, ge=1)


Attention = Literal["full", "causal", "block_causal"]
"""Which tokens of a sequence see which: all, those before, or those of their own step in time and of steps before."""


class ClipsConfig(Strict):
    """How the Predictor sees a clip of several frames.

    Args:
        frames: Frames that are taken of a video, one of each equal part, unless the caller says otherwise.
        max_frames: Most steps in time: frames, or tubelets of an X-Encoder that sees them jointly. A learned encoding
            of this many places, zero at first, is stretched over the steps that a clip has; an image gets none.
        changes: Tokens of change: the first cosines in time (DCT-II, k = 1 to `changes`) of what is seen, over all
            places of a frame together. They say what no frame can: what comes, goes and moves. 0 for none; needs
            `x_encoder.pool_grid`.
        grid: Side of the grid that the tokens of each step are averaged to before the Predictor, after the changes were
            taken, in clips alone; None keeps them. Needs `x_encoder.pool_grid`.
        predictor: `own`: clips are predicted by a Predictor of their own, which begins as a copy of that of images
            where a trained model is given one (`clips` beside `start`). Training on clips alone then trains nothing
            else: the model answers about images what it answered before, to the last bit. `shared`: one Predictor is
            for both, and images have to be trained along.
    """

    frames: int = Field(8, ge=2)
    max_frames: int = Field(16, ge=2)
    changes: int = Field(0, ge=0)
    grid: int | None = Field(None, ge=1)
    predictor: Literal["shared", "own"] = "shared"


MEAN_FRAMES = 1024
"""Most frames of a clip that is seen as the mean of its frames: they have no places in time, and need memory alone."""


class PredictorConfig(Strict):
    """The trained middle: visual tokens, then query tokens, to one embedding.

    Args:
        part: The text transformer whose layers it starts from; a `random` part has no words of its own: it reads bytes.
        init: `random` starts the part's layers anew, by `train.seed`, with its words and their embeddings.
        attention: `full`, as in the paper; `causal`, as in the language model that the layers come from; or
            `block_causal`, by steps in time.
        output: `pooled`: one embedding, of the mean over the sequence; `tokens`: one of every context token.
        max_query_tokens: Longer queries are cut.
        dropout: On the Predictor's input tokens and inside its layers.
        clips: Time, for a model that is to tell the order of frames; None leaves it to the backbone's own positions.
    """

    part: PartSpec
    init: Literal["pretrained", "random"] = "pretrained"
    attention: Attention = "full"
    output: Literal["pooled", "tokens"] = "pooled"
    max_query_tokens: int = Field(512, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    clips: ClipsConfig | None = None


class DenseConfig(Strict):
    """One dense layer after the pooling, as sentence-transformers' models bring them.

    Args:
        in_features: Width before.
        out_features: Width after.
        bias: Whether it has one.
        activation: Of its output.
    """

    in_features: int = Field(ge=1)
    out_features: int = Field(ge=1)
    bias: bool = True
    activation: Literal["identity", "tanh", "gelu", "relu"] = "identity"


class YEncoderConfig(Strict):
    """The text encoder of targets and candidates.

    None asks the backend, which reads the encoder's own files; a saved model holds what was resolved.

    Args:
        part: Which encoder.
        pooling: `mean` over valid tokens, `last` valid token, `cls` first token, or `pooler` for the encoder's own.
        dense: Layers of the part's own between its pooling and `head`.
        head: `linear` into the shared space, or `identity` when the encoder's width is the shared width.
        target: `frozen`, or `trained` along (at `optim.y_encoder_lr_scale`); the head is always trained.
        prefix: Text put before every target, for encoders that were trained with one.
        max_tokens: Longer targets are cut.
    """

    part: PartSpec
    pooling: Literal["mean", "last", "cls", "pooler"] | None = None
    dense: list[DenseConfig] | None = None
    head: Literal["linear", "identity"] = "linear"
    target: Literal["frozen", "trained"] = "frozen"
    prefix: str | None = None
    max_tokens: int | None = Field(None, ge=1)

    @property
    def is_resolved(self) -> bool:
        """Whether nothing is left to ask."""
        return None not in (self.pooling, self.dense, self.prefix, self.max_tokens)


class PromptsConfig(Strict):
    """The queries and templates that training and use must agree on.

    Args:
        caption: Query for captioning and retrieval; empty for a model trained without queries on captions.
        classification: Templates of a class name, `{}` is the name; the embeddings of several are averaged.
    """

    caption: str = ""
    classification: list[str] = Field(["{}"], min_length=1)

    @field_validator("classification", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("classification")
    @classmethod
    def _names_the_class(cls, value: list[str]) -> list[str]:
        without = [template for template in value if "{}" not in template]
        if without:
            raise ValueError(f"the template {without[0]!r} has no {{}} for the name")
        return value

    def named(self, names: Sequence[str]) -> list[str]:
        """Texts of class names, all of the first template first."""
        return [template.replace("{}", name) for template in self.classification for name in names]


class PairConfig(Strict):
    """Probability that one text is right for one image, whatever the others: sigmoid(scale * cosine + bias), of SigLIP.

    Args:
        scale: Factor on the cosine.
        bias: What is added.
    """

    scale: float
    bias: float


CALIBRATED_AT = 20
"""Candidates for which a temperature stands as it is."""


class CalibrationConfig(Strict):
    """Numbers that are fitted on validation data after training, or that a dual encoder has learned.

    A candidate's probability is softmax(cosine / T) over the candidates, where T depends on how many there are; with
    `pair`, `classify` gives each candidate one by itself.

    Args:
        classify: Temperature for `classify` with 20 candidates.
        ask: Temperature for `ask --choices` with 20 candidates.
        classify_exponent: For `classify`, the power of candidates / 20 that the temperature is multiplied by.
        ask_exponent: The same for `ask`.
        pair: For `classify`, of a dual encoder that was trained with a sigmoid; None for the softmax.
        residual: Factor on the gate of the residual.
        evidence: For `classify`, how far the X-Encoder's own classifier is trusted where candidates name its classes.
        open_set: For `classify`, whether any of the candidates is right; None where that was not fitted.
        search: For `search --none`, whether the nearest row of an index shows what a text says; None where that was not
            fitted.
        answers: Frequencies of the training answers, added to the cosines by `ask` where all choices are among them.
    """

    classify: float = Field(0.05, gt=0)
    ask: float = Field(0.05, gt=0)
    classify_exponent: float = 0.0
    ask_exponent: float = 0.0
    pair: PairConfig | None = None
    residual: float = Field(1.0, gt=0)
    evidence: float = Field(0.0, ge=0, lt=1)
    open_set: OpenSetConfig | None = None
    search: OpenSetConfig | None = None
    answers: AnswerPriorConfig | None = None

    def temperature(self, kind: Literal["classify", "ask"], *, candidates: int) -> float:
        """T for so many candidates."""
        base, exponent = (
            (self.classify, self.classify_exponent) if kind == "classify" else (self.ask, self.ask_exponent)
        )
        return float(base * (candidates / CALIBRATED_AT) ** exponent)


class VLJEPAConfig(Strict):
    """A whole model.

    Args:
        x_encoder: Vision encoder.
        predictor: Predictor.
        y_encoder: Text target encoder.
        residual: What the encoders know already, added to the prediction; None for nothing.
        embed_dim: Width D of the shared space (the paper: 1,536).
        init_temperature: Start of the learned temperature of the contrastive loss; the paper does not state it.
        max_logit_scale: Upper bound of 1 / temperature.
        prompts: Queries and templates.
        calibration: Temperatures of reported probabilities.
    """

    x_encoder: XEncoderConfig
    predictor: PredictorConfig
    y_encoder: YEncoderConfig
    residual: ResidualConfig | None = None
    embed_dim: int = Field(1536, ge=1)
    init_temperature: float = Field(0.07, gt=0)
    max_logit_scale: float = Field(100.0, gt=0)
    prompts: PromptsConfig = PromptsConfig()
    calibration: CalibrationConfig = CalibrationConfig()

    @property
    def clips(self) -> ClipsConfig | None:
        """How a clip is seen: as the Predictor has learned it; of a dual encoder otherwise as the mean of its frames.

        None for a model that has learned from images and takes no clips.
        """
        aligned = isinstance(self.residual, AlignedConfig)
        return self.predictor.clips or (ClipsConfig(max_frames=MEAN_FRAMES) if aligned else None)

    @field_validator("residual", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return None if value == "none" else {"name": value}
        return value

    @model_validator(mode="after")
    def _grid_of_clips(self) -> VLJEPAConfig:
        clips, side = self.predictor.clips, self.x_encoder.pool_grid
        if clips is not None and clips.grid is not None and (side is None or clips.grid > side):
            raise ValueError(
                f"predictor.clips.grid = {clips.grid} pools a grid of x_encoder.pool_grid = {side}: make that larger"
            )
        if clips is not None and clips.changes > 0 and side is None:
            raise ValueError(
                f"predictor.clips.changes = {clips.changes} needs frames of equal grids: set x_encoder.pool_grid"
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """As plain data, by the name that peft asks for."""
        return self.model_dump(mode="json")
