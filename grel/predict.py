"""Prediction over files: texts or records in, records with triples out, in constant memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import tqdm

from grel import records, textio
from grel.extract import Extractor, Tally
from grel.records import Document
from grel.textio import Item

# Documents decoded together: enough for full batches of every length.
_CHUNK = 4096


def read_texts(path: str) -> Iterator[Document]:
    """Documents of a file: JSONL records, or lines of text, as its first line says.

    A first line that begins with `{` means records. A line of text becomes a document with the line
    number as id. `-` is standard input. Raises RecordError on a faulty record or an empty line.
    """
    items = textio.json_lines(path)
    first = next(items, None)
    if first is None:
        return
    is_record = first.data.lstrip().startswith(b"{")
    parse = records.parse_line if is_record else _line_of_text
    yield from records.read_documents(path, itertools.chain([first], items), parse)


def _line_of_text(item: Item) -> Document:
    return Document(str(item.line), textio.decode(item.data))


def predict(extractor: Extractor, source: str, target: str) -> Tally:
    """Extracts triples from all documents of a file; returns what went wrong while writing.

    The output appears complete or not at all. Raises RecordError on faulty input.
    """
    tallies: list[Tally] = []

    def extracted(documents: Iterable[Document]) -> Iterator[Document]:
        with tqdm.tqdm(unit="record", dynamic_ncols=True) as bar:
            documents = iter(documents)
            while chunk := list(itertools.islice(documents, _CHUNK)):
                predicted, tally = extractor.documents(chunk)
                tallies.append(tally)
                bar.update(len(chunk))
                yield from predicted

    records.write_jsonl(target, extracted(read_texts(source)))
    return sum(tallies, Tally())
