"""Command line: the numbers of a corpus, as the paper's Table 5 counts them.

    python -m grel.stats --data=FILE.jsonl [--json]

The quickest check that a corpus is the one a paper means: compare before training on it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from grel.errors import program, run_command
from grel.records import read_jsonl
from grel.scoring.corpus import CorpusStatistics, corpus_statistics


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("stats"),
        description="Count examples, triples, relations and multi-word entities of a corpus.",
        epilog="Triples that repeat within an example count once. Words are whitespace tokens.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--data", required=True, metavar="FILE.jsonl", help="records; - is standard input"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, not a table")
    return parser


def format_table(statistics: CorpusStatistics) -> str:
    """The statistics as aligned lines."""
    rows = [
        ("examples", statistics.examples),
        ("triples", statistics.triples),
        ("relations", statistics.relations),
        ("examples with an entity of", None),
        ("  two or more words", statistics.multi_token["2"]),
        ("  exactly three words", statistics.multi_token["3"]),
        ("  more than three words", statistics.multi_token["3+"]),
    ]
    return "\n".join(
        f"{label:<28}{count:>10,}" if count is not None else label for label, count in rows
    )


def _run(args: argparse.Namespace) -> None:
    statistics = corpus_statistics(read_jsonl(args.data))
    print(json.dumps(dataclasses.asdict(statistics)) if args.json else format_table(statistics))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command on `argv` (without the program name) and returns its exit status."""
    args = _parser().parse_args(argv)
    return run_command(lambda: _run(args))


if __name__ == "__main__":
    sys.exit(main())
