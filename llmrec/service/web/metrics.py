"""What is counted, in Prometheus' terms; nothing of it is about a person."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """Counters and gauges of one service.

    Attributes:
        content_type: Of what `text` gives.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        labels = ("route", "method")
        self.requests = Counter("llmrec_requests", "Requests answered.", (*labels, "status"), registry=registry)
        self.seconds = Histogram(
            "llmrec_request_seconds", "Until the answer.", labels, buckets=_SECONDS, registry=registry
        )
        self.present = Gauge("llmrec_requests_present", "Requests that need the models, now.", registry=registry)
        self.refused = Counter("llmrec_requests_refused", "Sent away until later.", ("why",), registry=registry)
        self.fallbacks = Counter("llmrec_fallbacks", "Lists that the language model did not order.", registry=registry)
        self.events = Counter("llmrec_events", "Events taken in.", ("kind",), registry=registry)
        self.live = Gauge("llmrec_release_live", "1 for the release that is live.", ("release",), registry=registry)

    def text(self) -> bytes:
        """Everything counted so far."""
        return generate_latest(self._registry)
