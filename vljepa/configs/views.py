"""What is seen of a source's rows, as a union by name: an image, a clip, a still clip, or a text instead."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer

from vljepa.configs.part import Strict


class _View(Strict):
    @model_serializer(mode="wrap")
    def _with_name(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The name too where defaults are left out: it says which view this is."""
        return {"name": self.name, **handler(self)}  # type: ignore[attr-defined]


class PictureView(_View):
    """Rows have an image."""

    name: Literal["picture"] = "picture"


class ClipView(_View):
    """Rows have a video.

    Args:
        frames: Frames that are read of each clip, one of each equal part: its middle, and where the clip is read or
            stored anew for training (views beyond the first) a drawn place.
    """

    name: Literal["clip"] = "clip"
    frames: int = Field(ge=1)


class StillView(_View):
    """Rows have an image, which is shown as a clip in which nothing moves: it keeps in mind what things are called.

    Args:
        frames: How often it is shown.
    """

    name: Literal["still"] = "still"
    frames: int = Field(ge=1)


class TextView(_View):
    """Rows have no image and at least two texts: one stands for the image, another is the target.

    The text is turned into an estimate of the label prior (the model needs a `label_prior` with `residual`):
    softmax(cosine(text, labels) / temperature), the largest kept as by the label prior, moved so that its mean is that
    of real images, with Gaussian noise: a classifier is less sure than a text about itself.

    Args:
        like: Name of the training source whose images' priors give the mean.
        temperature: Of the softmax over cosines.
        noise: Standard deviation of the noise, in units of the estimates' own mean standard deviation.
    """

    name: Literal["text"] = "text"
    like: str
    temperature: float = Field(0.07, gt=0)
    noise: float = Field(1.0, ge=0)


def _named(view: Any) -> Any:
    return {"name": view} if isinstance(view, str) else view


View = Annotated[
    Annotated[PictureView | ClipView | StillView | TextView, Field(discriminator="name")], BeforeValidator(_named)
]
"""By its `name`; the name alone is the view with its defaults, where there are some: `view: picture`."""
