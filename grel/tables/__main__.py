"""Command line: the tables of the paper, and more, for evaluated runs.

    python -m grel.tables --workdirs=DIR,... [--data=train.jsonl] [--output=FOLDER]

It reads what `python -m grel.main --mode=eval` wrote and nothing else, so that tables can be made
again on any machine, without a model, an accelerator or JAX.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from grel.errors import UsageError, path_argument, program, run_command
from grel.files.writing import refuse_overwriting, replacing
from grel.scoring.protocols import PROTOCOLS
from grel.tables import details, paper
from grel.tables.render import Table, to_csv, to_json, to_markdown
from grel.tables.systems import all_runs, read_systems

_EPILOG = """\
A DIR is the folder of a run, of which every evaluation of the split is a system of its own, or a
single DIR/eval/NAME. For the table with and without copying, evaluate a second time:

  python -m grel.main --mode=eval --workdir=DIR --config.decoding.copy=off \\
      --config.decoding.structure=off \\
      --config.eval.name=test_copy_off

Runs that differ in the seed of training alone are one system, called as in the paper where it has
the system, and Table 1 has their mean and deviation by exact and by partial_last. Tables 1 to 5 of
NYT24 and NYT29 have what the paper published in columns of their own.
Exit status: 0 done, 1 error, 2 wrong usage.
"""


def _csv(tables: Sequence[Table]) -> str:
    return "\n".join(f"{table.title}\n{to_csv(table)}" for table in tables)


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "markdown": to_markdown,
    "csv": _csv,
    "json": to_json,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("tables"),
        description="Make the paper's tables, and those that it leaves out, from evaluated runs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--workdirs", required=True, metavar="DIR,...", help="folders of runs or of evaluations"
    )
    parser.add_argument("--split", default="test", help="the evaluated split (default: test)")
    parser.add_argument(
        "--data",
        metavar="FILE.jsonl",
        help="training records, for entities seen and unseen, for Table 5, and for triples seen "
        "and unseen where the evaluation does not tell; with several corpora NAME=FILE.jsonl,...",
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="exact",
        help="what counts as correct (default: exact); "
        "Table 1 and the intervals have exact and partial_last besides",
    )
    parser.add_argument(
        "--resamples", type=_from(1), default=10_000, help="of the bootstrap (default: 10000)"
    )
    parser.add_argument("--seed", type=_from(0), default=0, help="of the bootstrap (default: 0)")
    parser.add_argument(
        "--format", choices=FORMATS, default="markdown", help="of what is printed (markdown)"
    )
    parser.add_argument(
        "--output",
        type=path_argument,
        metavar="FOLDER",
        help="write tables.md, tables.json and a CSV file a table there, and print nothing",
    )
    return parser


def _from(least: int) -> Callable[[str], int]:
    """argparse's `type` of a whole number that is not less."""

    def parse(text: str) -> int:
        with contextlib.suppress(ValueError):
            if (number := int(text)) >= least:
                return number
        raise argparse.ArgumentTypeError(f"it must be a whole number from {least} on")

    return parse


def _train_files(data: str | None) -> dict[str, Path]:
    """Paths by data set, "" where it is not said."""
    parts = [part.rpartition("=") for part in data.split(",")] if data else []
    return {name: Path(path) for name, _, path in parts}


def _write(folder: Path, tables: Sequence[Table], sources: Sequence[Path]) -> None:
    texts = {"tables.md": to_markdown(tables), "tables.json": to_json(tables)}
    texts |= {f"{table.name}.csv": to_csv(table) for table in tables}
    refuse_overwriting(sources, [folder / name for name in texts])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with replacing(folder / name) as file:
            file.write(text.encode())


def _run(args: argparse.Namespace) -> None:
    paths = list(dict.fromkeys(Path(name) for name in args.workdirs.split(",") if name))
    if not paths:
        raise UsageError("--workdirs is empty; name the folder of a run")
    train_files = _train_files(args.data)
    systems = read_systems(paths, args.split, args.protocol, train_files)
    resampling = details.Resampling(args.resamples, args.seed)
    tables = [
        *paper.tables(systems, args.protocol),
        *details.tables(all_runs(systems), resampling),
    ]
    if args.output is None:
        sys.stdout.write(FORMATS[args.format](tables))
    else:
        evaluations = (file for run in all_runs(systems) for file in run.files)
        _write(Path(args.output), tables, [*evaluations, *train_files.values()])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command on `argv` (without the program name) and returns its exit status."""
    args = _parser().parse_args(argv)
    return run_command(lambda: _run(args))


if __name__ == "__main__":
    sys.exit(main())
