"""What the encoders know already and the Predictor adds to: residuals, by their names."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vljepa.configs.part import Strict


class LabelPriorConfig(Strict):
    """What the X-Encoder's own classifier knows, brought into the text space (ConSE, arXiv 1312.5650).

    Args:
        name: `label_prior`.
        label_names: Text per class of the classifier, in order, or the name of a built-in list.
        temperature: Of the softmax over the classifier's logits.
        top_k: Classes kept before renormalising.
        token: Put the prior into the Predictor's sequence as one more token.
        gated: Add the prior, times a learned state-dependent gate, to the prediction.
        hidden: Width of an MLP that refines the prior from label words to captions. It learns from samples of text
            alone, never from images; None adds the prior as it is.
        dropout: Inside that MLP.
    """

    name: Literal["label_prior"] = "label_prior"
    label_names: Literal["imagenet-1k"] | list[str] = "imagenet-1k"
    temperature: float = Field(1.0, gt=0)
    top_k: int = Field(10, ge=1)
    token: bool = True
    gated: bool = True
    hidden: int | None = Field(None, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)


class SideConfig(Strict):
    """Where the embeddings of one modality lie, by dimension.

    Args:
        mean: Mean.
        std: Standard deviation.
    """

    mean: list[float]
    std: list[float]


class AlignedConfig(Strict):
    """A dual encoder's own embedding of the image, to which the learned part is added.

    Args:
        name: `aligned`.
        gate: Where the factors on the learned part begin, of samples with a question and of those without; with 0 the
            model is the dual encoder at first.
        image: Where images lie, and
        text: where texts do, if that was measured: a Y-Decoder that has seen texts alone reads images by it.
    """

    name: Literal["aligned"] = "aligned"
    gate: float = 0.0
    image: SideConfig | None = None
    text: SideConfig | None = None


ResidualConfig = Annotated[LabelPriorConfig | AlignedConfig, Field(discriminator="name")]
