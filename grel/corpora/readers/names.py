"""Formats of JSON objects that state names, and not where they stand."""

from __future__ import annotations

from typing import Any

from grel.corpora.drafts import Draft, Remark
from grel.corpora.readers.shapes import triple_member, triple_of_names
from grel.files.textio import member, parse_members
from grel.records import Triple, parse_record


def copyre(record: dict[str, Any], remark: Remark) -> Draft:
    """CopyRE's raw files and SPN4RE's."""

    def triple(mention: dict[str, Any]) -> Triple:
        return triple_member(mention, "em1Text", "label", "em2Text")

    triples = parse_members(record, "relationMentions", dict, triple)
    return Draft(member(record, "sentText", str), triples)


def casrel(record: dict[str, Any], remark: Remark) -> Draft:
    """CasRel and PRGC."""
    triples = parse_members(record, "triple_list", list, triple_of_names)
    return Draft(member(record, "text", str), triples)


def jsonl(record: dict[str, Any], remark: Remark) -> Draft:
    """grel's own records, to have them checked and their missing spans filled in."""
    document = parse_record(record)
    return Draft(document.text, list(document.triples), document.id, document.other)
