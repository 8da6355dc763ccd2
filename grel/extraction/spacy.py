"""The spaCy component "grel": spans and triples of every document of a pipeline.

    nlp = spacy.blank("en")
    nlp.add_pipe("grel", config={"workdir": "runs/demo"})
    doc = nlp("Ann Moore lives in Oslo .")
    print(doc._.triples, doc.spans["grel"])

spaCy, which is an extra, imports this file by the entry point of an installed grel; in a checkout
`import grel.extraction.spacy` does. Triples are kept in `doc.user_data` as plain values, in which
they go through DocBin, and `grel convert` reads and writes them there.
"""

# No future annotations: spaCy checks a component's configuration by those of its factory.
from collections.abc import Iterable, Iterator
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc
from spacy.util import minibatch

from grel.corpora.readers.docbin import TRIPLES
from grel.extraction.extractor import Extractor
from grel.extraction.texts import TextExtractor
from grel.records import Triple, fields


class Component:
    """Finds triples; `doc.spans[spans_key]` has their names, labelled "head" and "tail".

    A span is made of the tokens that a name touches: where spaCy cuts words otherwise than the
    text has names, it is longer than the name. `head_span` and `tail_span` of `doc._.triples` are
    exact.
    """

    def __init__(self, extractor: TextExtractor, spans_key: str):
        self._extractor, self._spans_key = extractor, spans_key

    def __call__(self, doc: Doc) -> Doc:
        return self._annotated([doc])[0]

    def pipe(self, docs: Iterable[Doc], batch_size: int = 64) -> Iterator[Doc]:
        """The documents, in batches: what `nlp.pipe` calls."""
        for batch in minibatch(docs, batch_size):
            yield from self._annotated(batch)

    def _annotated(self, docs: list[Doc]) -> list[Doc]:
        found = self._extractor([doc.text for doc in docs])
        for doc, document in zip(docs, found, strict=True):
            _data(doc)[TRIPLES] = [fields(triple) for triple in document.triples]
            places = {
                (span, label)
                for triple in document.triples
                for span, label in ((triple.head_span, "head"), (triple.tail_span, "tail"))
                if span is not None
            }
            # Each is one, as places lie in the text.
            spans: list[Any] = [
                doc.char_span(*span, label=label, alignment_mode="expand")
                for span, label in sorted(places)
            ]
            doc.spans[self._spans_key] = spans
        return docs


@Language.factory(
    "grel",
    default_config={
        "checkpoint": "best",
        "tuned": False,
        "min_score": 0.0,
        "relations": None,
        "decoding": {},
        "spans_key": "grel",
    },
    assigns=["doc._.triples", "doc.spans"],
)
def component(
    nlp: Language,
    name: str,
    workdir: str,
    checkpoint: str,
    tuned: bool,
    min_score: float,
    relations: list[str] | None,
    decoding: dict[str, Any],
    spans_key: str,
) -> Component:
    """Opens a run; `workdir` has to be given.

    Args:
        nlp: the pipeline.
        name: of the component in it.
        workdir, checkpoint, tuned, min_score: see `Extractor.from_checkpoint`.
        relations: write these only; needs `decoding={"structure": "on"}`.
        decoding: fields of `config.decoding`.
        spans_key: where in `doc.spans` the names are put.
    """
    extractor = Extractor.from_checkpoint(
        workdir, checkpoint, tuned=tuned, min_score=min_score, **decoding
    )
    if relations is not None:
        extractor = extractor.restricted(relations)
    return Component(extractor, spans_key)


def _data(doc: Doc) -> dict[Any, Any]:
    """Its own data, by keys that spaCy takes for strings and are tuples for custom attributes."""
    return doc.user_data


def _triples(doc: Doc) -> tuple[Triple, ...]:
    return tuple(map(_triple, _data(doc).get(TRIPLES, ())))


def _triple(stored: dict[str, Any]) -> Triple:
    """A triple from its fields, in which DocBin has lists where there were tuples."""
    values = dict(stored)
    for name in {"head_span", "tail_span"} & stored.keys():
        values[name] = tuple(stored[name])
    for name in {"head_spans", "tail_spans"} & stored.keys():
        values[name] = tuple(map(tuple, stored[name]))
    return Triple(**values)


if not Doc.has_extension("triples"):
    Doc.set_extension("triples", getter=_triples)
