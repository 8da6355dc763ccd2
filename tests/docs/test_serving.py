"""docs/SERVING.md: limits, paths, fields, statuses and metrics are those of the server."""

import dataclasses
import re
from pathlib import Path

import pytest

from tests.serving.served import REASON, FakeModel

pytest.importorskip("starlette", reason=REASON)
pytest.importorskip("prometheus_client", reason=REASON)
from grel.serving import openapi, requests
from grel.serving.limits import Limits
from grel.serving.metrics import Metrics

SERVING = (Path(__file__).parents[2] / "docs" / "SERVING.md").read_text()


def test_the_limits_of_a_server_are_as_told():
    told = dict(re.findall(r"^\| `--max_(\w+)` \| ([\d.]+) \|", SERVING, re.MULTILINE))
    assert {name: float(value) for name, value in told.items()} == dataclasses.asdict(Limits())


def test_the_paths_fields_statuses_and_metrics_of_a_server_are_as_told():
    paths = openapi.document(FakeModel(), Limits())["paths"]
    told = re.findall(r"^\| `(GET|POST) (/\S*)` \|", SERVING, re.MULTILINE)
    assert {(path, method.lower()) for method, path in told} == {
        (path, method) for path, methods in paths.items() for method in methods
    }
    asked = SERVING.partition("## Ask it")[2].partition("The answer")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", asked, re.MULTILINE)) == set(requests.FIELDS)
    statuses = {
        s for row in re.findall(r"^\| ([45]\d\d.*?) \|", SERVING, re.M) for s in row.split(", ")
    }
    answers = paths["/extract"]["post"]["responses"].keys() - {"200"}
    assert statuses == answers | {"404", "405", "421"}
    metrics = set(re.findall(r"`(grel_\w+)`", SERVING))
    shown = set(re.findall(r"^# TYPE (\w+)", Metrics().shown()[0].decode(), re.MULTILINE))
    assert shown | {"grel_requests_under_way", "grel_texts_waiting"} == metrics
