"""A training run: from a configuration to checkpoints in a work folder.

Starting again in the same folder goes on where the run stopped, and gives the same bits as if it
had never stopped: the state holds step and seed, and batches, masks and dropout follow from them.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import signal
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np

from grel import parallel, runfile, training
from grel.checkpoint import FOLDERS, CheckpointError, Checkpoints
from grel.data import augment, features, sources
from grel.data.pipeline import Batches
from grel.errors import UserError
from grel.extract import extract
from grel.pretrained import port
from grel.records import Document
from grel.runlog import RunLog, validation_scores
from grel.scoring import protocols
from grel.scoring.breakdown import by_seen
from grel.scoring.corpus import CorpusStatistics, corpus_statistics
from grel.scoring.judged import judge, total
from grel.scoring.seen import SeenTriples
from grel.system import System, read_config, refuse_changes
from grel.wordpiece import Wordpiece

_LOG = logging.getLogger(__name__)


class TrainingError(UserError):
    """A run that cannot go on: says at which step and why."""


@dataclasses.dataclass(frozen=True)
class Data:
    """What a run reads."""

    train: Batches
    validation: Batches
    validation_documents: list[Document]
    seen: SeenTriples
    fingerprint: str
    corpora: dict[str, CorpusStatistics]


class Trainer:
    """One run in one work folder.

    Args:
        config: a checked configuration.
        workdir: where checkpoints and logs go.
    """

    def __init__(self, config: ml_collections.ConfigDict, workdir: str | Path):
        self.config = config
        self.workdir = Path(workdir)
        self._latest = Checkpoints(self.workdir / FOLDERS["latest"], keep=config.train.keep)
        self._best = Checkpoints(self.workdir / FOLDERS["best"])
        try:
            self.system, self.data = self._prepare()
        except BaseException:
            self._close()
            raise
        c = config.train
        self.num_steps = max(1, math.ceil(c.num_epochs * self.data.train.num_batches))
        self._eval_every = c.eval_every or self.data.train.num_batches
        self._tx = training.optimizer(
            training.OptimizerConfig(
                learning_rate=c.learning_rate,
                warmup_steps=round(c.warmup_fraction * self.num_steps),
                num_steps=self.num_steps,
                schedule=c.schedule,
                weight_decay=c.weight_decay,
                clip_norm=c.clip_norm,
                b2=c.adam_b2,
            )
        )
        self._loss_fn = parallel.on_rows(
            training.loss_step(self.system.family, self.system.model, self.config.seed)
        )
        self._decoder = self.system.decoder()

    def _prepare(self) -> tuple[System, Data]:
        c = self.config
        documents = {
            s: sources.load_split(c.data, s, limited=True) for s in ("train", "validation")
        }
        if self._latest.latest_step is None:
            relations = {
                t.relation for split in documents.values() for d in split for t in d.triples
            }
            wordpiece = sources.make_wordpiece(
                c.tokenizer, documents["train"], relations, c.data.triple_form
            )
            system = System.build(c, wordpiece)
        else:
            about = self._latest.about()
            refuse_changes(read_config(about), c, self._latest.folder)
            system = System.build(c, Wordpiece.from_json(about["wordpiece"]))
        options = features.Options(c.data.labelling, c.data.order, c.data.buckets[-1])
        batches: dict[str, Batches] = {}
        made: dict[str, features.Features] = {}
        rates = augment.Rates(c.data.join_rate, c.data.join_max, c.data.swap_rate)
        for split, split_documents in documents.items():
            found = features.build(
                split_documents, system.wordpiece, options, c.data.cache_dir or None
            )
            made[split] = found
            augmentation = None
            if split == "train" and (rates.join or rates.swap):
                augmentation = augment.Augmentation(found, system.wordpiece, options, rates, c.seed)
            batches[split] = Batches(
                found,
                system.wordpiece,
                c.train.batch_size,
                c.data.buckets,
                seed=c.seed if split == "train" else None,
                shard=parallel.process(),
                augment=augmentation,
            )
        for note in features.notes(documents, made, system.wordpiece):
            _LOG.warning("%s", note)
        fingerprint = features.fingerprint(documents["train"], system.wordpiece, options)
        return system, Data(
            batches["train"],
            batches["validation"],
            documents["validation"],
            SeenTriples.of(documents["train"]),
            fingerprint,
            {split: corpus_statistics(found) for split, found in documents.items()},
        )

    def run(self, stop_after: int | None = None) -> None:
        """Trains to the end, or until `stop_after` steps were done or SIGTERM asks to stop.

        Where the state comes from, the first that applies:
        1. the newest checkpoint of this work folder;
        2. the pretrained encoder that `config.model.init_from` names;
        3. fresh parameters from the seed.
        """
        try:
            self._run(stop_after)
        finally:
            self._close()

    def _close(self) -> None:
        """Waits for saves under way; an open manager would complain when Python shuts down."""
        self._latest.close()
        self._best.close()

    def _run(self, stop_after: int | None) -> None:
        state = self._restore()
        first_step = int(state.step)
        params_count = sum(x.size for x in jax.tree.leaves(state.params))
        _LOG.info("%d parameters, steps %d to %d", params_count, first_step, self.num_steps)
        state = parallel.replicate(state)
        step_fn = parallel.on_rows(
            training.train_step(
                self.system.family,
                self.system.model,
                self._tx,
                self.config.train.accumulation,
                self.config.train.ema_decay,
            ),
            donate=True,
        )
        last_step = min(self.num_steps, stop_after or self.num_steps)
        if self._exhausted(first_step):
            _LOG.info("nothing left to do: %s", self._why_exhausted())
            return
        quiet = parallel.process()[0] > 0
        log = RunLog(self.workdir, first_step, self.num_steps, quiet=quiet)
        record = runfile.recorded(self.workdir, self._facts(params_count), quiet=quiet)
        with _Stop() as stop, record, log:
            for step in range(first_step + 1, last_step + 1):
                batch = self.data.train[step - 1]
                state, metrics = step_fn(state, batch)
                log.advance(int(batch.length_B.sum()))
                stopping = stop.asked or self._latest.reached_preemption(step)
                validating = step % self._eval_every == 0 or step == self.num_steps
                saving = (
                    stopping or step % self.config.train.checkpoint_every == 0 or step == last_step
                )
                # A state that is to be saved is looked at first, however rarely the run logs.
                if saving or step % self.config.train.log_every == 0:
                    metrics = parallel.unreplicate(metrics)
                    if not math.isfinite(metrics["loss"]):
                        raise TrainingError(
                            f"the loss is {metrics['loss']} at step {step}: lower "
                            "config.train.learning_rate, or look at the data"
                        )
                    log.write("train", step, metrics)
                if validating:
                    self._validate(step, state, log)
                exhausted = validating and self._exhausted(step)
                if saving or exhausted:
                    self._save(self._latest, step, state)
                if stopping:
                    _LOG.warning("asked to stop: saved step %d; start again to go on", step)
                    break
                if exhausted:
                    _LOG.info("ended at step %d: %s", step, self._why_exhausted())
                    break

    def _exhausted(self, step: int) -> bool:
        """Whether so many validations up to this step brought no better F1 that the run ends."""
        patience = self.config.train.patience
        best = self._best.latest_step
        return bool(patience) and best is not None and step - best >= patience * self._eval_every

    def _why_exhausted(self) -> str:
        return (
            f"no better F1 in config.train.patience={self.config.train.patience} validations since "
            f"step {self._best.latest_step}"
        )

    def _facts(self, num_parameters: int) -> runfile.Facts:
        return runfile.Facts(
            config=self.config.to_dict(),
            data_fingerprint=self.data.fingerprint,
            num_parameters=num_parameters,
            num_steps=self.num_steps,
            devices=f"{jax.device_count()} x {jax.devices()[0].device_kind}",
            corpora=self.data.corpora,
        )

    def _restore(self) -> training.TrainState:
        begins = self._latest.latest_step is None
        params = self._pretrained() if begins and self.config.model.init_from else None
        fresh = training.init_state(
            self.system.family,
            self.system.model,
            self._tx,
            self.config.seed,
            params,
            averages=self.config.train.ema_decay > 0,
        )
        if begins:
            return fresh
        found = self._latest.about()["data_fingerprint"]
        if found != self.data.fingerprint:
            raise CheckpointError(
                f"{self._latest.folder}: the training data has changed since (fingerprint {found} "
                f"then, {self.data.fingerprint} now); use another --workdir"
            )
        evaluated, rest = self._latest.state(*fresh.split())
        return rest.joined(evaluated)

    def _pretrained(self) -> Any:
        """Parameters from `config.model.init_from`; what became of each tensor is left beside."""
        params, report = port.load(
            self.config.model.init_from,
            self.system.model,
            self.system.wordpiece.vocabulary,
            jax.random.PRNGKey(self.config.seed),
            self.system.wordpiece.reserved_ids,
        )
        _LOG.info("%s", report.summary())
        if parallel.process()[0] == 0:
            report.write(self.workdir)
        return params

    def _save(self, checkpoints: Checkpoints, step: int, state: Any, **extra: Any) -> None:
        if checkpoints.latest_step == step:
            return
        state = parallel.unreplicate(state)
        about = {
            **self.system.about(),
            "step": step,
            "data_fingerprint": self.data.fingerprint,
            "seen_triples": self.data.seen.to_text(),
            **extra,
        }
        checkpoints.save(step, *state.split(), about)

    def _validate(self, step: int, state: training.TrainState, log: RunLog) -> None:
        sums = [
            parallel.unreplicate(self._loss_fn(state.evaluated, self.data.validation[number])[1])
            for number in range(self.data.validation.num_batches)
        ]
        metrics = training.means(jax.tree.map(lambda *parts: sum(parts), *sums))
        index, count = parallel.process()
        gold = self.data.validation_documents[index::count]
        predictions, _ = extract(self._decoder, state.evaluated, self.system.wordpiece, gold)
        protocol = protocols.PROTOCOLS[self.config.eval.protocol]
        judged = judge(gold, predictions, protocol, relations=self.system.wordpiece.relations)
        parts = [total(judged), by_seen(judged, self.data.seen)["unseen"]]
        parts = parallel.gather_processes(np.array(list(map(dataclasses.astuple, parts))))
        found, unseen = (protocols.Counts(*c) for c in parts.reshape(-1, 2, 3).sum(0).tolist())
        metrics |= validation_scores(found, unseen)
        log.write("validation", step, metrics)
        if self._best.latest_step is None or found.f1 > self._best.about()["validation_f1"]:
            self._save(self._best, step, state, validation_f1=found.f1)


class _Stop:
    """Notes SIGTERM, which clusters send before they take a machine away.

    In a pod it leaves the signal to JAX, through which the processes agree on a step to stop at.
    """

    def __enter__(self) -> _Stop:
        self.asked = False
        self._before = signal.getsignal(signal.SIGTERM)
        if parallel.process()[1] == 1:
            signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_: Any) -> None:
        if parallel.process()[1] == 1:
            signal.signal(signal.SIGTERM, self._before)

    def _note(self, *_: Any) -> None:
        self.asked = True
