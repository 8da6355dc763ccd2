"""The dataset card that lies beside prepared data: what is in it, and what it was made from.

Numbers in a paper are worth as much as the data that they were measured on is known; so the counts
that the field reports, the rule that made the splits and the digests of the raw files are written
down where the data is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_TEMPLATE = """\
# {title}

{description}

Splits: {rule}.

{counts}

Triples are counted once a document. A multi-token class is the number of documents with an entity
of two or more ("2"), three ("3") or more than three ("3+") words.

{files}
"""


def markdown(
    title: str, description: str, rule: str, splits: Mapping[str, Mapping[str, Any]]
) -> str:
    """The card, in Markdown.

    Args:
        title: name of the corpus.
        description: what it holds.
        rule: how it was divided into splits.
        splits: for each split `statistics` (a `CorpusStatistics` as a dict), `digests` (SHA-256 by
            raw file) and `faults` (the records that were left out).
    """
    counts, files = [], []
    for split, facts in splits.items():
        statistics = facts["statistics"]
        row = {"split": split}
        row |= {name: statistics[name] for name in ("examples", "triples", "relations")}
        row |= {f"multi-token {name}": count for name, count in statistics["multi_token"].items()}
        counts.append(row | {"faulty records left out": len(facts["faults"])})
        for name, digest in facts["digests"].items():
            files.append({"split": split, "raw file": name, "SHA-256": digest})
    return _TEMPLATE.format(
        title=title,
        description=description,
        rule=rule,
        counts=_table(counts),
        files=_table(files),
    )


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    header = list(rows[0])
    lines = [header, ["---"] * len(header), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)
