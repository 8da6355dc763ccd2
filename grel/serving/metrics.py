"""Counts and times of a server, in the text format that Prometheus reads.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4.
"""

from __future__ import annotations

import bisect
import math
import threading
from collections.abc import Callable, Iterator, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]


class Counter:
    """A number for each set of labels that only grows."""

    kind = "counter"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[Labels, float] = {}

    def add(self, amount: float = 1, **labels: str) -> None:
        """Adds to the number with these labels."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            self._values[key] = self._values.get(key, 0) + amount

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """What to add to the name, labels and value of each line."""
        with self._lock:
            values = sorted(self._values.items())
        for labels, value in values or [((), 0.0)]:
            yield "", labels, value


class Gauge:
    """A number that is looked up when it is asked for."""

    kind = "gauge"

    def __init__(self, value_fn: Callable[[], float]):
        self._value_fn = value_fn

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """See `Counter.samples`."""
        yield "", (), self._value_fn()


class Histogram:
    """How many observations are at most each bound, with their sum and count."""

    kind = "histogram"

    def __init__(self, bounds: Sequence[float]):
        self._lock = threading.Lock()
        self._bounds = (*bounds, math.inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one observation."""
        with self._lock:
            self._counts[bisect.bisect_left(self._bounds, value)] += 1
            self._sum += value

    def samples(self) -> Iterator[tuple[str, Labels, float]]:
        """See `Counter.samples`."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        so_far = 0
        for bound, count in zip(self._bounds, counts, strict=True):
            so_far += count
            yield "_bucket", (("le", _number(bound)),), so_far
        yield "_sum", (), total
        yield "_count", (), so_far


class Metrics:
    """All metrics of a server.

    Attributes:
        requests: by path and status.
        request_seconds: from the request's headers until its answer is sent.
        texts, triples: answered.
        batch_texts, batch_seconds: of the batches that went to the device.
    """

    def __init__(self) -> None:
        self.requests = Counter()
        self.texts, self.triples = Counter(), Counter()
        self.request_seconds = Histogram([0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100])
        self.batch_seconds = Histogram([0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100])
        self.batch_texts = Histogram([1, 2, 4, 8, 16, 32, 64, 128])
        self._shown: list[tuple[str, str, Counter | Gauge | Histogram]] = [
            ("requests_total", "Requests by path and status.", self.requests),
            ("request_seconds", "Time from request to answer.", self.request_seconds),
            ("texts_total", "Texts answered.", self.texts),
            ("triples_total", "Triples in the answers.", self.triples),
            ("batch_texts", "Texts of a batch on the device.", self.batch_texts),
            ("batch_seconds", "Time of a batch on the device.", self.batch_seconds),
        ]

    def gauge(self, name: str, help: str, value_fn: Callable[[], float]) -> None:
        """Shows a number that something else keeps."""
        self._shown.append((name, help, Gauge(value_fn)))

    def observe_batch(self, size: int, seconds: float) -> None:
        """Counts one batch."""
        self.batch_texts.observe(size)
        self.batch_seconds.observe(seconds)

    def text(self) -> str:
        """All of them as Prometheus reads them."""
        lines = []
        for name, help, metric in self._shown:
            lines += [f"# HELP grel_{name} {help}", f"# TYPE grel_{name} {metric.kind}"]
            lines += [
                f"grel_{name}{suffix}{_braces(labels)} {_number(value)}"
                for suffix, labels, value in metric.samples()
            ]
        return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    if value == math.inf:
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(float(value))


def _braces(labels: Labels) -> str:
    """Labels are names of the server's own paths and statuses, so there is nothing to escape."""
    inside = ",".join(f'{name}="{value}"' for name, value in labels)
    return f"{{{inside}}}" if inside else ""
