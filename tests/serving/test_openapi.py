"""The OpenAPI document: all paths of the server, whose answers are as it says."""

import json
import re

import pytest

from grel.serving import openapi
from grel.serving.limits import Limits
from tests.fakes import LIVES
from tests.serving.served import REASON, FakeModel, running

for package in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(package, reason=REASON)


@pytest.fixture(scope="module")
def client():
    with running() as client:
        yield client


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json


def _check(value, schema, document, where="answer"):
    """As JSON Schema says, of the keywords that the document uses, which are asserted to be all."""
    kinds = {
        "string": str,
        "array": list,
        "object": dict,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    known = {"type", "properties", "required", "additionalProperties", "items", "enum", "const"}
    known |= {"minimum", "maximum", "minItems", "maxItems", "maxLength", "description", "default"}
    assert schema.keys() <= known
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        assert any(isinstance(value, kinds[name]) for name in names), where
    assert value in schema.get("enum", [value]), where
    assert value == schema.get("const", value), where
    if isinstance(value, dict):
        assert value.keys() >= set(schema.get("required", ())), where
        properties = schema.get("properties", {})
        assert not properties or value.keys() <= properties.keys(), where
        for name, member in value.items():
            _check(member, properties.get(name, {}), document, f"{where}.{name}")
    if isinstance(value, list):
        assert schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)), where
        for member in value:
            _check(member, schema.get("items", {}), document, f"{where}[]")
    if isinstance(value, int | float):
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), where


def _schema(document, path, method, status):
    content = document["paths"][path][method]["responses"][str(status)]["content"]
    return content["application/json"]["schema"]


def test_it_has_all_paths_of_the_server_and_its_references_lead_somewhere(client, document):
    assert document == openapi.document(FakeModel(), Limits())
    for path, methods in document["paths"].items():
        for method in methods:
            assert client.ask(method.upper(), path).status not in (404, 405), path
    text = json.dumps(document)
    names = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert names <= document["components"]["schemas"].keys()


@pytest.mark.parametrize("path", ["/schema", "/health"])
def test_answers_are_as_it_says(client, document, path):
    answer = client.get(path)
    _check(answer.json, _schema(document, path, "get", 200), document)


@pytest.mark.parametrize(
    "question",
    [
        {"texts": []},
        {"texts": ["Ann in Oslo", "Bo ? cut"], "min_score": 0.5},
        {"texts": ["Ann in Oslo"], "relations": [LIVES], "trace": True},
        {"texts": ["Ann in Oslo"], "relations": None, "min_score": None},
    ],
)
def test_questions_and_their_answers_are_as_it_says(client, document, question):
    _check(question, {"$ref": "#/components/schemas/Question"}, document, "question")
    answer = client.extract(*question.pop("texts"), **question)
    _check(answer.json, _schema(document, "/extract", "post", 200), document)


def test_refusals_are_as_it_says(client, document):
    for body in (b"", b"{}", b" " * (1 << 21)):
        answer = client.post(body)
        _check(answer.json, _schema(document, "/extract", "post", answer.status), document)
    with pytest.raises(AssertionError):
        _check({"no": "error"}, _schema(document, "/extract", "post", 400), document)
