"""What tests of the launch scripts share."""

import os
import subprocess
from pathlib import Path

REPO = Path(__file__).parents[2]
TRAIN = ".venv/bin/python -m grel.main --mode=train"

# Values that a shell would change, were it to read them.
AWKWARD = [
    "--config.eval.name=two words",
    "--config.a=$HOME $(HOME) ${HOME} $$ `id`",
    "--config.b=*.py [a-z]? ~ {a,b}",
    "--config.c='single' \"double\" \\back\\",
    "--config.d=line\nbreak\ttab; & | > < # ! é",
    "--config.e=",
]


def succeed(result: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    assert result.returncode == 0, result.stderr
    return result


def dry_run(script: str, *args: str) -> list[str]:
    """The lines that a script of the checkout prints, run from elsewhere."""
    result = subprocess.run(
        ["bash", REPO / "launch" / script, "--dry_run", *args],
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return succeed(result).stdout.splitlines()
