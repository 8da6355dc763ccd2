"""Extraction shared by the processes of a pod: each does its part of the documents.

Documents are divided into runs, one a process, so that the parts put together are what a single
process gives.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import time
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
from grel.files import digests, journal
from grel.files.faults import RecordError
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


# For a file that another host has made to be seen here: network storage tells of it late.
_SEEN_WITHIN = 120.0


def predict_together(
    extractor: Extracts, source: str, target: str, *, trace: str | None = None, **how: Any
) -> Summary:
    """`predict.predict` of a file by all processes: a shard each, put together by the first one.

    Input and outputs must be on storage that all of them see, at the same paths. A part that is
    complete stays until all are put together, so that none is done again where another process is
    lost. Returns the summary of all.

    Raises PodError where the processes have other inputs; RecordError where input or output is no
    file, or what another process writes is not to be seen, and as `predict.predict` does.
    """
    index, count = parallel.process()
    parallel.refuse_other_facts(lambda: {"--input": _digest(source)})
    shards = [Shard(number, count) for number in range(count)]
    own = predict.predict(
        extractor, source, target, trace=trace, shard=shards[index], named=False, **how
    )
    # Neither in a collective, which gives up after a while: parts may differ by hours.
    for shard in shards:
        _wait_for_part(Path(shard.path(target)))
    parts = parallel.gather_bytes(own.to_json().encode())
    if index == 0:
        targets = [path for path in (target, trace) if path is not None]
        for path in targets:
            _join(path, shards)
        # The first part last: the others wait for its end.
        for shard in reversed(shards):
            journal.remove([Path(shard.path(path)) for path in targets])
    while journal.is_finished(Path(shards[0].path(target))):
        time.sleep(1.0)
    parallel.wait_for_all("joined")
    return sum(map(Summary.from_json, parts), Summary())


def _digest(source: str) -> str | None:
    """Of a file; None of what is none."""
    return digests.of_file(source) if source != "-" and Path(source).is_file() else None


def _wait_for_part(part: Path) -> None:
    seen_by = time.monotonic() + _SEEN_WITHIN
    while not journal.is_finished(part):
        partial = journal.partial_of(part)
        if partial.exists():
            seen_by = math.inf
        elif time.monotonic() > seen_by:
            raise RecordError(
                partial,
                None,
                "another process of the pod writes this file, and it is not to be seen here: "
                "--output must be on storage that all of them see, at the same path",
            )
        time.sleep(0.1)


def _join(path: str, shards: Sequence[Shard]) -> None:
    """The parts of a file in its place."""
    with replacing(path) as whole:
        for shard in shards:
            with journal.partial_of(Path(shard.path(path))).open("rb") as file:
                shutil.copyfileobj(file, whole)
