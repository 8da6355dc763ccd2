"""Command line: one self-contained HTML file about an evaluated run.

    python -m grel.report --workdir=DIR [--split=test] [--compare=OTHER_DIR] --output=report.html

It reads the JSON(L) files that training and evaluation left, so it needs neither the model nor JAX,
and what it writes opens anywhere, without a network.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from grel.errors import path_argument, program, run_command
from grel.files.writing import refuse_overwriting, replacing
from grel.report.build import build
from grel.report.runs import read_run
from grel.runs.evaluations import read_evaluation, told_apart


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("report"),
        description="Write one HTML file of a run's training, scores, errors and sentences.",
        epilog="Decoding traces are shown where DIR/eval/<split>/trace.jsonl holds them.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--workdir",
        required=True,
        type=path_argument,
        metavar="DIR",
        help="folder of the run, or of one evaluation",
    )
    parser.add_argument("--split", default="test", help="an evaluated split (default: test)")
    parser.add_argument(
        "--compare", type=path_argument, metavar="OTHER_DIR", help="another run to set against it"
    )
    parser.add_argument("--output", required=True, metavar="FILE.html", help="- is standard output")
    parser.add_argument(
        "--plots",
        type=path_argument,
        metavar="FOLDER",
        help="write the plots there as well, as SVG and PNG files",
    )
    return parser


def _run(args: argparse.Namespace) -> None:
    paths = [args.workdir]
    evaluations = [read_evaluation(Path(args.workdir), args.split)]
    if args.compare is not None:
        paths.append(args.compare)
        # The first one's protocol holds for both.
        protocol = evaluations[0].protocol
        evaluations.append(read_evaluation(Path(args.compare), args.split, protocol))
    refuse_overwriting([file for one in evaluations for file in one.files], [args.output])
    runs = [read_run(evaluation) for evaluation in told_apart(evaluations, paths)]
    html, plots = build(runs, args.split)
    with replacing(args.output) as file:
        file.write(html.encode())
    for plot in plots if args.plots is not None else ():
        plot.write(Path(args.plots))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command on `argv` (without the program name) and returns its exit status."""
    args = _parser().parse_args(argv)
    return run_command(lambda: _run(args))


if __name__ == "__main__":
    sys.exit(main())
