"""Command line: checks the checkpoints of a run.

python -m grel.checkpoint --verify=runs/demo
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from grel.errors import path_argument, program, run_command
from grel.runs.checkpoint import CheckpointError, faults


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program("checkpoint"),
        description="Checks the checkpoints of a run: reads all of them and compares every array, "
        "and everything else, with the digests that were stored. Changes nothing.",
        epilog="Exit status: 0 where all are whole; else 1, and a line for each fault.",
    )
    parser.add_argument(
        "--verify", metavar="DIR", required=True, type=path_argument, help="folder of the run"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command on `argv` (without the program name) and returns its exit status."""
    workdir = Path(_parser().parse_args(argv).verify)
    return run_command(lambda: _verify(workdir))


def _verify(workdir: Path) -> None:
    number = 0
    for fault in faults(workdir):
        print(fault, flush=True)
        number += 1
    if number:
        raise CheckpointError(f"{workdir}: {number} damaged; each line above says what to do")


if __name__ == "__main__":
    sys.exit(main())
