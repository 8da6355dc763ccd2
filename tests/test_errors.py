"""How commands end: in one line and an exit status for what a user can mend, come what may."""

import errno
import importlib
import importlib.util
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import grel
from grel import cli, errors
from grel.errors import UsageError, UserError, run_command

ROOT = Path(__file__).parents[1]


def _raising(error):
    def command():
        print("half an output")
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("a:1: bad; mend it"), 1, "a:1: bad; mend it"),
        (UserError("several\n  lines"), 1, "several lines"),
        (UsageError("--x: bad"), 2, "--x: bad"),
        (OSError(errno.ENOSPC, "No space left", "dir/file"), 1, "dir/file: No space left"),
        (OSError(errno.ENOSPC, "No space left"), 1, "standard output or a file: No space left"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_a_user_can_mend_is_one_line(capsys, error, status, line):
    assert run_command(_raising(error)) == status
    assert capsys.readouterr() == ("half an output\n", f"error: {line}\n")


def test_a_command_that_is_done_says_nothing(capsys):
    assert run_command(lambda: None) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), OSError("without a number")])
def test_a_bug_goes_on(error):
    with pytest.raises(type(error)):
        run_command(_raising(error))


# Packages that modules of their own need, and that need not be installed.
EXTRAS = {"prometheus_client", "ray", "spacy", "starlette", "uvicorn"}


def test_all_errors_with_a_remedy_have_one_base():
    """Those that tell a record's reader what is wrong, and are told on with its place, have not."""
    for module in pkgutil.walk_packages(grel.__path__, "grel."):
        if "flags.DEFINE" in Path(module.module_finder.find_spec(module.name).origin).read_text():
            continue  # flags of commands would be defined twice in the process of the tests
        try:
            loaded = importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if error.name not in EXTRAS:
                raise
            continue
        for name, value in vars(loaded).items():
            if isinstance(value, type) and issubclass(value, Exception) and name.endswith("Error"):
                # What begins with an underscore is dealt with in its own file.
                own = value.__module__.startswith("grel.") and not name.startswith("_")
                assert not own or issubclass(value, UserError), f"{module.name}.{name}"


READ_RUNS = ("tables", "compare", "card", "report")
COMMANDS = sorted(
    {c.module.removeprefix("grel.").removesuffix(".__main__") for c in cli.COMMANDS.values()}
)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_in_one_helper(name):
    path = ROOT / "grel" / f"{name}.py"
    text = (path if path.is_file() else ROOT / "grel" / name / "__main__.py").read_text()
    assert re.search(r"(return |lambda: )(run_command|recipes\.run)\(", text)
    assert text.endswith('if __name__ == "__main__":\n    sys.exit(main())\n')


def test_no_command_is_left_out_here():
    texts = {path: path.read_text() for path in (ROOT / "grel").rglob("*.py")}
    commands = {p for p, text in texts.items() if 'if __name__ == "__main__"' in text}
    commands.remove(ROOT / "grel" / "pods" / "aborts.py")  # which runs itself, as a filter
    assert {p.parent.name if p.stem == "__main__" else p.stem for p in commands} == set(COMMANDS)


@pytest.fixture
def shell(tmp_path):
    """Runs a line of bash in the checkout, with `$CORPUS` a file of many records."""
    record = '{"id": "%d", "text": "x y", "triples": []}\n'
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(record % n for n in range(5000)))

    def run(line):
        command = f"unset PYTHONUNBUFFERED; PY={sys.executable} CORPUS={corpus}; {line}"
        done = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    return run


CONVERT = "$PY -m grel.convert --format=jsonl --input=$CORPUS --output=-"


def test_a_reader_that_has_seen_enough_is_no_error(shell):
    status, out, err = shell(f"set -o pipefail; {CONVERT} | head -n 1")
    assert (status, out.count("\n"), err) == (1, 1, "")


def test_a_full_disk_is_one_line(shell):
    status, _, err = shell(f"{CONVERT} > /dev/full")
    assert (status, err) == (1, "error: -: cannot write: No space left on device\n")
    status, _, err = shell("$PY -m grel.stats --data=$CORPUS > /dev/full")
    assert (status, err) == (1, "error: standard output or a file: No space left on device\n")


def test_closed_streams_are_one_line(shell):
    status, _, err = shell("$PY -m grel.stats --data=- <&-")
    assert (status, err) == (1, "error: -: standard input is closed; name a file\n")
    status, _, err = shell("$PY -m grel.stats --data=$CORPUS >&-")
    assert status == 1
    assert err == "error: standard output is closed; send it to a file, or to /dev/null\n"
    assert shell("$PY -m grel.stats --data=none 2>&-") == (1, "", "")


def test_a_home_folder_is_found_or_told(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    assert str(errors.expand_home("~/x")) == "/home/ann/x"
    assert str(errors.expand_home("x/~")) == "x/~"
    with pytest.raises(errors.UserError, match=r"^~nobody-is-so-called/x: there is no such home"):
        errors.expand_home("~nobody-is-so-called/x")


def test_an_empty_path_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as exit_info:
        importlib.import_module("grel.card").main(["--workdir="])
    assert exit_info.value.code == 2
    assert f"argument --workdir: {errors.EMPTY_PATH}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (
            ["--workdir=gs://b/runs/x"],
            "`gcsfuse --implicit-dirs b /mnt/b`, and name /mnt/b/runs/x (",
        ),
        (["--mode=train", "-workdir", "s3://b"], "`s3fs b /mnt/b`, and name /mnt/b ("),
        (["--config.data.manual_dir=S3A://b/c"], "`s3fs b /mnt/b`, and name /mnt/b/c ("),
        (
            ["--workdirs=runs/a,gs://b/x,runs/c"],
            "gcsfuse --implicit-dirs b /mnt/b`, and name /mnt/b/x (",
        ),
        (["--data=nyt24=hdfs://host/x"], "; mount it, or copy it here, and name that place ("),
        (["--input=https://host/x"], "; mount it, or copy it here, and name that place ("),
    ],
)
def test_an_address_is_wrong_usage_and_the_line_says_what_to_mount(
    capsys, monkeypatch, arguments, remedy
):
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    assert run_command(lambda: pytest.fail("something was done")) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert remedy in told
    assert told.count("\n") == 1
    assert (ROOT / re.search(r"\((docs/\S+) says", told)[1]).is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--relations=http://a/b,c"], ["--x=a:/b"], ["--x=C://b"], ["--x=see gs://b"]),
        *(["--input=s3://b"], ["--input", "s3://b"], ["-input", "s3://b"]),
    ],
)
def test_what_is_no_address_or_may_be_one_is_left_alone(monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    assert run_command(lambda: None, remote=["input"]) == 0
