"""Knowledge graphs: N-Triples, which every store of RDF loads, and a Cypher script, for Neo4j.

A name is one node wherever it stands, as scoring takes it: in canonical form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import quote as percent_encoded

from grel.corpora.writers.shapes import Loss, OnLoss, file_writer, keeps_type, typed_entities
from grel.names import canonical
from grel.records import Document, Triple

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_TYPE = f"<{_RDF}type>"
_LABEL = "<http://www.w3.org/2000/01/rdf-schema#label>"
_DOUBLE = "<http://www.w3.org/2001/XMLSchema#double>"
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ufeff]")
_UNFIT_FOR_A_TYPE = re.compile(rf"[`\\]|{_CONTROL.pattern}")


def _iri(kind: str, *names: str) -> str:
    """An IRI of ASCII alone: whatever a name has, it cannot end it."""
    parts = ":".join(percent_encoded(canonical(name), safe="") for name in names)
    return f"<urn:grel:{kind}:{parts}>"


def _literal(text: str) -> str:
    escaped = "".join(_ESCAPES.get(char, char) for char in text)
    return f'"{_CONTROL.sub(_numbered, escaped)}"'


def _numbered(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04X}"


def _ntriples() -> Callable[[Document, OnLoss], str]:
    labeled: set[str] = set()

    def label(iri: str, name: str) -> Iterator[str]:
        if iri not in labeled:
            labeled.add(iri)
            yield f"{iri} {_LABEL} {_literal(canonical(name))}"

    def statements(document: Document, on_loss: OnLoss) -> Iterator[str]:
        for entity in typed_entities(document, on_loss):
            iri = _iri("entity", entity.text)
            yield from label(iri, entity.text)
            yield f"{iri} {_TYPE} {_iri('type', entity.type)}"
        for number, triple in enumerate(document.triples, start=1):
            head, tail = _iri("entity", triple.head), _iri("entity", triple.tail)
            relation = _iri("relation", triple.relation)
            yield f"{head} {relation} {tail}"
            for iri, name in (
                (head, triple.head),
                (relation, triple.relation),
                (tail, triple.tail),
            ):
                yield from label(iri, name)
            # Where it is from, and how sure it is, is said of a statement with these three parts.
            statement = _iri("statement", document.id, str(number))
            yield f"{statement} {_TYPE} <{_RDF}Statement>"
            for part, iri in (("subject", head), ("predicate", relation), ("object", tail)):
                yield f"{statement} <{_RDF}{part}> {iri}"
            yield f"{statement} <urn:grel:document> {_literal(document.id)}"
            if triple.score is not None:
                yield f'{statement} <urn:grel:score> "{triple.score!r}"^^{_DOUBLE}'

    def render(document: Document, on_loss: OnLoss) -> str:
        return "".join(f"{statement} .\n" for statement in statements(document, on_loss))

    return render


ntriples = file_writer(_ntriples)


def _string(text: str) -> str:
    """A string of Cypher: nothing in it ends it, before or after escapes with u are expanded."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\\u", "\\\\u0075")
    return f"'{_CONTROL.sub(_numbered, escaped)}'"


def _name(label: str) -> str:
    """A type of relations, in which what could end it is an underscore; `name` has it as it is."""
    return f"`{_UNFIT_FOR_A_TYPE.sub('_', label)}`"


def _cypher() -> Callable[[Document, OnLoss], str]:
    is_first = True
    types: dict[str, str] = {}

    def statements(document: Document, on_loss: OnLoss) -> Iterator[str]:
        nonlocal is_first
        if is_first:
            is_first = False
            yield "CREATE CONSTRAINT IF NOT EXISTS FOR (e:Entity) REQUIRE e.name IS UNIQUE"
        for entity in typed_entities(document, on_loss):
            name = canonical(entity.text)
            if not keeps_type(types, name, entity.type):
                on_loss(Loss.TYPE, document.id)
            node = f"MERGE (e:Entity {{name: {_string(name)}}})"
            yield f"{node} SET e.type = {_string(types[name])}"
        yield from (_merge(document, triple) for triple in document.triples)

    def render(document: Document, on_loss: OnLoss) -> str:
        return "".join(f"{statement};\n" for statement in statements(document, on_loss))

    return render


cypher = file_writer(_cypher)


def _merge(document: Document, triple: Triple) -> str:
    head, relation, tail = triple.key
    said = f"name: {_string(relation)}, document: {_string(document.id)}"
    score = "" if triple.score is None else f" SET r.score = {triple.score!r}"
    return (
        f"MERGE (h:Entity {{name: {_string(head)}}}) MERGE (t:Entity {{name: {_string(tail)}}}) "
        f"MERGE (h)-[r:{_name(relation)} {{{said}}}]->(t){score}"
    )
