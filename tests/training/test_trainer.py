"""Whole training runs: resuming bit for bit, stopping, refusing what must not change."""

import contextlib
import dataclasses
import json
import math
import os
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from grel import checkpoint, parallel
from grel.errors import ConfigError
from grel.extraction import opening
from grel.extraction.reading import Extraction
from grel.families.bert import System
from grel.families.writer import Tally
from grel.pods.watch import PodError
from grel.pretrained.port import PretrainedError
from grel.records import RecordError
from grel.runs import checkpoint as saving
from grel.runs.checkpoint import CheckpointError, Checkpoints
from grel.training import steps, validation
from grel.training import trainer as trainer_module
from grel.training.trainer import Trainer, TrainingError
from tests import tiny, unilm


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trainer")


# Dropout and masking, so that randomness counts, and an average beside the parameters.
WHOLE = {"model.objective": "mlm", "train.ema_decay": 0.9}


@pytest.fixture(scope="module")
def whole(folder):
    """The run that was never interrupted."""
    Trainer(tiny.config(folder, **WHOLE), folder / "whole").run()
    return folder / "whole"


def _arrays(workdir):
    trainer_state = opening.load(workdir, "latest")
    return jax.tree.leaves(trainer_state[1])


def _log(workdir, split):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return {r["step"]: r for r in map(json.loads, lines) if r["split"] == split}


def test_resumed_equals_uninterrupted_bit_for_bit(folder, whole):
    config = tiny.config(folder, **WHOLE)
    Trainer(config, folder / "parts").run(stop_after=4)
    rest = Trainer(config, folder / "parts")
    state = rest._restore()
    rest.run()
    for a, b in zip(_arrays(whole), _arrays(folder / "parts"), strict=True):
        np.testing.assert_array_equal(a, b)
    # What extracts is the average, and training goes on from the parameters.
    pairs = zip(jax.tree.leaves(state.params), jax.tree.leaves(state.average), strict=True)
    assert any((one != other).any() for one, other in pairs)
    expected, resumed = _log(whole, "train"), _log(folder / "parts", "train")
    assert expected.keys() == resumed.keys()
    for step, metrics in expected.items():
        assert resumed[step] == metrics, step


@pytest.mark.slow
def test_resumed_equals_uninterrupted_with_optimizations_too(folder, whole):
    """The other tests compile without, which could hide that sums are taken in another order."""
    config = tiny.config(folder, **WHOLE)
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        Trainer(config, folder / "optimized").run()
        Trainer(config, folder / "optimized parts").run(stop_after=4)
        Trainer(config, folder / "optimized parts").run()
    finally:
        jax.config.update("jax_disable_most_optimizations", True)
    pairs = [*zip(*(_arrays(folder / f"optimized{name}") for name in ("", " parts")), strict=True)]
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)
    # They are other programs than those without.
    assert any(
        (a != b).any() for a, b in zip(_arrays(whole), _arrays(folder / "optimized"), strict=True)
    )


@pytest.mark.parametrize("num_batches", [1, 3, 50, 1171])
def test_steps_are_those_of_the_epochs_as_they_are_written(num_batches):
    for tenths in range(1, 400):
        exact = -(-tenths * num_batches // 10)
        assert trainer_module._num_steps(tenths / 10, num_batches) == exact
    assert trainer_module._num_steps(1e-6, num_batches) == 1
    assert trainer_module._num_steps((2**31 - 1) / num_batches, num_batches) == 2**31 - 1


@pytest.mark.parametrize("num_epochs", [math.inf, 2.0**31 / 3])
def test_more_steps_than_can_be_counted_are_refused_before_anything_is_compiled(folder, num_epochs):
    config = tiny.config(folder, **{"train.num_epochs": num_epochs})
    with pytest.raises(ConfigError, match=r"config\.train\.num_epochs is .*, of 3 steps each"):
        Trainer(config, folder / "endless")
    Trainer(tiny.config(folder), folder / "endless").close()  # it has let go of the folder


def test_a_finished_run_has_nothing_left_to_do(folder, whole):
    before = (whole / "metrics.jsonl").read_text()
    Trainer(tiny.config(folder, **WHOLE), whole).run()
    assert (whole / "metrics.jsonl").read_text() == before


def test_what_a_run_leaves_behind(whole):
    train, validation = _log(whole, "train"), _log(whole, "validation")
    assert list(train) == list(range(1, 10))
    assert {"loss", "token_loss", "bio_loss", "grad_norm", "overflow"} <= train[1].keys()
    assert list(validation) == [3, 6, 9]
    assert {"loss", "precision", "recall", "f1", "unseen_f1"} <= validation[9].keys()
    assert all(metrics["overflow"] == 0 for metrics in train.values())
    assert list((whole / "tensorboard").glob("events*"))
    _, _, about = opening.load(whole, "best")
    assert about["validation_f1"] == max(m["f1"] for m in validation.values())


@pytest.mark.slow
def test_triples_that_training_did_not_have_are_scored_by_themselves(folder, monkeypatch):
    config = tiny.config(folder, **{"data.num_train": 3, "train.num_epochs": 1.0})
    trainer = Trainer(config, folder / "unseen")
    gold = trainer.data.validation_documents
    # Writes what is right for all documents but one, whose triples are not in training.
    missed = next(d for d in gold if not any(t in trainer.data.seen for t in d.triples))
    found = [d if d is not missed else dataclasses.replace(d, triples=()) for d in gold]
    monkeypatch.setattr(f"{validation.__name__}.extract_each", _extracting(found))
    trainer.run()
    (metrics,) = _log(folder / "unseen", "validation").values()
    unseen = [t for d in gold for t in d.triples if t not in trainer.data.seen]
    assert (metrics["precision"], metrics["unseen_precision"]) == (1, 1)
    assert metrics["unseen_recall"] == pytest.approx(1 - len(missed.triples) / len(unseen))
    assert metrics["unseen_recall"] < metrics["recall"] < 1
    _, _, about = opening.load(folder / "unseen", "latest")
    assert about["seen_triples"] == trainer.data.seen.to_text()


def _extracting(documents):
    return lambda *_: [Extraction(document, Tally(), ()) for document in documents]


class _Changed:
    """The batches of a trainer, but for what `change` makes of that of one step."""

    def __init__(self, trainer, step, change):
        self._batches, self._step, self._change = trainer.data.train.batches, step, change
        changed = trainer.data.train._replace(batches=self)
        object.__setattr__(trainer.data, "train", changed)

    def __getattr__(self, name):
        return getattr(self._batches, name)

    def __getitem__(self, index):
        batch = self._batches[index]
        return self._change(batch) if index == self._step - 1 else batch


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_saves_and_ends_with_a_status_of_its_own(folder, number):
    workdir = folder / f"stopped{number:d}"
    trainer = Trainer(tiny.config(folder, **{"train.checkpoint_every": 1000}), workdir)
    _Changed(trainer, 5, lambda batch: os.kill(os.getpid(), number) or batch)
    with pytest.raises(SystemExit) as ended:
        trainer.run()
    assert ended.value.code == 75
    assert opening.load(workdir, "latest")[2]["step"] == 5


@pytest.mark.slow
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
    assert opening.load(folder / "patient", "latest")[2]["step"] == 3


@pytest.mark.parametrize(
    ("field", "value"), [("train.learning_rate", 0.5), ("data.order", "position"), ("seed", 3)]
)
def test_a_run_goes_on_only_as_it_began(folder, whole, field, value):
    config = tiny.config(folder, **WHOLE, **{field: value})
    with pytest.raises(CheckpointError, match=f"another config.{field}; use"):
        Trainer(config, whole)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_changed_data_is_noticed(folder, whole, tmp_path, split):
    config = tiny.config(folder, **WHOLE)
    config.data.manual_dir = str(tiny.write_corpus(tmp_path / "other"))
    path = tmp_path / "other" / f"{split}.jsonl"
    path.write_text(path.read_text().replace("Oslo", "Bern"))
    with pytest.raises(CheckpointError, match=f"checkpoints: the {split}.* data changed since"):
        Trainer(config, whole)


def _told_by_another_process(monkeypatch, config, workdir):
    """Has the next trainer be process 0 of a pod whose process 1 has these."""
    told = []
    monkeypatch.setattr(parallel, "in_pod", lambda: True)
    with monkeypatch.context() as patch:
        patch.setattr(parallel, "gather_bytes", lambda data: told.append(data) or [data])
        with contextlib.closing(Trainer(config, workdir)) as trainer:
            trainer._restore()
    monkeypatch.setattr(parallel, "gather_bytes", lambda data: [data, told.pop(0)])


def test_a_host_with_other_data_is_noticed(folder, tmp_path, monkeypatch):
    other = tiny.config(tmp_path)
    path = tmp_path / "corpus" / "train.jsonl"
    path.write_text(path.read_text().replace("train-0", "train-00"))
    _told_by_another_process(monkeypatch, other, tmp_path / "other")
    with pytest.raises(PodError, match=r"process 0: training data \(process 1\); give all"):
        Trainer(tiny.config(folder), tmp_path / "run")


def test_a_host_that_does_not_see_the_checkpoints_is_noticed(folder, whole, tmp_path, monkeypatch):
    config = tiny.config(folder, **WHOLE)
    _told_by_another_process(monkeypatch, config, tmp_path / "other")
    with pytest.raises(PodError, match=r"newest checkpoint \(process 1\), best checkpoint \(pro"):
        Trainer(config, whole)
    _told_by_another_process(monkeypatch, config, whole)
    Trainer(config, whole).close()


def test_a_host_with_other_weights_to_start_from_is_noticed(folder, tmp_path, monkeypatch):
    with contextlib.closing(Trainer(tiny.config(folder), tmp_path / "shape")) as trainer:
        tensors = unilm.random_checkpoint(trainer.system.model)
    path = tmp_path / "encoder.safetensors"
    safetensors.numpy.save_file(tensors, path)
    config = tiny.config(folder, **{"model.init_from": str(path)})
    _told_by_another_process(monkeypatch, config, tmp_path / "other")
    with contextlib.closing(Trainer(config, tmp_path / "same")) as trainer:
        trainer._restore()
    _told_by_another_process(monkeypatch, config, tmp_path / "other")
    table = tensors["bert.embeddings.word_embeddings.weight"]
    table[-1, -1] += 1
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(PodError, match=r"process 0: initial parameters \(process 1\); give all"):
        Trainer(config, tmp_path / "run").run()


def test_a_changed_tokenizer_is_noticed(folder, whole, tmp_path):
    vocabulary = tmp_path / "vocab.txt"
    words = opening.load(whole, "best")[0].wordpiece.vocabulary
    vocabulary.write_text("".join(f"{word}\n" for word in words))
    config = tiny.config(folder, **{"tokenizer.vocab": str(vocabulary)})
    Trainer(config, tmp_path / "run").run(stop_after=1)
    vocabulary.write_text("".join(f"{word}\n" for word in (*words, "more")))
    with pytest.raises(CheckpointError, match="and the tokenizer changed since"):
        Trainer(config, tmp_path / "run")


@pytest.mark.slow
def test_the_best_of_another_run_is_refused(folder, whole, tmp_path):
    """Also where there is no other checkpoint: the run was killed before its first one."""
    shutil.copytree(whole, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    config = tiny.config(folder, **WHOLE)
    config.train.learning_rate = 0.5
    with pytest.raises(CheckpointError, match=r"best: .*another config.train.learning_rate"):
        Trainer(config, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "best")
    with pytest.raises(CheckpointError, match=r"run\.json: .*another config.train.learning_rate"):
        Trainer(config, tmp_path / "run")

    config = tiny.config(folder, **WHOLE)
    shutil.copytree(whole / "checkpoints", tmp_path / "other" / "checkpoints")
    Trainer(config, tmp_path / "same").run(stop_after=3)
    shutil.copytree(tmp_path / "same" / "best", tmp_path / "other" / "best")
    with pytest.raises(CheckpointError, match="are of different runs"):
        Trainer(config, tmp_path / "other")


@pytest.mark.slow
def test_a_run_without_its_checkpoints_begins_again_and_keeps_its_best(folder, whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    Trainer(tiny.config(folder, **WHOLE), tmp_path / "run").run()
    for one, other in zip(_arrays(whole), _arrays(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(one, other)
    facts = [opening.load(tmp_path / "run", name)[2] for name in ("best", "latest")]
    assert len({about["run"] for about in facts}) == 1
    assert facts[0] == opening.load(whole, "best")[2]
    # Nothing stands twice, though the first run had logged it all.
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == len((whole / "metrics.jsonl").read_text().splitlines())


def test_only_one_training_at_a_time(folder, whole):
    config = tiny.config(folder, **WHOLE)
    trainer = Trainer(config, whole)
    with pytest.raises(RecordError, match="another training is at work here"):
        Trainer(config, whole)
    trainer.close()
    Trainer(config, whole).close()


def test_a_damaged_newest_checkpoint_costs_the_steps_since_the_one_before(folder, whole, tmp_path):
    config = tiny.config(folder, **WHOLE)
    Trainer(config, tmp_path / "run").run(stop_after=6)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "6" / "training")
    for path in (tmp_path / "run" / "best").glob("*/about/metadata"):
        os.truncate(path, 100)
    Trainer(config, tmp_path / "run").run()
    for one, other in zip(_arrays(whole), _arrays(tmp_path / "run"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (tmp_path / "run" / "checkpoints" / "6.damaged").is_dir()
    assert list((tmp_path / "run" / "best").glob("*.damaged"))
    assert checkpoint.main([f"--verify={tmp_path / 'run'}"]) == 0


def test_of_equal_f1_the_lower_loss_is_the_best(folder, monkeypatch, tmp_path):
    trainer = Trainer(tiny.config(folder), tmp_path)
    gold = trainer.data.validation_documents
    monkeypatch.setattr(f"{validation.__name__}.extract_each", _extracting(gold))
    trainer.run()
    losses = {step: metrics["loss"] for step, metrics in _log(tmp_path, "validation").items()}
    _, _, about = opening.load(tmp_path, "best")
    assert about["step"] == min(losses, key=losses.get) > 3
    assert about["validation_loss"] == losses[about["step"]]
    # Nothing goes on from the best, so that it has no state of the optimizer.
    assert not list((tmp_path / "best").glob("*/training"))


def test_a_folder_of_ported_weights_can_be_trained_in(folder, tmp_path):
    with contextlib.closing(Trainer(tiny.config(folder), tmp_path / "shape")) as trainer:
        system = trainer.system
    params = system.init(jax.random.PRNGKey(0))
    with contextlib.closing(Checkpoints(tmp_path / "run" / "best")) as checkpoints:
        checkpoints.save(0, params, None, {**system.about(), "step": 0})
    Trainer(tiny.config(folder), tmp_path / "run").run(stop_after=3)
    _, _, about = opening.load(tmp_path / "run", "best")
    assert about["step"] == 3


class _Poisoned(System):
    """A system whose loss is not a number where a batch has rows below 0."""

    def loss(self, params, batch, mask_key, dropout_key=None):
        sums = super().loss(params, batch, mask_key, dropout_key)
        total, count = sums["loss"]
        return sums | {"loss": (total * jnp.where(batch.row_B[0] < 0, jnp.nan, 1), count)}


def _poison(trainer, step):
    trainer.system = _Poisoned(**vars(trainer.system))
    _Changed(trainer, step, lambda batch: batch.replace(row_B=batch.row_B - 1000))


def test_a_step_that_is_not_finite_is_skipped_and_counted(folder, tmp_path):
    trainer = Trainer(tiny.config(folder, **{"train.log_every": 2}), tmp_path)
    _poison(trainer, 2)
    trainer.run()
    log = _log(tmp_path, "train")
    assert {step: metrics["skipped"] for step, metrics in log.items()} == {
        **dict.fromkeys((2, 3, 4, 6, 8, 9), 0),
        2: 1,
    }
    # JSON has no NaN: what there is none of is left out.
    assert "loss" not in log[2]
    assert log[3]["loss"] > 0
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()


def test_many_skipped_steps_in_a_row_end_the_run(folder, tmp_path):
    trainer = Trainer(tiny.config(folder, **{"train.max_skipped": 2}), tmp_path)
    fresh = trainer._restore()
    poisoned = jax.tree.map(lambda x: x * np.nan, fresh.params)
    trainer._restore = lambda: fresh.replace(params=poisoned)
    ids = trainer.data.ids(2)
    assert len(set(ids)) == 16
    with pytest.raises(TrainingError, match="in 2 steps in a row") as error:
        trainer.run()
    assert f"step 2 with the documents {', '.join(map(repr, ids))}: lower" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("last", [pytest.param(3, marks=pytest.mark.slow), 9])
def test_an_update_that_is_not_finite_is_never_saved(folder, tmp_path, monkeypatch, last):
    """The loss was finite, the state after it is not: neither newest nor best has it."""
    made = steps.train_step

    def train_step(*args):
        step_fn = made(*args)

        def poisoned(state, batch):
            new, metrics = step_fn(state, batch)
            factor = jnp.where(state.step == last - 1, jnp.nan, 1)
            return new.replace(params=jax.tree.map(lambda x: x * factor, new.params)), metrics

        return poisoned

    with monkeypatch.context() as patch:
        patch.setattr(steps, "train_step", train_step)
        with pytest.raises(CheckpointError, match=f"holds NaN or infinity at step {last}"):
            Trainer(tiny.config(folder), tmp_path).run()
    assert checkpoint.main([f"--verify={tmp_path}"]) == 0
    found = Checkpoints(tmp_path / "checkpoints", read_only=True), Checkpoints(tmp_path / "best")
    assert max((step for c in found for step in c.steps()), default=0) < last
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()


@pytest.mark.slow
def test_a_full_disk_ends_the_run_soon_and_leaves_what_was_saved(folder, tmp_path, monkeypatch):
    config = tiny.config(folder, **{"train.checkpoint_every": 1, "train.eval_every": 100})
    save = saving.ocp.Checkpointer.save

    def full(self, path, **args):
        if int(path.name) >= 4:
            raise OSError(28, "No space left on device")
        return save(self, path, **args)

    with monkeypatch.context() as patch:
        patch.setattr(saving.ocp.Checkpointer, "save", full)
        message = "checkpoints: saving step 4 failed .*No space left"
        with pytest.raises(CheckpointError, match=message):
            Trainer(config, tmp_path).run()
    assert checkpoint.main([f"--verify={tmp_path}"]) == 0
    assert len(_log(tmp_path, "train")) <= 5
    Trainer(config, tmp_path).run(stop_after=5)
    assert opening.load(tmp_path, "latest")[2]["step"] == 5


def test_names_that_the_vocabulary_lacks_are_told_once_before_training(tmp_path, caplog):
    config = tiny.config(tmp_path)
    with caplog.at_level("WARNING", "grel"):
        Trainer(config, tmp_path / "none").close()
    assert caplog.text == ""
    corpus = tmp_path / "corpus"
    for split in ("train", "validation"):
        path = corpus / f"{split}.jsonl"
        path.write_text(
            path.read_text().replace("Oslo", "\U00013000").replace("Lima", "\U00013001 x")
        )
    with caplog.at_level("WARNING", "grel"):
        Trainer(config, tmp_path / "some").close()
    (record,) = caplog.records
    assert "2 names have words that the vocabulary lacks, such as '\U00013000'" in record.message
    assert "of up to 8 in a text" in record.message


@pytest.mark.slow
def test_a_run_starts_from_pretrained_weights_but_goes_on_from_its_own(folder, caplog):
    with contextlib.closing(Trainer(tiny.config(folder), folder / "shape")) as trainer:
        model = trainer.system.model
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
    _, params, about = opening.load(workdir, "latest")
    assert about["step"] == 2
    table = tensors["bert.embeddings.word_embeddings.weight"]
    reserved = list(Trainer(config, workdir).system.wordpiece.reserved_ids)
    kept = np.setdiff1d(np.arange(len(table)), reserved)
    np.testing.assert_array_equal(params["words"]["embedding"][kept], table[kept])
    assert (params["words"]["embedding"][reserved] != table[reserved]).all()


def test_weights_for_another_vocabulary_are_refused_before_training(folder):
    with contextlib.closing(Trainer(tiny.config(folder), folder / "shape")) as trainer:
        model = trainer.system.model
    larger = dataclasses.replace(model, vocab_size=model.vocab_size + 1)
    path = folder / "larger.safetensors"
    safetensors.numpy.save_file(unilm.random_checkpoint(larger), path)
    trainer = Trainer(tiny.config(folder, **{"model.init_from": str(path)}), folder / "refused")
    with pytest.raises(PretrainedError, match=r"set config\.tokenizer\.vocab"):
        trainer.run()
    assert not (folder / "refused" / "metrics.jsonl").exists()
