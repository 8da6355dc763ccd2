"""Command line: precision, recall and F1 of predicted triples against gold ones.

    python -m grel.score --gold=FILE.jsonl --pred=FILE.jsonl [--train=FILE.jsonl] \\
        [--protocol=NAME] [--relations=NAME,NAME,...] [--json]

It reads files of records and nothing else, so that anybody's predictions can be scored,
without a model, an accelerator or JAX.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence

from grel.errors import program, run_command
from grel.records import Document, num_unlike_text, read_jsonl
from grel.scoring.breakdown import by_seen
from grel.scoring.errors import ErrorCounts, count_errors
from grel.scoring.judged import judge
from grel.scoring.protocols import PROTOCOLS, Counts, Score, score
from grel.scoring.seen import SeenTriples

_EPILOG = """\
protocols (sets of triples per document, micro average):
  exact          both full names and the relation agree (default)
  nayak          exact; predictions whose head equals their tail, or whose relation is not known,
                 are dropped first; known are --relations, or else those of --gold
  partial_last   entities reduced to their last word
  partial_first  entities reduced to their first word
  span           exact, and the character spans agree as well

by_length counts triples that have an entity of: 2 - two or more words, 3 - exactly three words,
3+ - more than three words. Words are whitespace tokens.

unseen and seen count triples that --train lacks and has: names in full, under every protocol. F1 of
the unseen tells reading from reciting, as much of a test split may be facts of training.

Names are equal if Unicode calls them canonically equal (composed and decomposed letters).
unlike_text of --json counts gold names that their text has only with other accents, case or blanks.
"""

_LENGTH_LABELS = {"2": "two or more words", "3": "exactly three", "3+": "more than three"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("score"),
        description="Score predicted triples against gold ones; the two files join on `id`.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--gold", required=True, metavar="FILE.jsonl", help="true triples; - is standard input"
    )
    parser.add_argument("--pred", required=True, metavar="FILE.jsonl", help="predicted; likewise")
    parser.add_argument(
        "--train", metavar="FILE.jsonl", help="also score triples that this file lacks and has"
    )
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, default="exact", help="what counts as correct: see below"
    )
    parser.add_argument(
        "--relations",
        type=_names,
        metavar="NAME,NAME,...",
        help="all relations there are, for protocols that drop others (default: those of --gold)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, not a table")
    return parser


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError("a name is empty")
    return names


def format_table(result: Score, classes: Mapping[str, Counts], errors: ErrorCounts) -> str:
    """The score, that of the `by_seen` classes if any, and errors of entities, as aligned lines."""
    rows = [("all triples", result.total)]
    rows += [(f"  {name} in training", counts) for name, counts in classes.items()]
    rows += [(f"  {_LENGTH_LABELS[name]}", counts) for name, counts in result.by_length.items()]
    lines = [
        f"{'':<22}{'precision':>10}{'recall':>10}{'F1':>10}"
        f"{'correct':>10}{'predicted':>10}{'gold':>10}"
    ]
    lines += [
        f"{label:<22}{counts.precision:>10.4f}{counts.recall:>10.4f}{counts.f1:>10.4f}"
        f"{counts.correct:>10,}{counts.predicted:>10,}{counts.gold:>10,}"
        for label, counts in rows
    ]
    lines += ["", f"{'predicted entities':<22}{errors.entities:>10,}"]
    lines += [
        f"  {label:<20}{count:>10,}"
        for label, count in (
            ("incompletion", errors.incompletion),
            ("disorder", errors.disorder),
            ("other errors", errors.other),
        )
    ]
    return "\n".join(lines)


def _num_without_spans(documents: Iterable[Document]) -> int:
    return sum(
        triple.head_span is None or triple.tail_span is None
        for document in documents
        for triple in document.triples
    )


def _run(args: argparse.Namespace) -> None:
    gold, predictions = list(read_jsonl(args.gold)), list(read_jsonl(args.pred))
    protocol = PROTOCOLS[args.protocol]
    result = score(gold, predictions, protocol, relations=args.relations)
    classes = {}
    if args.train is not None:
        seen = SeenTriples.of(read_jsonl(args.train))
        judged = judge(gold, predictions, protocol, relations=args.relations)
        classes = by_seen(judged, seen)
    if protocol.needs_spans and (num_bare := _num_without_spans(predictions)):
        print(
            f"note: {num_bare} predicted triples have no spans, so they can't be correct",
            file=sys.stderr,
        )
    if unlike_text := sum(map(num_unlike_text, gold)):
        print(
            f"note: {unlike_text} gold names are spelled unlike their text (accents, case or "
            "blanks), so what is copied from it can't equal them",
            file=sys.stderr,
        )
    if args.json:
        found = {name: counts.metrics() for name, counts in classes.items()}
        print(json.dumps({**result.metrics(), **found, "unlike_text": unlike_text}))
    else:
        print(format_table(result, classes, count_errors(gold, predictions)))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command on `argv` (without the program name) and returns its exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    if [args.gold, args.pred, args.train].count("-") > 1:
        parser.error("only one of --gold, --pred and --train can be standard input")
    return run_command(lambda: _run(args))


if __name__ == "__main__":
    sys.exit(main())
