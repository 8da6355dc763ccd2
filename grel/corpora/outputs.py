"""The formats that records are written in: `OUTPUTS`, a dict from name to Output."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from grel.corpora.writers import brat, docbin, graphs, tables, tools
from grel.corpora.writers.shapes import Loss, OnLoss, Writer, telling
from grel.records import Document, write_jsonl


class Output(NamedTuple):
    """A format to write.

    Attributes:
        about: what it is, in a line.
        writer: for documents; it tells what it loses of some of them.
        losses: what the format has no place for in any document. Graphs have neither texts nor
            places, which is not told, as it is what they are.
    """

    about: str
    writer: Writer
    losses: tuple[Loss, ...] = ()

    def write(self, path: str | Path, documents: Iterable[Document], on_loss: OnLoss) -> None:
        """Writes documents to a path, as `Writer` says; every loss is told."""
        self.writer(path, telling(documents, self.losses, on_loss), on_loss)


def _jsonl(path: str | Path, documents: Iterable[Document], on_loss: OnLoss) -> None:
    write_jsonl(path, documents)


_OF_TOOLS = Loss.SCORE_PER_TOKEN, Loss.PLACES, Loss.FIELD
_OF_GRAPHS = Loss.SCORE_PER_TOKEN, Loss.FIELD

OUTPUTS: dict[str, Output] = {
    "jsonl": Output("grel's records, what everything else here reads (default)", _jsonl),
    "doccano": Output(
        "doccano, for a project with relations", tools.doccano, (Loss.SCORE, *_OF_TOOLS)
    ),
    "labelstudio": Output("Label Studio: tasks with predictions", tools.labelstudio, _OF_TOOLS),
    "brat": Output(
        "brat: a folder of X.txt and X.ann, and its configuration", brat.write, _OF_TOOLS
    ),
    "csv": Output(
        "a table with a triple a row, for spreadsheets, pandas, Neo4j", tables.write, _OF_TOOLS
    ),
    "ntriples": Output(
        "N-Triples: RDF, with documents and scores as statements", graphs.ntriples, _OF_GRAPHS
    ),
    "cypher": Output("a Cypher script for Neo4j", graphs.cypher, _OF_GRAPHS),
    "spacy": Output(
        "spaCy: a DocBin with doc.ents, doc._.triples, doc._.rel", docbin.write, (Loss.FIELD,)
    ),
}
