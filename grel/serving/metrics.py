"""Counts and times of a server, for Prometheus by its own client library."""

from __future__ import annotations

from collections.abc import Callable

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, exposition

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128)

# When each was first counted is of no use.
prometheus_client.disable_created_metrics()


class Metrics:
    """All metrics of a server.

    Attributes:
        requests: by path and status.
        request_seconds: from the request's headers until its answer is sent.
        texts, triples: answered.
        batch_texts, batch_seconds: of the batches that went to the device.
    """

    def __init__(self) -> None:
        # Not the library's own, which has the process's too, and all servers of it.
        self._registry = of = CollectorRegistry()
        self.requests = Counter(
            "grel_requests", "Requests by path and status.", ("path", "status"), registry=of
        )
        self.texts = Counter("grel_texts", "Texts answered.", registry=of)
        self.triples = Counter("grel_triples", "Triples in the answers.", registry=of)
        self.request_seconds = Histogram(
            "grel_request_seconds", "Time from request to answer.", buckets=_SECONDS, registry=of
        )
        self.batch_texts = Histogram(
            "grel_batch_texts", "Texts of a batch on the device.", buckets=_TEXTS, registry=of
        )
        self.batch_seconds = Histogram(
            "grel_batch_seconds", "Time of a batch on the device.", buckets=_SECONDS, registry=of
        )

    def gauge(self, name: str, help: str, value_fn: Callable[[], float]) -> None:
        """Shows a number that something else keeps."""
        Gauge(f"grel_{name}", help, registry=self._registry).set_function(value_fn)

    def observe_batch(self, size: int, seconds: float) -> None:
        """Counts one batch."""
        self.batch_texts.observe(size)
        self.batch_seconds.observe(seconds)

    def shown(self, accept: str = "") -> tuple[bytes, str]:
        """All of them, and the type of that, by what a client says that it accepts."""
        encode, content_type = exposition.choose_encoder(accept)
        return encode(self._registry), content_type
