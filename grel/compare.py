"""Command line: what one evaluated system gets right and another does not.

    python -m grel.compare --workdir=DIR --compare=OTHER_DIR [--format=markdown|jsonl]

Reading the sentences that changed tells more of a change than its F1 does.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from grel.errors import path_argument, program, run_command
from grel.files.writing import refuse_overwriting, replacing
from grel.runs.evaluations import read_evaluation, told_apart
from grel.scoring.contrast import DIFFERENCES, Contrast, contrast
from grel.scoring.protocols import PROTOCOLS
from grel.tables.render import markdown_rows, plain

_EPILOG = """\
DIR is the folder of a run, or of one evaluation (DIR/eval/NAME). Documents that both systems treat
alike are left out. jsonl has a line for each other document: id, text, and triples as [head,
relation, tail] under found_by_first, wrong_in_second and so on; first is --workdir.
Exit status: 0 done, 1 error, 2 wrong usage.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("compare"),
        description="List the triples that one system gets right and the other does not.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--workdir", required=True, type=path_argument, metavar="DIR", help="the first system"
    )
    parser.add_argument(
        "--compare", required=True, type=path_argument, metavar="OTHER_DIR", help="the second"
    )
    parser.add_argument("--split", default="test", help="the evaluated split (default: test)")
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, default="exact", help="what counts as correct: exact, ..."
    )
    parser.add_argument(
        "--format",
        choices=("markdown", "jsonl"),
        default="markdown",
        help="of the output (markdown)",
    )
    parser.add_argument("--output", default="-", metavar="FILE", help="where to write (stdout)")
    return parser


def to_jsonl(contrasts: Sequence[Contrast]) -> Iterator[str]:
    """A line for each document that the two systems treat differently."""
    for one in contrasts:
        if one.differs:
            yield json.dumps(one.to_record(), ensure_ascii=False) + "\n"


def to_markdown(contrasts: Sequence[Contrast], first: str, second: str) -> Iterator[str]:
    """How many triples fall on which side, then every document with a difference."""
    labels = {
        "found_by_both": "found by both",
        "found_by_first": f"found by {first} only",
        "found_by_second": f"found by {second} only",
        "missed_by_both": "missed by both",
        "wrong_in_both": "wrong in both",
        "wrong_in_first": f"wrong in {first} only",
        "wrong_in_second": f"wrong in {second} only",
    }
    rows = [(name, sum(len(getattr(c, side)) for c in contrasts)) for side, name in labels.items()]
    yield f"# {plain(first)} against {plain(second)}\n\n"
    yield markdown_rows(("triples", "number"), rows)
    for one in contrasts:
        if one.differs:
            yield f"\n## {plain(one.document.id)}\n\n{plain(one.document.text)}\n\n"
            for side in DIFFERENCES:
                for triple in getattr(one, side):
                    yield f"- {plain(labels[side])}: {plain(' ; '.join(triple.key))}\n"


def _run(args: argparse.Namespace) -> None:
    paths = Path(args.workdir), Path(args.compare)
    pair = [read_evaluation(path, args.split, args.protocol) for path in paths]
    refuse_overwriting([file for one in pair for file in one.files], [args.output])
    first, second = told_apart(pair, [evaluation.folder for evaluation in pair])
    contrasts = contrast(first.judged, second.judged)
    names = first.name, second.name
    lines = to_jsonl(contrasts) if args.format == "jsonl" else to_markdown(contrasts, *names)
    with replacing(args.output) as file:
        file.writelines(line.encode() for line in lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command on `argv` (without the program name) and returns its exit status."""
    args = _parser().parse_args(argv)
    return run_command(lambda: _run(args))


if __name__ == "__main__":
    sys.exit(main())
