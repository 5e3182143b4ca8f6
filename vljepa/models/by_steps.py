"""Two modules for one task, chosen by how many steps in time there are."""

from __future__ import annotations

from typing import Generic, TypeVar

from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


class BySteps(nn.Module, Generic[ModuleT]):
    """A module for images and one for clips: training one leaves the other as it is, to the last bit.

    Args:
        image: For a single step.
        clip: For several.
    """

    def __init__(self, image: ModuleT, clip: ModuleT) -> None:
        super().__init__()
        self.image = image
        self.clip = clip

    def of(self, steps: int) -> ModuleT:
        """The module for so many steps."""
        return self.clip if steps > 1 else self.image

    def both(self) -> list[ModuleT]:
        """The module for images, then that for clips."""
        return [self.image, self.clip]
