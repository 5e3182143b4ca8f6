"""What happens beside the optimizer: after every step, in every validation, in every checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from vljepa.models.targets import Teacher
from vljepa.validation.tasks import Metrics


class Hook:
    """Does nothing; a hook overrides what it needs."""

    def after_step(self, *, step: int) -> None:
        """Called after the optimizer has made step number `step`, counted from 1."""

    def metrics(self) -> Metrics:
        """What a validation reports of it."""
        return {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to have, as nested dictionaries of tensors and plain values."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Bring `state` back."""


class FollowStudent(Hook):
    """Moves a teacher towards its student after every step; both are saved with the model.

    Args:
        teacher: Moving average of the student.
        student: What is trained.
        momentum: Share of the teacher that is kept, by the step's number.
    """

    def __init__(self, teacher: Teacher, student: nn.Module, *, momentum: Callable[[int], float]) -> None:
        self.teacher = teacher
        self.student = student
        self.momentum = momentum

    def after_step(self, *, step: int) -> None:
        """See `Hook`."""
        self.teacher.follow(self.student, momentum=self.momentum(step))
