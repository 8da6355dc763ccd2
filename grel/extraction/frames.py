"""Triples as a table of pandas, which is an extra.

frame = grel.to_frame(extractor(texts))
frame[frame["score"] > 0.5].groupby("relation").size()
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from grel.errors import MissingLibraryError
from grel.records import Document

if TYPE_CHECKING:
    import pandas

# Types that have a value for what is missing, also where all of a column is.
_COLUMNS = {
    "id": "string",
    "head": "string",
    "relation": "string",
    "tail": "string",
    "head_start": "Int64",
    "head_end": "Int64",
    "tail_start": "Int64",
    "tail_end": "Int64",
    "score": "Float64",
    "score_per_token": "Float64",
}


def to_frame(documents: Iterable[Document]) -> pandas.DataFrame:
    """A row for each triple, in order, with the id of its document.

    A document without triples has no row. Places are those of `head_span` and `tail_span`,
    characters of the text, end excluded; what a triple lacks is `pandas.NA`.

    Raises MissingLibraryError without pandas.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingLibraryError(f"to_frame needs pandas: pip install pandas ({error})") from None
    nowhere = (None, None)
    rows = [
        (
            document.id,
            triple.head,
            triple.relation,
            triple.tail,
            *(triple.head_span or nowhere),
            *(triple.tail_span or nowhere),
            triple.score,
            triple.score_per_token,
        )
        for document in documents
        for triple in document.triples
    ]
    return pandas.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)
