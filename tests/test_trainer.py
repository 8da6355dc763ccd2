"""Whole training runs: resuming bit for bit, stopping, refusing what must not change."""

import dataclasses
import json
import os
import signal

import jax
import numpy as np
import pytest
import safetensors.numpy

from grel import extract
from grel.checkpoint import CheckpointError
from grel.data.features import FeaturesError
from grel.pretrained.port import PretrainedError
from grel.trainer import Trainer, TrainingError
from tests import tiny, unilm


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trainer")


@pytest.fixture(scope="module")
def whole(folder):
    """The run that was never interrupted. Dropout and masking on, so that randomness counts."""
    Trainer(tiny.config(folder, **{"model.objective": "mlm"}), folder / "whole").run()
    return folder / "whole"


def _arrays(workdir):
    trainer_state = extract.load(workdir, "latest")
    return jax.tree.leaves(trainer_state[1])


def _log(workdir, split):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return {r["step"]: r for r in map(json.loads, lines) if r["split"] == split}


def test_resumed_equals_uninterrupted_bit_for_bit(folder, whole):
    config = tiny.config(folder, **{"model.objective": "mlm"})
    Trainer(config, folder / "parts").run(stop_after=4)
    Trainer(config, folder / "parts").run()
    for a, b in zip(_arrays(whole), _arrays(folder / "parts"), strict=True):
        np.testing.assert_array_equal(a, b)
    expected, resumed = _log(whole, "train"), _log(folder / "parts", "train")
    assert expected.keys() == resumed.keys()
    for step, metrics in expected.items():
        assert resumed[step] == metrics, step


def test_a_finished_run_has_nothing_left_to_do(folder, whole):
    before = (whole / "metrics.jsonl").read_text()
    Trainer(tiny.config(folder, **{"model.objective": "mlm"}), whole).run()
    assert (whole / "metrics.jsonl").read_text() == before


def test_what_a_run_leaves_behind(whole):
    train, validation = _log(whole, "train"), _log(whole, "validation")
    assert list(train) == list(range(1, 10))
    assert {"loss", "token_loss", "bio_loss", "grad_norm", "overflow"} <= train[1].keys()
    assert list(validation) == [3, 6, 9]
    assert {"loss", "precision", "recall", "f1", "unseen_f1"} <= validation[9].keys()
    assert all(metrics["overflow"] == 0 for metrics in train.values())
    assert list((whole / "tensorboard").glob("events*"))
    _, _, about = extract.load(whole, "best")
    assert about["validation_f1"] == max(m["f1"] for m in validation.values())


def test_triples_that_training_did_not_have_are_scored_by_themselves(folder, monkeypatch):
    config = tiny.config(folder, **{"data.num_train": 3, "train.num_epochs": 1.0})
    trainer = Trainer(config, folder / "unseen")
    gold = trainer.data.validation_documents
    # Writes what is right for all documents but one, whose triples are not in training.
    missed = next(d for d in gold if not any(t in trainer.data.seen for t in d.triples))
    found = [d if d is not missed else dataclasses.replace(d, triples=()) for d in gold]
    monkeypatch.setattr("grel.trainer.extract", lambda *_: (found, None))
    trainer.run()
    (metrics,) = _log(folder / "unseen", "validation").values()
    unseen = [t for d in gold for t in d.triples if t not in trainer.data.seen]
    assert (metrics["precision"], metrics["unseen_precision"]) == (1, 1)
    assert metrics["unseen_recall"] == pytest.approx(1 - len(missed.triples) / len(unseen))
    assert metrics["unseen_recall"] < metrics["recall"] < 1
    _, _, about = extract.load(folder / "unseen", "latest")
    assert about["seen_triples"] == trainer.data.seen.to_text()


def test_sigterm_saves_and_stops(folder, monkeypatch):
    workdir = folder / "stopped"
    trainer = Trainer(tiny.config(folder, **{"train.checkpoint_every": 1000}), workdir)
    batches = trainer.data.train

    class Killing:
        num_batches = batches.num_batches

        def __getitem__(self, step):
            if step == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            return batches[step]

    object.__setattr__(trainer.data, "train", Killing())
    trainer.run()
    _, _, about = extract.load(workdir, "latest")
    assert about["step"] == 5


def test_a_run_ends_when_its_patience_does(folder, caplog):
    """F1 stays 0 at a learning rate of 0: the first validation is the best, and two more follow."""
    fields = {"train.learning_rate": 0.0, "train.patience": 2, "train.eval_every": 1}
    config = tiny.config(folder, **fields, **{"train.checkpoint_every": 100})
    for expected in ("ended at step 3: no better F1", "nothing left to do: no better F1"):
        caplog.clear()
        with caplog.at_level("INFO", "grel"):
            Trainer(config, folder / "patient").run()
        assert expected in caplog.text
    assert list(_log(folder / "patient", "validation")) == [1, 2, 3]
    assert extract.load(folder / "patient", "latest")[2]["step"] == 3


def test_a_run_with_a_moving_average_resumes_bit_for_bit(folder):
    """What extracts is the average; training goes on from the parameters beside it."""
    config = tiny.config(folder, **{"train.ema_decay": 0.9})
    Trainer(config, folder / "average").run()
    Trainer(config, folder / "average_parts").run(stop_after=4)
    trainer = Trainer(config, folder / "average_parts")
    state = trainer._restore()
    trainer.run()
    for one, other in zip(
        _arrays(folder / "average"), _arrays(folder / "average_parts"), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    apart = [
        np.abs(one - other).max()
        for one, other in zip(
            jax.tree.leaves(state.params), jax.tree.leaves(state.average), strict=True
        )
    ]
    assert max(apart) > 0


@pytest.mark.parametrize(
    ("field", "value"), [("train.learning_rate", 0.5), ("data.order", "position"), ("seed", 3)]
)
def test_a_run_goes_on_only_as_it_began(folder, whole, field, value):
    config = tiny.config(folder, **{"model.objective": "mlm", field: value})
    with pytest.raises(CheckpointError, match=f"another config.{field}; use"):
        Trainer(config, whole)


def test_changed_data_is_noticed(folder, whole, tmp_path):
    config = tiny.config(folder, **{"model.objective": "mlm"})
    config.data.manual_dir = str(tiny.write_corpus(tmp_path / "other"))
    train = tmp_path / "other" / "train.jsonl"
    train.write_text(train.read_text().replace("Oslo", "Bern"))
    with pytest.raises(CheckpointError, match="the training data has changed"):
        Trainer(config, whole).run()


def test_a_loss_that_is_not_finite_ends_the_run(folder):
    config = tiny.config(folder, **{"train.learning_rate": 1.0, "train.clip_norm": 1e30})
    config.model.init_stddev = 1.0
    trainer = Trainer(config, folder / "nan")
    fresh = trainer._restore()
    poisoned = jax.tree.map(lambda x: x * np.nan, fresh.params)
    trainer._restore = lambda: fresh.replace(params=poisoned)
    with pytest.raises(TrainingError, match="the loss is nan at step 1"):
        trainer.run()


def test_a_corpus_without_a_triple_is_refused(folder, tmp_path):
    config = tiny.config(folder)
    config.data.manual_dir = str(tiny.write_corpus(tmp_path / "bare"))
    for path in (tmp_path / "bare").iterdir():
        records = map(json.loads, path.read_text().splitlines())
        path.write_text("".join(json.dumps({**r, "triples": []}) + "\n" for r in records))
    with pytest.raises(FeaturesError, match="there is nothing to learn"):
        Trainer(config, tmp_path / "run")


def test_names_that_the_vocabulary_lacks_are_told_once_before_training(tmp_path, caplog):
    config = tiny.config(tmp_path)
    with caplog.at_level("WARNING", "grel"):
        Trainer(config, tmp_path / "none")._close()
    assert caplog.text == ""
    corpus = tmp_path / "corpus"
    for split in ("train", "validation"):
        path = corpus / f"{split}.jsonl"
        path.write_text(
            path.read_text().replace("Oslo", "\U00013000").replace("Lima", "\U00013001 x")
        )
    with caplog.at_level("WARNING", "grel"):
        Trainer(config, tmp_path / "some")._close()
    (record,) = caplog.records
    assert "2 names have words that the vocabulary lacks, such as '\U00013000'" in record.message
    assert "of up to 8 in a text" in record.message


def test_a_run_starts_from_pretrained_weights_but_goes_on_from_its_own(folder, caplog):
    model = Trainer(tiny.config(folder), folder / "shape").system.model
    tensors = unilm.random_checkpoint(model)
    path = folder / "encoder.safetensors"
    safetensors.numpy.save_file(tensors, path)
    config = tiny.config(folder, **{"model.init_from": str(path), "train.learning_rate": 0.0})
    workdir = folder / "pretrained"
    with caplog.at_level("INFO", "grel"):
        Trainer(config, workdir).run(stop_after=1)
    assert "encoder.safetensors: " in caplog.text
    assert "fresh" in (workdir / "pretrained.txt").read_text()
    path.unlink()
    Trainer(config, workdir).run(stop_after=2)
    _, params, about = extract.load(workdir, "latest")
    assert about["step"] == 2
    table = tensors["bert.embeddings.word_embeddings.weight"]
    reserved = list(Trainer(config, workdir).system.wordpiece.reserved_ids)
    kept = np.setdiff1d(np.arange(len(table)), reserved)
    np.testing.assert_array_equal(params["words"]["embedding"][kept], table[kept])
    assert (params["words"]["embedding"][reserved] != table[reserved]).all()


def test_weights_for_another_vocabulary_are_refused_before_training(folder):
    trainer = Trainer(tiny.config(folder), folder / "shape")
    larger = dataclasses.replace(
        trainer.system.model, vocab_size=trainer.system.model.vocab_size + 1
    )
    path = folder / "larger.safetensors"
    safetensors.numpy.save_file(unilm.random_checkpoint(larger), path)
    trainer = Trainer(tiny.config(folder, **{"model.init_from": str(path)}), folder / "refused")
    with pytest.raises(PretrainedError, match=r"set config\.tokenizer\.vocab"):
        trainer.run()
    assert not (folder / "refused" / "metrics.jsonl").exists()
