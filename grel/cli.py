"""The command `grel`, by which all others are called: `grel score` is `python -m grel.score`.

A command is imported only when it is called, so that each starts as fast as it does by itself.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from grel import __version__
from grel.errors import UsageError, run_command


class Command(NamedTuple):
    """The module whose `main` it is, what it does, and the mode of a module that has several."""

    module: str
    about: str
    mode: str | None = None


COMMANDS = {
    "train": Command("grel.main", "train a model, or go on with it", "train"),
    "tune": Command("grel.main", "balance precision and recall on validation", "tune"),
    "eval": Command("grel.main", "extract and score a split of the corpus", "eval"),
    "extract": Command("grel.main", "write the triples of texts", "predict"),
    "ray": Command("grel.ray", "write the triples of a corpus on a Ray cluster"),
    "serve": Command("grel.serve", "answer over HTTP, with a page to try it on"),
    "export": Command("grel.export", "a trained model for PyTorch, or as programs without grel"),
    "score": Command("grel.score", "precision, recall and F1 of predicted triples"),
    "stats": Command("grel.stats", "the numbers of a corpus"),
    "convert": Command("grel.convert", "files of other tools and corpora, to and from records"),
    "corpora": Command("grel.corpora.__main__", "a split of a public corpus as records"),
    "pretrained": Command("grel.pretrained.__main__", "fetch and check pretrained weights"),
    "tables": Command("grel.tables.__main__", "the paper's tables of evaluated runs"),
    "report": Command("grel.report.__main__", "one HTML file about an evaluated run"),
    "compare": Command("grel.compare", "what one run gets right and another does not"),
    "merge": Command("grel.merge", "one set of predictions out of those of several systems"),
    "card": Command("grel.card", "a card of a model and its data"),
    "checkpoint": Command("grel.checkpoint", "check the checkpoints of a run"),
    "aot": Command("grel.aot", "compile a run's programs for devices that are not there"),
}


def _usage() -> str:
    lines = "\n".join(f"  {name:<12}{command.about}" for name, command in COMMANDS.items())
    return f"""\
usage: grel COMMAND [--FLAG=VALUE ...]
       grel COMMAND --help | --help | --version

commands:
{lines}"""


def _answer(argv: Sequence[str]) -> None:
    """What `grel` does where no command is named."""
    match argv:
        case ["--help" | "-h"]:
            print(_usage())
        case ["--version"]:
            print(f"grel {__version__}")
        case []:
            raise UsageError("which command? grel --help lists them")
        case [name, *_]:
            close = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean {close[0]}?" if close else "grel --help lists them"
            raise UsageError(f"there is no command {name!r}; {hint}")


def _refuse_mode(name: str) -> None:
    raise UsageError(f"--mode: grel {name} says it already; leave it out")


def main() -> int:
    """Runs the command of `sys.argv` and returns its exit status."""
    _, *argv = sys.argv
    if not argv or argv[0] not in COMMANDS:
        return run_command(lambda: _answer(argv))
    name, *argv = argv
    command = COMMANDS[name]
    if command.mode is not None:
        if any(argument.lstrip("-").partition("=")[0] == "mode" for argument in argv):
            return run_command(lambda: _refuse_mode(name))
        argv = [f"--mode={command.mode}", *argv]
    # The name stands in the command's usage.
    sys.argv = [f"grel {name}", *argv]
    return importlib.import_module(command.module).main()
