"""What `vljepa stream` sends while it watches: each caption, and what happens to a live source, as a JSON event."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vljepa.cli.output import note
from vljepa.errors import ConfigError

if TYPE_CHECKING:
    from vljepa.inference.notices import Notice
    from vljepa.inference.selective import Segment
    from vljepa.integrations.event_targets import Target


def event_targets(webhooks: Sequence[str], topics: Sequence[str], *, headers: Sequence[str]) -> list[Target]:
    """Where events go, checked before a model is loaded.

    Args:
        webhooks: Addresses that take a POST.
        topics: Addresses of topics of MQTT brokers.
        headers: Of webhooks, `NAME: VALUE`.

    Raises:
        ConfigError: An address or a header is none, or a library is not installed.
    """
    from vljepa.integrations.event_targets import mqtt, webhook

    pairs = {}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon:
            raise ConfigError(f"{name!r} is no header.", fix='write it as "Authorization: Bearer TOKEN".')
        pairs[name.strip()] = value.strip()
    if pairs and not webhooks:
        raise ConfigError("--webhook-header is for --webhook, and there is none.", fix="leave it out.")
    return [*(webhook(one, headers=pairs) for one in webhooks), *(mqtt(one) for one in topics)]


def _say(name: str, trouble: str) -> None:
    note(f"{name}: {trouble}")


class StreamEvents:
    """Sends events to every target, in the background; says at the end what became of them.

    Args:
        targets: As of `event_targets`.
        size: Events that may wait for each; the oldest is dropped for the next.
        wait: Seconds for what still waits at the end.
    """

    def __init__(self, targets: Sequence[Target], *, size: int = 1000, wait: float = 10.0) -> None:
        from vljepa.integrations.outbox import Outbox

        self._wait = wait
        self._targets = [
            (target, Outbox(target.send, size=size, on_trouble=partial(_say, target.name))) for target in targets
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for target, outbox in self._targets:
            counts = outbox.close(wait=self._wait)
            target.close()
            lost = f", {counts.dropped} dropped" * bool(counts.dropped) + f", {counts.refused} refused" * bool(
                counts.refused
            )
            note(f"{target.name}: {counts.sent} event{'' if counts.sent == 1 else 's'} sent{lost}")

    def add(self, segment: Segment, *, name: str) -> None:
        """Send a caption of a source; returns at once."""
        from vljepa.inference.subtitles import json_line

        self._put({"event": "caption", **json.loads(json_line(segment, source=name))})

    def tell(self, notice: Notice) -> None:
        """Send what happened to a live source; returns at once."""
        from vljepa.inference.subtitles import notice_line

        self._put(json.loads(notice_line(notice)))

    def _put(self, event: dict[str, object]) -> None:
        body = json.dumps(event).encode()
        for _, outbox in self._targets:
            outbox.put(body)
