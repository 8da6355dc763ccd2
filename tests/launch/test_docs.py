"""launch/docs.sh: the reference has all modules that can be imported side by side."""

import subprocess
import sys

from tests.launch.scripts import REPO, dry_run


def _modules(line):
    return line.split(" --output-directory ")[1].split()[1:]


def test_all_modules_but_commands_are_asked_for():
    *_, line = dry_run("docs.sh", "elsewhere")
    assert "--output-directory elsewhere grel " in line
    modules = _modules(line)
    assert {"grel", "grel.records", "grel.decoding.copying", "grel.families.bert"} <= set(modules)
    assert not {"grel.main", "grel.score.__main__", "grel.serve"} & set(modules)
    code = "import sys, importlib; [importlib.import_module(name) for name in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", code, *modules], check=True, cwd=REPO)


def test_a_second_folder_is_refused():
    command = ["bash", "launch/docs.sh", "a", "b", "--dry_run"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "docs.sh: unknown arguments: b\n")
