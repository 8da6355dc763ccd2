"""Recipes and their fields on a command line: what is set, and how mistakes are told."""

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from grel import recipes
from grel.config import get_config
from grel.errors import UsageError
from grel.fields import leaves

ROOT = Path(__file__).parents[1]
# Flags belong to a process, and importing takes seconds: all command lines share one.
SHOW = """
import contextlib, io, json, sys
from absl import flags
from grel import recipes
flags.DEFINE_string("name", "", "A name.")

def show(config, fields):
    print(flags.FLAGS.name, config and (config.seed, config.data.buckets), dict(fields))

for default, *argv in json.loads(sys.argv[1]):
    sys.argv = ["command", *argv]
    flags.FLAGS.name = ""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = recipes.run(show, default=lambda _: default, help="A recipe.")
    print(json.dumps([status, out.getvalue(), err.getvalue()]))
    for flag in [f for f in flags.FLAGS if f.split(".")[0] == "config"]:
        delattr(flags.FLAGS, flag)
"""
DEFAULT = "grel/config.py"
FIELDS = ["--config.seed=3", "--config.data.buckets=(8, 16)", "--name=x"]
GOOD = {
    (DEFAULT, *FIELDS): "x (3, (8, 16)) {'seed': 3, 'data.buckets': (8, 16)}",
    (DEFAULT, "--config=configs/demo.py", "--name=y"): "y (0, (40, 56, 96, 192)) {}",
    (DEFAULT, "--config", "configs/bert.py:jsonl-small", "--config.seed=4"): (
        " (4, (64, 96, 128, 192, 256, 512)) {'seed': 4}"
    ),
    (None, "--name=x"): "x None {}",
}
HELP = ["--help", "-help", "-?", "--helpshort", "--helpfull"]
BAD = {
    "--config.decoding.structre=on": "--config.decoding.structre: there is no such field; "
    "did you mean decoding.structure?",
    "--config.model=3": "--config.model: there is no such field",
    "--config.zzz=3": "there is no such field; grel/config.py and grel/families/ list the fields",
    "--config.seed=many": "flag --config.seed=many: invalid literal for int()",
    "--config.seed": "Missing value for flag --config.seed",
    "--config": "Missing value for flag --config",
    "--config=configs/none.py": "there is no file 'configs/none.py'",
    "--names=x": "Unknown command line flag 'names'",
    "x": "unknown argument 'x'; flags begin with --",
}


@pytest.fixture(scope="module")
def results():
    """Exit status, output and errors by command line."""
    lines = [*GOOD, *((DEFAULT, argument) for argument in (*BAD, *HELP))]
    command = [sys.executable, "-c", SHOW, json.dumps(lines)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(zip(lines, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("line", GOOD, ids=str)
def test_fields_are_set_with_and_without_a_recipe(results, line):
    assert results[line] == [0, f"{GOOD[line]}\n", ""]


@pytest.mark.parametrize("argument", HELP)
def test_help_is_no_error(results, argument):
    status, out, err = results[DEFAULT, argument]
    assert (status, err) == (0, "")
    assert "--config: A recipe.\n" in out


@pytest.mark.parametrize("module", ["grel.main", "grel.pretrained"])
def test_help_tells_of_recipes(module):
    command = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--config: Recipe " in done.stdout
    assert "!!python" not in done.stdout


@pytest.mark.parametrize(
    ("argv", "value", "rest"),
    [
        (["--name=a", "--names=b"], "a", ["--names=b"]),
        (["x", "-name", "a", "--name", "b=c", "--name.x=y"], "b=c", ["x", "--name.x=y"]),
        (["--name=", "y"], "", ["y"]),
        (["y", "--name"], None, ["y", "--name"]),
        (["name=a", "---name=b"], None, ["name=a", "---name=b"]),
    ],
)
def test_a_flag_is_found_in_both_of_its_forms(argv, value, rest):
    assert recipes.take("name", argv) == (value, rest)


@pytest.mark.parametrize("argument", BAD)
def test_mistakes_are_one_line_and_wrong_usage(results, argument):
    status, out, err = results[DEFAULT, argument]
    assert (status, out) == (2, "")
    assert BAD[argument] in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("configs/bert.py:jsonl-smal", "there is no corpus 'jsonl-smal'; one of nyt24, "),
        ("configs/demo.py:tiny", "the recipe has no variants; leave out :tiny"),
        ("configs/none.py:tiny", "there is no file 'configs/none.py'"),
        ("configs", "there is no file 'configs'"),
        ("README.md", "a recipe is a Python file"),
        ("tests/tiny.py", "no recipe: it has no function get_config"),
        ("", "there is no file ''"),
    ],
)
def test_what_is_no_recipe_is_told(monkeypatch, recipe, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UsageError) as info:
        recipes.load(recipe)
    assert str(info.value).startswith(f"--config={recipe}: ")
    assert message in str(info.value)


@pytest.fixture(params=["checkout", "installed"])
def elsewhere(tmp_path, monkeypatch, request):
    """An empty folder to be in."""
    spec = None
    if request.param == "installed":
        spec = importlib.machinery.ModuleSpec("grel.configs", None, is_package=True)
        spec.submodule_search_locations.append(str(ROOT / "configs"))
    monkeypatch.setattr(importlib.util, "find_spec", {"grel.configs": spec}.__getitem__)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_recipes_of_grel_are_found_from_anywhere(elsewhere):
    assert recipes.load("configs/lookup.py:webnlg").data.name == "webnlg"
    for name in ("configs/none.py", "configs/../configs/demo.py", "demo.py", "configs/__init__.py"):
        with pytest.raises(UsageError, match=r"there is no file .*; grel has configs/bert\.py, "):
            recipes.load(name)


def test_a_file_that_is_there_is_taken_before_a_recipe_of_grel(elsewhere):
    own = elsewhere / "configs/lookup.py"
    own.parent.mkdir()
    own.write_text((ROOT / "configs/demo.py").read_text())
    assert recipes.load("configs/lookup.py").data.name == "synthetic"


def test_a_recipe_with_an_address_is_refused(tmp_path):
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from grel import config as config_lib\n"
        "def get_config():\n"
        "    config = config_lib.get_config()\n"
        "    config.tokenizer.vocab = 'gs://b/vocab.txt'\n"
        "    return config\n"
    )
    message = r"config.tokenizer.vocab=gs://b/vocab.txt: .* mount the bucket, .*/mnt/b/vocab.txt "
    with pytest.raises(UsageError, match=message):
        recipes.load(str(recipe))


def test_a_recipe_is_locked(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = recipes.load("configs/demo.py")
    with pytest.raises(AttributeError):
        config.sede = 1


@pytest.mark.parametrize("name", ["bert", "lookup"])
def test_a_recipe_has_the_fields_of_the_family_of_a_run(name, tmp_path):
    def fields(*argv):
        return leaves(recipes.load(recipes.of_run(argv)))

    run = ROOT / "tests" / "extraction" / "old_runs" / name
    assert fields(f"--workdir={run}").keys() == leaves(get_config(name)).keys()
    assert fields() == fields("--workdir", str(tmp_path)) == leaves(get_config())
