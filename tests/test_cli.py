"""The command `grel`: what it calls, and that mistakes are one line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from grel import __version__, cli

ROOT = Path(__file__).parent.parent


@pytest.fixture
def typed(monkeypatch, capsys):
    """Status, output and errors of a command line."""

    def run(*argv):
        monkeypatch.setattr(sys, "argv", ["/bin/grel", *argv])
        try:
            status = cli.main()
        except SystemExit as exit:  # of argparse
            status = exit.code
        return status, *capsys.readouterr()

    return run


def test_every_mode_is_a_command():
    # Not imported: its flags would be defined twice in the process of the tests.
    text = (ROOT / "grel/main.py").read_text()
    (modes,) = re.findall(r'DEFINE_enum\(\s*"mode", None, \[(.*?)\]', text)
    of_main = [f'"{c.mode}"' for c in cli.COMMANDS.values() if c.module == "grel.main"]
    assert of_main == modes.split(", ")


def test_a_command_gets_its_flags_and_its_name(typed, tmp_path):
    data = tmp_path / "x.jsonl"
    data.write_text('{"id": "1", "text": "A b .", "triples": []}\n')
    status, out, err = typed("stats", f"--data={data}", "--json")
    assert (status, err) == (0, "")
    assert out.startswith('{"examples": 1,')
    status, out, _ = typed("stats", "--help")
    assert status == 0
    assert out.startswith("usage: grel stats [-h] --data FILE.jsonl")


@pytest.mark.parametrize(("name", "mode"), [("extract", "predict"), ("train", "train")])
def test_a_mode_is_said_first(typed, monkeypatch, name, mode):
    seen = []

    class Module:
        def main():
            seen.extend(sys.argv)
            return 75

    monkeypatch.setattr(cli.importlib, "import_module", {"grel.main": Module}.__getitem__)
    assert typed(name, "--workdir", "x")[0] == 75
    assert seen == [f"grel {name}", f"--mode={mode}", "--workdir", "x"]


def test_help_lists_every_command_and_version_is_the_package_s(typed):
    status, out, _ = typed("--help")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[4:]] == list(cli.COMMANDS)
    assert max(map(len, out.splitlines())) <= 80
    assert typed("--version") == (0, f"grel {__version__}\n", "")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "which command? grel --help lists them"),
        (["scrore"], "there is no command 'scrore'; did you mean score?"),
        (["--workdir=x"], "there is no command '--workdir=x'; grel --help lists them"),
        (["eval", "--mode=train"], "--mode: grel eval says it already; leave it out"),
        (["eval", "-mode", "train"], "--mode: grel eval says it already; leave it out"),
    ],
)
def test_mistakes_are_one_line_and_wrong_usage(typed, argv, message):
    assert typed(*argv) == (2, "", f"error: {message}\n")


def test_flags_of_absl_are_shown_under_the_name_that_was_typed():
    code = "import sys; from grel import cli; sys.argv[0] = 'grel'; sys.exit(cli.main())"
    command = [sys.executable, "-c", code, "corpora", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "USAGE: grel corpora [flags]" in done.stdout
    for flag in ("--config: Recipe", "--split: <train|validation|test>", "--output: JSONL"):
        assert flag in done.stdout
