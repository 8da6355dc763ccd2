"""The OpenAPI document of a server: its paths, with the limits and relations that it has.

Source: OpenAPI 3.1, whose schemas are JSON Schema.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from grel import __version__
from grel.families.writer import Tally
from grel.serving.limits import Limits
from grel.serving.model import Model

_SPAN = {
    "type": "array",
    "description": "Characters of the text, counted from 0 in code points; the end is excluded.",
    "items": {"type": "integer", "minimum": 0},
    "minItems": 2,
    "maxItems": 2,
}
_SPANS = {"type": "array", "items": {"$ref": "#/components/schemas/Span"}}
_SCORE = {"type": "number", "minimum": 0, "maximum": 1}
_REASONS = {
    "400": "The body is not JSON in UTF-8.",
    "408": "The body did not come in time.",
    "413": "The body, the number of texts or a text is too long.",
    "415": "The body is not called application/json, or is compressed.",
    "422": "The JSON is not what is asked for.",
    "500": "A mistake in the server; its log has the details.",
    "503": "Too much is under way; try again after the seconds in Retry-After.",
}


def document(model: Model, limits: Limits) -> dict[str, Any]:
    """The document, as JSON."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"grel: {model.name}",
            "description": "Texts in, (head, relation, tail) triples out.",
            "version": __version__,
        },
        "paths": {
            "/extract": {"post": _extract()},
            "/schema": {"get": _get("Relations and limits.", "Schema")},
            "/health": {
                "get": {
                    **_get("Whether requests are answered.", "Health"),
                    "responses": {
                        "200": _json("It answers.", "Health"),
                        "503": _json("It does not.", "Health"),
                    },
                }
            },
            "/metrics": {"get": _text("Counts and times for Prometheus.", "text/plain")},
            "/openapi.json": {
                "get": {
                    "summary": "This document.",
                    "responses": {"200": _content("It.", "application/json", {"type": "object"})},
                }
            },
            "/": {"get": _text("A page to try the model on.", "text/html")},
        },
        "components": {"schemas": _schemas(model, limits)},
    }


def _extract() -> dict[str, Any]:
    refusals = {status: _json(reason, "Error") for status, reason in _REASONS.items()}
    return {
        "summary": "Extracts triples from texts.",
        "requestBody": {"required": True, **_content("", "application/json", _ref("Question"))},
        "responses": {"200": _json("The texts with their triples.", "Answer"), **refusals},
    }


def _schemas(model: Model, limits: Limits) -> dict[str, Any]:
    count = {"type": "integer", "minimum": 0}
    traced = {
        "type": "object",
        "description": "How one output was written.",
        "required": ["tokens", "steps"],
        "properties": {
            "tokens": {"type": "array", "items": {"type": "string"}},
            "steps": {
                "type": "array",
                "description": "Label, strategy, match length, candidates and token of each step; "
                "candidates are places in `tokens`, or null for all that the strategy offers.",
                "items": {"type": "array", "minItems": 5, "maxItems": 5},
            },
        },
    }
    return {
        "Question": _object(
            {
                "texts": {
                    "type": "array",
                    "items": {"type": "string", "maxLength": limits.characters},
                    "maxItems": limits.texts,
                },
                "relations": {
                    "type": ["array", "null"],
                    "description": "Write these only.",
                    "items": {"enum": list(model.relations)},
                    "minItems": 1,
                },
                "min_score": {
                    **_SCORE,
                    "type": ["number", "null"],
                    "description": "Leave out triples whose score is lower, and count them.",
                    "default": model.min_score,
                },
                "trace": {
                    "type": "boolean",
                    "description": "Tell also how each output was written.",
                    "default": False,
                },
            },
            required=["texts"],
            additionalProperties=False,
        ),
        "Answer": _object(
            {
                "documents": {"type": "array", "items": _ref("Document")},
                "tally": _object({name.name: count for name in dataclasses.fields(Tally)}),
                "traces": {"type": "array", "items": {"type": "array", "items": traced}},
            },
            required=["documents", "tally"],
        ),
        "Document": _object(
            {
                "id": {"type": "string", "description": "The place of the text in the request."},
                "text": {"type": "string"},
                "triples": {"type": "array", "items": _ref("Triple")},
                "truncated": {"const": True, "description": "Only its beginning was read."},
                "windowed": {"const": True, "description": "It was read in windows."},
                "without_places": {"const": True, "description": "It has too many to list."},
                "unknown_tokens": count,
            },
            required=["id", "text", "triples"],
        ),
        "Triple": _object(
            {
                **{name: {"type": "string"} for name in ("head", "relation", "tail")},
                **{name: _ref("Span") for name in ("head_span", "tail_span")},
                **dict.fromkeys(("score", "score_per_token"), _SCORE),
                **dict.fromkeys(("head_spans", "tail_spans"), _SPANS),
            },
            required=["head", "relation", "tail"],
        ),
        "Span": _SPAN,
        "Schema": _object(
            {
                "name": {"type": "string"},
                "relations": {"type": "array", "items": {"type": "string"}},
                "can_restrict": {
                    "type": "boolean",
                    "description": "Whether requests may name relations.",
                },
                "can_trace": {"type": "boolean", "description": "Whether they may ask for traces."},
                "min_score": _SCORE,
                "limits": _object(
                    {name.name: {"type": "number"} for name in dataclasses.fields(Limits)}
                ),
            }
        ),
        "Health": _object({"status": {"enum": ["ok", "stopped"]}, "version": {"type": "string"}}),
        "Error": _object({"error": {"type": "string", "description": "One line."}}),
    }


def _object(
    properties: dict[str, Any], required: list[str] | None = None, **more: Any
) -> dict[str, Any]:
    """An object with all of these members, or at least those that are required."""
    names = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": names, **more}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(description: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    told = {"description": description} if description else {}
    return {**told, "content": {kind: {"schema": schema}}}


def _json(description: str, name: str) -> dict[str, Any]:
    return _content(description, "application/json", _ref(name))


def _get(summary: str, name: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _json("It.", name)}}


def _text(summary: str, kind: str) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {"200": _content("It.", kind, {"type": "string"})},
    }
