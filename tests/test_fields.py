"""Fields of configurations: each is read by something, in runs of all families."""

import dataclasses

import pytest

from grel.config import fields_of
from grel.families.registry import FAMILIES
from tests import reads, tiny
from tests.command import Command
from tests.families.test_base import TINY

# What has some fields read at all: a search with beams, masks, and examples that are joined.
BEAMS = {"decoding.num_beams": 2}
MORE = {
    "bert": {**BEAMS, "model.objective": "mlm", "data.join_rate": 0.5},
    "worddec": BEAMS,
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Runs a command line; the file that has a line for each field that was read."""
    path = tmp_path_factory.mktemp("reads") / "reads.txt"
    path.touch()
    with Command(f"from tests import reads; reads.record({str(path)!r})") as run:
        yield run, path


# The others train, tune and evaluate, which takes its time.
QUICK = ("lookup",)


@pytest.mark.parametrize(
    "family",
    [f if f in QUICK else pytest.param(f, marks=pytest.mark.slow) for f in FAMILIES],
)
def test_every_field_is_read(family, recorded, tmp_path):
    """By training of two steps, tuning or evaluation; where it is copied, the copy is read too."""
    run, path = recorded
    fields = {
        **TINY[family],
        **MORE.get(family, {}),
        "data.name": "jsonl",
        "data.manual_dir": str(tiny.write_corpus(tmp_path / "corpus")),
        "data.data_dir": str(tmp_path / "tfds"),
    }
    defaults = fields_of(family).defaults
    if "train.num_epochs" in defaults:
        fields["train.num_epochs"] = 0.5
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from grel import config as config_lib\n"
        "def get_config():\n"
        f"    config = config_lib.get_config({family!r})\n"
        f"    config.update_from_flattened_dict({fields!r})\n"
        "    return config\n"
    )
    num_before = len(path.read_text())
    workdir = f"--workdir={tmp_path}/run"
    run("--mode=train", f"--config={recipe}", workdir)
    for mode in ("tune", "eval"):
        run(f"--mode={mode}", workdir, "--config.eval.split=validation")
    read = set(path.read_text()[num_before:].split())

    copies = {
        f"{section}.{field.name}": reads.of_class(shape, field.name)
        for section, shape in reads.settings(family)
        for field in dataclasses.fields(shape)
    }
    unread = {name: {name, copies.get(name, name)} - read for name in defaults}
    assert {name: lacking for name, lacking in unread.items() if lacking} == {}
