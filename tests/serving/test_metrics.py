"""Metrics in the text format of Prometheus, to the letter, and their sums."""

import math

from hypothesis import given
from hypothesis import strategies as st

from grel.serving.metrics import Counter, Histogram, Metrics


def test_the_text_to_the_letter():
    metrics = Metrics()
    metrics.requests.add(path="/extract", status="200")
    metrics.requests.add(path="/extract", status="200")
    metrics.requests.add(status="404", path="other")
    metrics.texts.add(3)
    metrics.observe_batch(3, 0.25)
    metrics.gauge("texts_waiting", "Texts that wait.", lambda: 7)
    lines = metrics.text().splitlines()
    assert lines[:7] == [
        "# HELP grel_requests_total Requests by path and status.",
        "# TYPE grel_requests_total counter",
        'grel_requests_total{path="/extract",status="200"} 2',
        'grel_requests_total{path="other",status="404"} 1',
        "# HELP grel_request_seconds Time from request to answer.",
        "# TYPE grel_request_seconds histogram",
        'grel_request_seconds_bucket{le="0.01"} 0',
    ]
    assert "grel_texts_total 3" in lines
    assert "grel_triples_total 0" in lines
    assert 'grel_batch_texts_bucket{le="2"} 0' in lines
    assert 'grel_batch_texts_bucket{le="4"} 1' in lines
    assert 'grel_batch_seconds_bucket{le="+Inf"} 1' in lines
    assert "grel_batch_seconds_sum 0.25" in lines
    assert lines[-1] == "grel_texts_waiting 7"
    assert metrics.text().endswith("\n")


@given(st.lists(st.integers(-5, 20)), st.lists(st.integers(0, 15), unique=True).map(sorted))
def test_a_histogram_counts_what_is_at_most_each_bound(values, bounds):
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    *buckets, (_, _, total), (_, _, count) = histogram.samples()
    expected = [sum(value <= bound for value in values) for bound in (*bounds, math.inf)]
    assert [number for _, _, number in buckets] == expected
    assert (total, count) == (sum(values), len(values))


def test_an_untouched_counter_is_zero():
    assert list(Counter().samples()) == [("", (), 0.0)]
