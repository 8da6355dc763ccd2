"""Formats of JSON objects that say where an entity stands by its characters."""

from __future__ import annotations

from typing import Any

from grel.corpora.drafts import Draft, NoteKind, Remark
from grel.corpora.readers.shapes import own_id, triple_member
from grel.files.textio import member, parse_members, quote
from grel.records import Triple, span_member


def tplinker(record: dict[str, Any], remark: Remark) -> Draft:
    """TPLinker, which repeats a triple for every pair of places; the first pair is taken."""

    def triple(raw: dict[str, Any]) -> Triple:
        spans = span_member(raw, "subj_char_span"), span_member(raw, "obj_char_span")
        return triple_member(raw, "subject", "predicate", "object", *spans)

    first: dict[tuple[str, str, str], Triple] = {}
    for stated in parse_members(record, "relation_list", dict, triple):
        if stated.key in first:
            remark(NoteKind.REPEATED, quote(stated.key))
        first.setdefault(stated.key, stated)
    return Draft(member(record, "text", str), list(first.values()), own_id(record, "id"))
