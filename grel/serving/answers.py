"""What a client is answered: records, as `--mode=predict` writes them, in one JSON object."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from grel import records
from grel.extraction.reading import as_record, at_least, without_places
from grel.families.writer import Tally
from grel.report.trace import parse_trace
from grel.serving.model import Found

# A record that would be longer goes without all places of its names: a text of one word over and
# over has as many places as words, and each of its triples would list them.
_LONGEST_RECORD = 1 << 18


def answer(found: Sequence[Found], min_score: float, *, traced: bool) -> tuple[bytes, int]:
    """The body of an answer, and how many triples it has.

    `documents` are the records in the order of the texts, `tally` is what went wrong with them all
    (see `Tally`), and `traces`, if asked for, has for each a list with what `Trace.brief` says of
    every window that it was read in.
    """
    extractions = [at_least(one.extraction, min_score) for one in found]
    tally = sum((extraction.tally for extraction in extractions), Tally())
    parts = [
        b'{"documents": [',
        b", ".join(_record(as_record(extraction)) for extraction in extractions),
        b'], "tally": ',
        json.dumps(dataclasses.asdict(tally)).encode(),
    ]
    if traced:
        traces = [[parse_trace(trace).brief() for trace in one.traces] for one in found]
        parts += [b', "traces": ', json.dumps(traces, ensure_ascii=False).encode()]
    num_triples = sum(len(extraction.document.triples) for extraction in extractions)
    return b"".join([*parts, b"}\n"]), num_triples


def _record(document: records.Document) -> bytes:
    data = records.to_json(document).encode()
    if len(data) <= _LONGEST_RECORD:
        return data
    document = dataclasses.replace(document, other={**document.other, "without_places": True})
    return records.to_json(without_places(document)).encode()
