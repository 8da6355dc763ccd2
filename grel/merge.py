"""Command line: one set of predictions out of those of several systems.

    python -m grel.merge --pred=LOOKUP.jsonl --pred=MODEL.jsonl --gold=VALIDATION.jsonl
    python -m grel.merge --pred=LOOKUP.jsonl --pred=MODEL.jsonl --min_scores=0,0.7 --output=FILE
    python -m grel.merge --mean --pred=SEED_0.jsonl --pred=SEED_1.jsonl --min_scores=0.5

The first form says which least scores are best on validation, the second merges by them, and the
third is a vote of systems of one kind.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections.abc import Sequence

from grel.errors import UsageError, program, run_command
from grel.files.writing import refuse_overwriting
from grel.records import read_jsonl, write_jsonl
from grel.scoring.merging import average, choose, join, merge

_EPILOG = """\
All files must be of the same documents. A document has the triples of every file that have at least
that file's score, each once: as the first file that has it wrote it. A triple without a score
passes a least score of 0 only.

--mean scores a triple by the mean over all files instead, where one that lacks it counts as 0 and
one that has it without a score as 1. There is one least score then.

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
        "--mean", action="store_true", help="score triples by the mean of their scores: a vote"
    )
    parser.add_argument(
        "--min_scores",
        type=_numbers,
        metavar="S,S,...",
        help="the least score of each file's triples, in order (default: all 0); of --mean one",
    )
    parser.add_argument(
        "--gold", metavar="FILE.jsonl", help="true triples, to choose the least scores by"
    )
    parser.add_argument("--output", metavar="FILE", help="where to write (stdout)")
    return parser


def _numbers(text: str) -> list[float]:
    with contextlib.suppress(ValueError):
        numbers = [float(number) for number in text.split(",")]
        if not any(map(math.isnan, numbers)):
            return numbers
    raise argparse.ArgumentTypeError("it must be numbers, as 0,0.7")


def _run(args: argparse.Namespace) -> None:
    needed = 1 if args.mean else len(args.pred)
    if args.min_scores is not None and len(args.min_scores) != needed:
        raise UsageError(
            f"--min_scores has {len(args.min_scores)} numbers: give {needed}, "
            + ("for the mean" if args.mean else "one for each --pred")
        )
    output = "-" if args.output is None else args.output
    files = [args.gold, *args.pred] if args.gold is not None else args.pred
    refuse_overwriting(files, [output])
    documents = join([read_jsonl(file) for file in files], files)
    systems = documents[1:] if args.gold is not None else documents
    if args.mean:
        systems = [average(systems)]
    if args.gold is None:
        write_jsonl(output, merge(systems, args.min_scores or [0.0] * len(systems)))
        return
    min_scores, counts = choose(systems, documents[0])
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
    if args.gold is not None and args.output is not None:
        parser.error("--gold merges nothing that --output could take: give one of them")
    if [args.gold, *args.pred].count("-") > 1:
        parser.error("only one of --gold and --pred can be standard input")
    return run_command(lambda: _run(args))


if __name__ == "__main__":
    sys.exit(main())
