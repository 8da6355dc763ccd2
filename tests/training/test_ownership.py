"""What is one run in a folder, and what is refused as another's."""

import contextlib

import numpy as np
import pytest

from grel import config as config_lib
from grel.errors import ConfigError
from grel.records import RecordError
from grel.runs import layout
from grel.runs import record as run_record
from grel.runs.checkpoint import CheckpointError, Checkpoints
from grel.training import ownership

DATA = {"training data": "t", "validation data": "v", "tokenizer": "w"}


def _save(folder, step=3, **about):
    config = config_lib.get_config()
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        about = {"config": config.to_json(), "step": step, **about}
        checkpoints.save(step, {"x": np.ones(1)}, None, about)
        checkpoints.wait()
        return checkpoints


def _run_json(folder, run="r1", fingerprints=DATA):
    config = config_lib.get_config().to_dict()
    facts = run_record.Facts(config, run, fingerprints, 1, 1, "1 x cpu", {})
    with run_record.recorded(folder, facts):
        pass


def test_an_empty_folder_begins_a_run(tmp_path):
    empty = Checkpoints(tmp_path / "best")
    assert ownership.traces(tmp_path, [empty]) == []
    one, other = (ownership.run_id([], DATA) for _ in range(2))
    assert one != other


def test_a_run_goes_on(tmp_path):
    best = _save(tmp_path / "best", run="r1", fingerprints=DATA)
    _run_json(tmp_path)
    found = ownership.traces(tmp_path, [best])
    assert [trace.where.name for trace in found] == ["best", "run.json"]
    ownership.refuse_another_config(found, config_lib.get_config())
    assert ownership.run_id(found, DATA) == "r1"


@pytest.mark.parametrize("name", DATA)
def test_other_data_are_refused(tmp_path, name):
    best = _save(tmp_path / "best", run="r1", fingerprints=DATA)
    with pytest.raises(CheckpointError, match=f"best: the {name} changed since"):
        ownership.run_id(ownership.traces(tmp_path, [best]), DATA | {name: "other"})


@pytest.mark.parametrize(
    "field",
    ["seed", "train.learning_rate", "eval.protocol", "decoding.copy", "tokenizer.lowercase"],
)
def test_another_config_is_refused_wherever_it_is_known_from(tmp_path, field):
    config = config_lib.get_config()
    special = {"decoding.copy": "off", "eval.protocol": "nayak", "tokenizer.lowercase": True}
    other = special.get(field, 1)
    config.update_from_flattened_dict({field: other})
    best = _save(tmp_path / "best", fingerprints=DATA)
    _run_json(tmp_path / "run")
    for folder, checkpoints in ((tmp_path, [best]), (tmp_path / "run", [])):
        found = ownership.traces(folder, checkpoints)
        with pytest.raises(CheckpointError, match=f"another config.{field}; use"):
            ownership.refuse_another_config(found, config)


def test_how_often_and_where_may_change(tmp_path):
    config = config_lib.get_config()
    fields = {"train.log_every": 7, "train.max_skipped": 3, "data.cache_dir": "elsewhere"}
    config.update_from_flattened_dict(fields)
    found = ownership.traces(tmp_path, [_save(tmp_path / "best", fingerprints=DATA)])
    ownership.refuse_another_config(found, config)


def test_parts_of_different_runs_are_refused(tmp_path):
    best = _save(tmp_path / "best", run="r1", fingerprints=DATA)
    _run_json(tmp_path, run="r2")
    with pytest.raises(CheckpointError, match=r"best and .*run\.json are of different runs"):
        ownership.run_id(ownership.traces(tmp_path, [best]), DATA)


def test_earlier_versions_told_of_training_data_alone(tmp_path):
    best = _save(tmp_path / "best", data_fingerprint="t")
    (trace,) = ownership.traces(tmp_path, [best])
    assert (trace.fingerprints, trace.run) == ({"training data": "t"}, None)
    ownership.run_id([trace], DATA)
    with pytest.raises(CheckpointError, match="the training data changed"):
        ownership.run_id([trace], DATA | {"training data": "other"})


def test_ported_weights_are_of_no_run(tmp_path):
    assert ownership.traces(tmp_path, [_save(tmp_path / "best", step=0)]) == []


def test_a_damaged_run_json_is_as_none(tmp_path):
    (tmp_path / layout.RECORD).write_text("{")
    assert ownership.traces(tmp_path, []) == []


@pytest.mark.parametrize("config", ["{", "[]", '{"seed": {"x": 1}}', '{"model": {"size": 3}}', 7])
def test_a_damaged_config_is_one_line(tmp_path, config):
    best = _save(tmp_path / "best", fingerprints=DATA, config=config)
    with pytest.raises((CheckpointError, ConfigError)) as error:
        ownership.traces(tmp_path, [best])
    assert "\n" not in str(error.value)


def test_one_training_at_a_time(tmp_path):
    second = ownership.only_training_in(tmp_path)
    with ownership.only_training_in(tmp_path):
        with pytest.raises(RecordError, match="another training is at work here"), second:
            pass
        with ownership.only_training_in(tmp_path, quiet=True):  # of the same pod
            pass
    with ownership.only_training_in(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    held = ownership.only_training_in(tmp_path / "file" / "run")
    with pytest.raises(RecordError, match="cannot write"), held:
        pass


@pytest.mark.parametrize(
    "name", ["run.json", "metrics.jsonl", "tensorboard", "checkpoints", "best", ".lock"]
)
def test_a_link_in_the_folder_is_told_before_anything_is_done(tmp_path, name):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    told = (layout.LinkError, RecordError)
    with pytest.raises(told, match=f"{name}: "), ownership.only_training_in(tmp_path / "run"):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []
