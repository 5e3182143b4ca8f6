"""What `stream` and `watch` have to say about their live sources while they go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Kind = Literal["lost", "retry", "back", "rate", "gone"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened to a source.

    Args:
        source: Its name.
        kind: `lost`: it is away, and its open segment has been said. `retry`: it could not be reached. `back`: it is
            there again. `rate`: more or fewer frames per second are looked at. `gone`: nothing more comes from it,
            because of an error.
        time: Seconds of its stream; for `back`, of the first frame.
        clock: Now, wall-clock.
        message: One line for people; addresses without passwords.
        since: For `back`: seconds of the stream of the last frame before.
    """

    source: str
    kind: Kind
    time: float
    clock: datetime
    message: str
    since: float | None = None


Notify = Callable[[Notice], None]
