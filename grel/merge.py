"""Command line: one set of predictions out of those of several systems.

    python -m grel.merge --pred=LOOKUP.jsonl --pred=MODEL.jsonl --gold=VALIDATION.jsonl
    python -m grel.merge --pred=LOOKUP.jsonl --pred=MODEL.jsonl --min_scores=0,0.7 --output=FILE

The first form says which least scores are best on validation, the second merges by them.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence

from grel.errors import UsageError, program, run_command
from grel.records import read_jsonl, write_jsonl
from grel.scoring.merging import choose, join, merge

_EPILOG = """\
All files must be of the same documents. A document has the triples of every file that have at least
that file's score, each once: as the first file that has it wrote it. A triple without a score
passes a least score of 0 only.

--gold chooses the least scores with the best F1 (protocol exact), one file's after the other's, and
prints them as --min_scores; inf leaves a file out. They are chosen for these documents, so score
the merged predictions of others.
Exit status: 0 done, 1 error, 2 wrong usage.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("merge"),
        description="Merge the predictions of several systems into one file.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--pred",
        required=True,
        action="append",
        metavar="FILE.jsonl",
        help="predictions of one system; give it once for each, the surest first",
    )
    parser.add_argument(
        "--min_scores",
        type=_numbers,
        metavar="S,S,...",
        help="the least score of each file's triples, in order (default: all 0)",
    )
    parser.add_argument(
        "--gold", metavar="FILE.jsonl", help="true triples, to choose the least scores by"
    )
    parser.add_argument("--output", default="-", metavar="FILE", help="where to write (stdout)")
    return parser


def _numbers(text: str) -> list[float]:
    numbers = [float(number) for number in text.split(",")]
    if any(map(math.isnan, numbers)):
        raise ValueError
    return numbers


def _run(args: argparse.Namespace) -> None:
    if args.min_scores is not None and len(args.min_scores) != len(args.pred):
        raise UsageError(
            f"--min_scores has {len(args.min_scores)} numbers for {len(args.pred)} files: give one "
            "for each --pred"
        )
    files = [args.gold, *args.pred] if args.gold is not None else args.pred
    documents = join([read_jsonl(file) for file in files], files)
    if args.gold is None:
        min_scores = args.min_scores or [0.0] * len(args.pred)
        write_jsonl(args.output, merge(documents, min_scores))
        return
    gold, *systems = documents
    min_scores, counts = choose(systems, gold)
    print(
        f"--min_scores={','.join(map(repr, min_scores))}: precision "
        f"{counts.precision:.4f}, recall {counts.recall:.4f}, F1 {counts.f1:.4f}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command on `argv` (without the program name) and returns its exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.gold is not None and args.min_scores is not None:
        parser.error("--gold chooses what --min_scores says: give one of them")
    if [args.gold, *args.pred].count("-") > 1:
        parser.error("only one of --gold and --pred can be standard input")
    return run_command(lambda: _run(args))


if __name__ == "__main__":
    sys.exit(main())
