"""Extraction shared by the processes of a pod: each does its part of the documents.

Documents are divided into runs, one a process, so that the parts put together are what a single
process gives.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grel import parallel, records
from grel.extraction import predict
from grel.extraction.chunks import Extracts, Summary
from grel.extraction.reading import Extraction
from grel.extraction.shards import Shard
from grel.extraction.texts import TextExtractor
from grel.families.writer import Tally
from grel.files.reading import Item
from grel.files.writing import replacing
from grel.records import Document


class SharedExtractor(TextExtractor):
    """An extractor that all processes call with the same documents.

    Args:
        extractor: that of this process, of the same model and options in all of them.
    """

    def __init__(self, extractor: TextExtractor):
        self._extractor = extractor

    @property
    def relations(self) -> Sequence[str]:
        """All relations that it knows."""
        return self._extractor.relations

    def identity(self) -> dict[str, Any]:
        """That of the extractor of this process."""
        return self._extractor.identity()

    def balanced(
        self, end_bias: float, min_score: float, known_share: float = 0.0
    ) -> SharedExtractor:
        """See `TextExtractor.balanced`."""
        return SharedExtractor(self._extractor.balanced(end_bias, min_score, known_share))

    def known(self, documents: Sequence[Document]) -> list[Document]:
        """See `TextExtractor.known`; every process looks all of them up."""
        return self._extractor.known(documents)

    def extractions(self, documents: Sequence[Document]) -> list[Extraction]:
        """Those of this process's part: what they were read from stays where it is."""
        return self._extractor.extractions(documents[parallel.own_part(len(documents))])

    def documents(self, documents: Sequence[Document]) -> tuple[list[Document], Tally]:
        """All documents with their triples, and what went wrong with all of them."""
        found, tally = self._extractor.documents(documents[parallel.own_part(len(documents))])
        part = {"tally": dataclasses.asdict(tally), "documents": list(map(records.to_json, found))}
        whole: list[Document] = []
        total = Tally()
        for data in parallel.gather_bytes(json.dumps(part).encode()):
            gathered = json.loads(data)
            total += Tally(**gathered["tally"])
            lines = (line.encode() for line in gathered["documents"])
            whole += (records.parse_line(Item(number, line)) for number, line in enumerate(lines))
        return whole, total


def predict_together(
    extractor: Extracts, source: str, target: str, *, trace: str | None = None, **how: Any
) -> Summary:
    """`predict.predict` of a file by all processes: a shard each, put together by the first one.

    The file must be one that all of them see, at the same path. Returns the summary of all.

    Raises RecordError where input or output is no file, and as `predict.predict` does.
    """
    index, count = parallel.process()
    shard = Shard(index, count)
    own = predict.predict(extractor, source, target, trace=trace, shard=shard, **how)
    # Whoever has all summaries knows that all parts are written.
    parts = parallel.gather_bytes(own.to_json().encode())
    if index == 0:
        for path in (target, trace):
            if path is not None:
                _join(path, count)
    return sum(map(Summary.from_json, parts), Summary())


def _join(path: str, count: int) -> None:
    """The shards of a file in its place."""
    parts = [Path(Shard(index, count).path(path)) for index in range(count)]
    with replacing(path) as whole:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, whole)
    for part in parts:
        part.unlink()
