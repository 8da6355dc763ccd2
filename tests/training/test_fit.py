"""A look-up as a run like any other."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest

import grel
from grel import card
from grel.config import get_config
from grel.errors import ConfigError
from grel.extraction import opening
from grel.families.lookup import System
from grel.pretrained import port
from grel.records import Triple
from grel.runs import digests, layout
from grel.runs import record as run_record
from grel.runs.checkpoint import CheckpointError, Checkpoints
from grel.scoring.seen import SeenTriples
from grel.training import fit
from grel.training.examples import ExamplesError
from grel.training.trainer import Trainer
from tests import tiny


def _config(folder, **fields):
    c = get_config("lookup")
    c.update_from_flattened_dict(
        {
            "data.name": "jsonl",
            "data.manual_dir": str(tiny.write_corpus(folder / "corpus")),
            "data.data_dir": str(folder / "tfds"),
            **fields,
        }
    )
    return c


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lookup")


@pytest.fixture(scope="module")
def run_dir(folder):
    fit.train(System, _config(folder), folder / "run")
    return folder / "run"


def _files(workdir):
    paths = [p for name in ("best", "checkpoints") for p in (workdir / name).rglob("*")]
    return {p: p.stat().st_mtime_ns for p in [*paths, workdir / "metrics.jsonl"] if p.is_file()}


def test_a_run_that_was_refused_leaves_its_folder_to_the_next(folder):
    typo = _config(folder, **{"decoding.relations": ("typo",)})
    with pytest.raises(ConfigError, match="unknown relation 'typo'; one of"):
        fit.train(System, typo, folder / "mended")
    fit.train(System, _config(folder), folder / "mended")
    assert (folder / "mended" / "run.json").exists()


def test_what_a_run_leaves_behind(run_dir, capsys):
    (line,) = map(json.loads, (run_dir / "metrics.jsonl").read_text().splitlines())
    assert (line["split"], line["step"]) == ("validation", 1)
    # All triples of the corpus are in its training split.
    assert line["f1"] > 0.8
    assert (line["unseen_precision"], line["unseen_recall"], line["unseen_f1"]) == (0, 0, 0)
    facts = run_record.read(run_dir)
    assert facts["config"].keys() == {"data", "model", "decoding", "eval"}
    assert facts["config"]["model"] == {"family": "lookup"}
    assert facts["corpora"]["train"]["examples"] == 48
    _, _, about = opening.load(run_dir, "best")
    assert Triple("Bo Li", "/people/person/place_lived", "Cairo") in SeenTriples.from_text(
        about["seen_triples"]
    )
    assert card.main([f"--workdir={run_dir}"]) == 0
    text = capsys.readouterr().out
    assert "- Family: lookup" in text
    assert "Size" not in text


@pytest.mark.parametrize("checkpoint", ["best", "latest"])
def test_it_opens_like_any_other(run_dir, checkpoint):
    extractor = grel.Extractor.from_checkpoint(run_dir, checkpoint, min_score=0.1)
    (document,) = extractor(["Bo Li lives in Cairo ."])
    triple = Triple("Bo Li", "/people/person/place_lived", "Cairo", (0, 5), (15, 20))
    assert [dataclasses.replace(t, score=None) for t in document.triples] == [
        dataclasses.replace(triple, head_spans=((0, 5),), tail_spans=((15, 20),))
    ]
    assert extractor.relations == ("/people/person/place_lived", "/people/person/place_of_birth")


def test_a_flipped_bit_is_noticed(folder, run_dir, tmp_path):
    about = next((run_dir / "best" / "1" / "about").rglob("metadata"))
    before = about.read_text()
    content = json.loads(before)
    content["digests"]["params"]["triples"] = "0" * 32
    del content["digest"]
    content["digest"] = digests.of_json(content)
    about.write_text(json.dumps(content))
    try:
        with pytest.raises(CheckpointError, match="array params/triples is damaged"):
            opening.load(run_dir, "best")
    finally:
        about.write_text(before)


def test_starting_again_changes_nothing(folder, run_dir):
    before = _files(run_dir)
    fit.train(System, _config(folder), run_dir)
    assert _files(run_dir) == before


def test_what_a_killed_run_lacks_is_made_up_for(folder, run_dir, tmp_path):
    config = _config(folder)
    fit.train(System, config, tmp_path)
    best = sorted((tmp_path / "best").rglob("*"))
    for step in (tmp_path / "checkpoints").iterdir():
        step.rename(tmp_path / "gone")
    fit.train(System, config, tmp_path)
    assert sorted((tmp_path / "best").rglob("*")) == best
    assert opening.load(tmp_path, "latest")[2] == opening.load(tmp_path, "best")[2]


def test_it_goes_on_only_as_it_began(folder, run_dir, tmp_path):
    with pytest.raises(CheckpointError, match=r"another config\.data\.num_train; use"):
        fit.train(System, _config(folder, **{"data.num_train": 3}), run_dir)
    other = _config(folder)
    other.data.manual_dir = str(tiny.write_corpus(tmp_path / "other"))
    train = tmp_path / "other" / "train.jsonl"
    train.write_text(train.read_text().replace("Oslo", "Bern"))
    with pytest.raises(CheckpointError, match="the training data changed"):
        fit.train(System, other, run_dir)


def test_what_can_not_be_learned_is_told(folder, tmp_path, caplog):
    corpus = tiny.write_corpus(tmp_path / "corpus")
    where = {"data.manual_dir": str(corpus), "data.data_dir": str(tmp_path / "tfds")}
    bare = json.dumps({"id": "1", "text": "Ann sleeps .", "triples": []}) + "\n"
    train = (corpus / "train.jsonl").read_text()
    (corpus / "train.jsonl").write_text(bare)
    with pytest.raises(ExamplesError, match="none of the 1 training documents has a triple"):
        fit.train(System, _config(folder, **where), tmp_path / "bare")
    (corpus / "train.jsonl").write_text(train.replace("place_of_birth", "place_lived"))
    fit.train(System, _config(folder, **where), tmp_path / "run")
    assert "1 relations occur in validation only and can't be learned: /people" in caplog.text


def test_the_trainer_is_for_systems_that_learn_from_batches(folder, tmp_path):
    with pytest.raises(TypeError, match=r"lookup does not learn from batches; see training\.fit"):
        Trainer(_config(folder), tmp_path)


def test_runs_of_other_families_are_not_mixed_up(folder, run_dir):
    config = tiny.config(folder)
    with pytest.raises(CheckpointError, match=r"another .*config\.model\.family"):
        Trainer(config, run_dir)
    with contextlib.closing(
        Checkpoints(folder / "bert" / layout.CHECKPOINTS["latest"])
    ) as checkpoints:
        checkpoints.save(1, {"w": np.ones(1)}, None, {"config": config.to_json(), "step": 1})
    with pytest.raises(CheckpointError, match=r"another .*config\.model\.family"):
        fit.train(System, _config(folder), folder / "bert")
    config.model.init_from = str(run_dir)
    with pytest.raises(port.PretrainedError, match="a run of family lookup has no weights"):
        Trainer(config, folder / "started").run()
