"""Metrics as Prometheus reads them: every name, and what was counted."""

import pytest

from tests.serving.served import REASON

pytest.importorskip("prometheus_client", reason=REASON)
from grel.serving.metrics import Metrics


def test_what_was_counted_is_told():
    metrics = Metrics()
    metrics.requests.labels(path="/extract", status="200").inc()
    metrics.requests.labels(path="/extract", status="200").inc()
    metrics.requests.labels(status="404", path="other").inc()
    metrics.texts.inc(3)
    metrics.observe_batch(3, 0.25)
    metrics.gauge("texts_waiting", "Texts that wait.", lambda: 7)
    shown, content_type = metrics.shown()
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    text = shown.decode()
    lines = text.splitlines()
    assert "# HELP grel_requests_total Requests by path and status." in lines
    assert "# TYPE grel_requests_total counter" in lines
    assert 'grel_requests_total{path="/extract",status="200"} 2.0' in lines
    assert 'grel_requests_total{path="other",status="404"} 1.0' in lines
    assert "# TYPE grel_request_seconds histogram" in lines
    assert 'grel_request_seconds_bucket{le="0.01"} 0.0' in lines
    assert "grel_texts_total 3.0" in lines
    assert "grel_triples_total 0.0" in lines
    assert 'grel_batch_texts_bucket{le="2.0"} 0.0' in lines
    assert 'grel_batch_texts_bucket{le="4.0"} 1.0' in lines
    assert 'grel_batch_seconds_bucket{le="+Inf"} 1.0' in lines
    assert "grel_batch_seconds_sum 0.25" in lines
    assert "grel_texts_waiting 7.0" in lines
    assert text.endswith("\n")
    assert "_created" not in text


def test_servers_of_one_process_count_apart():
    one, other = Metrics(), Metrics()
    one.texts.inc()
    assert b"grel_texts_total 0.0" in other.shown()[0]
