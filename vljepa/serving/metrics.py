"""What Prometheus reads at `GET /metrics`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ITEMS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counts of one server.

    Paths are those of the shapes, and "other" for all else, so that no client makes new series.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "vljepa_requests", "Requests by path and status.", ["path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "vljepa_request_seconds", "From the request's head to the end of its answer.", ["path"], buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self._in_hand = Gauge(
            "vljepa_requests_in_hand", "Requests that wait for the model or use it.", registry=registry
        )
        self._items = Histogram(
            "vljepa_batch_items", "Items that went through the model together.", ["kind"], buckets=ITEMS,
            registry=registry,
        )  # fmt: skip
        self._batch_seconds = Histogram(
            "vljepa_batch_seconds", "Of the model at one batch.", ["kind"], buckets=SECONDS, registry=registry
        )
        self._deaths = Counter("vljepa_model_restarts", "Deaths of the thread that uses the model.", registry=registry)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def in_hand(self, count: int) -> None:
        """Note how many requests need the model now."""
        self._in_hand.set(count)

    def batch(self, kind: str, items: int, seconds: float) -> None:
        """Count a batch."""
        self._items.labels(kind).observe(items)
        self._batch_seconds.labels(kind).observe(seconds)

    def death(self) -> None:
        """Count a death of the model's thread."""
        self._deaths.inc()

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self._registry)
