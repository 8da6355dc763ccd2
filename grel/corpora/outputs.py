"""The formats that records are written in: `OUTPUTS`, a dict from name to Output."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from grel.corpora.writers import brat, docbin, graphs, tables, tools
from grel.corpora.writers.shapes import OnLoss, Writer
from grel.records import Document, write_jsonl


class Output(NamedTuple):
    """A format to write: what it is, in a line, and its writer."""

    about: str
    write: Writer


def _jsonl(path: str | Path, documents: Iterable[Document], on_loss: OnLoss) -> None:
    write_jsonl(path, documents)


OUTPUTS: dict[str, Output] = {
    "jsonl": Output("grel's records, what everything else here reads (default)", _jsonl),
    "doccano": Output("doccano, for a project with relations", tools.doccano),
    "labelstudio": Output("Label Studio: tasks with predictions", tools.labelstudio),
    "brat": Output("brat: a folder of X.txt and X.ann, and its configuration", brat.write),
    "csv": Output("a table with a triple a row, for spreadsheets, pandas, Neo4j", tables.write),
    "ntriples": Output("N-Triples: RDF, with documents and scores as statements", graphs.ntriples),
    "cypher": Output("a Cypher script for Neo4j", graphs.cypher),
    "spacy": Output("spaCy: a DocBin with doc.ents, doc._.triples, doc._.rel", docbin.write),
}
