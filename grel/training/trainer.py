"""A training run: from a configuration to checkpoints in a work folder.

Starting again in the same folder goes on where the run stopped, and gives the same bits as if it
had never stopped: the state holds step and seed, and batches, masks and dropout follow from them.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
from pathlib import Path
from typing import Any

import jax
import ml_collections

from grel import parallel
from grel.corpora import sources
from grel.devices import pages
from grel.devices.kinds import peak_flops
from grel.errors import ConfigError, UserError
from grel.families.base import Trained
from grel.families.registry import FAMILIES
from grel.runs import digests, layout
from grel.runs import record as run_record
from grel.runs.checkpoint import Checkpoints
from grel.training import examples, optimizer, ownership, steps
from grel.training.examples import TrainingData
from grel.training.log import RunLog, validation_scores
from grel.training.profile import Profile
from grel.training.progress import StepLog, Utilization
from grel.training.signals import Stopped, StopRequests
from grel.training.skipped import Skipped
from grel.training.validation import validate

_LOG = logging.getLogger(__name__)


class TrainingError(UserError):
    """A run that cannot go on: says at which step and why."""


# What the state and the optimizer count to.
_MAX_STEPS = 2**31 - 1


def _num_steps(num_epochs: float, num_batches: int) -> int:
    """How many steps so many epochs are, of which the last may be a part.

    Raises ConfigError where they are too many to be counted.
    """
    num_steps = num_epochs * num_batches
    if num_steps > _MAX_STEPS:
        raise ConfigError(
            f"config.train.num_epochs is {num_epochs}, of {num_batches:,} steps each; a run has at "
            f"most {_MAX_STEPS:,} steps"
        )
    # In floats 1.1 epochs of 50 batches are 55.00000000000001, which are not 56 steps.
    return max(1, math.ceil(round(num_steps, 6)))


class Trainer:
    """One run in one work folder.

    Args:
        config: a checked configuration.
        workdir: where checkpoints and logs go.
    """

    def __init__(self, config: ml_collections.ConfigDict, workdir: str | Path):
        family = FAMILIES[config.model.family]
        if not issubclass(family, Trained):
            raise TypeError(f"{config.model.family} does not learn from batches; see training.fit")
        self._family = family
        self.config = config
        self.workdir = Path(workdir)
        index, _ = parallel.process()
        self._open = contextlib.ExitStack()
        # Let go of last: the folder is the run's until all of its saves have ended.
        self._open.enter_context(ownership.only_training_in(self.workdir, quiet=index > 0))
        try:
            self._best, self._latest = (
                self._open.enter_context(contextlib.closing(Checkpoints(folder, keep)))
                for folder, keep in (
                    (self.workdir / layout.CHECKPOINTS["best"], 1),
                    (self.workdir / layout.CHECKPOINTS["latest"], config.train.keep),
                )
            )
            self.system, self.data, self._run_id = self._prepare()
            c = config.train
            self.num_steps = _num_steps(c.num_epochs, self.data.train.batches.num_batches)
        except BaseException:
            self.close()
            raise
        self._eval_every = c.eval_every or self.data.train.batches.num_batches
        self._tx = optimizer.configured(c, self.num_steps)
        self._loss_fn = parallel.on_rows(steps.loss_step(self.system.loss, self.config.seed))
        self._writer = self.system.writer()
        self._best_score = self._recorded_score()

    def _prepare(self) -> tuple[Trained, TrainingData, str]:
        c = self.config
        for checkpoints in (self._best, self._latest):
            checkpoints.recover()
        traces = ownership.traces(self.workdir, (self._latest, self._best))
        ownership.refuse_another_config(traces, c)
        splits = {s: sources.load_split(c.data, s, limited=True) for s in ("train", "validation")}
        earlier = None if self._latest.latest_step is None else self._latest.about()
        system = self._family.learn(c, splits, earlier)
        data = examples.prepare(system, splits)
        parallel.refuse_other_facts(
            lambda: ownership.facts(data.fingerprints, self._latest, self._best)
        )
        run_id = ownership.run_id(traces, data.fingerprints)
        return system, data, run_id

    def run(self, stop_after: int | None = None, profile: int = 0) -> None:
        """Trains to the end, or until `stop_after` steps were done.

        Of so many steps it leaves a `profile`.

        Raises signals.Stopped, once all is saved, where a signal asked to stop; TrainingError where
        too many steps in a row are skipped.

        Where the state comes from, the first that applies:
        1. the newest checkpoint of this work folder;
        2. the pretrained encoder that `config.model.init_from` names;
        3. fresh parameters from the seed.
        """
        try:
            self._run(stop_after, profile)
        finally:
            self.close()

    def close(self) -> None:
        """Waits for saves under way, and lets go of the folder; `run` does so itself."""
        self._open.close()

    def _run(self, stop_after: int | None, profile: int) -> None:
        state = self._restore()
        first_step = int(state.step)
        params_count = sum(x.size for x in jax.tree.leaves(state.params))
        _LOG.info("%d parameters, steps %d to %d", params_count, first_step, self.num_steps)
        if jax.default_backend() == "cpu" and (advice := pages.advice()):
            _LOG.info(advice)
        state = parallel.replicate(state)
        step_fn = parallel.on_rows(
            steps.train_step(
                self.system.loss,
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
        record = run_record.recorded(self.workdir, self._facts(params_count), quiet=quiet)
        skipped, utilization = Skipped(), Utilization(self._peak_flops())
        lines = StepLog(log, skipped, utilization)
        trace = Profile(self.workdir, first_step, 0 if quiet else profile)
        with StopRequests() as requests, record, log, trace:
            for step in range(first_step + 1, last_step + 1):
                batch = self.data.train.batches[step - 1]
                trace.before(step)
                state, metrics = step_fn(state, batch)
                trace.after(step, metrics)
                lines.write()  # of the step before, while this one is under way
                skipped.add(step, metrics["skipped"])
                utilization.add(functools.partial(self.system.step_flops, batch))
                self._refuse_many(skipped)
                for checkpoints in (self._latest, self._best):
                    checkpoints.check()
                log.advance(batch.num_tokens)
                stopping = parallel.agree_to_stop(step, requests.asked)
                validating = step % self._eval_every == 0 or step == self.num_steps
                saving = (
                    stopping or step % self.config.train.checkpoint_every == 0 or step == last_step
                )
                if saving or step % self.config.train.log_every == 0:
                    lines.add(step, metrics)
                if validating or saving:  # which waits for the step
                    lines.write()
                    utilization.pause()
                    self._refuse_many(skipped)
                if validating:
                    self._validate(step, state, log)
                exhausted = validating and self._exhausted(step)
                if saving or exhausted:
                    self._save(self._latest, step, state)
                if stopping:
                    self._wait()
                    _LOG.warning("asked to stop: saved step %d; start again to go on", step)
                    raise Stopped
                if exhausted:
                    _LOG.info("ended at step %d: %s", step, self._why_exhausted())
                    break
            self._wait()

    def _wait(self) -> None:
        """Until all is saved; a process that ended before could take that which saves with it."""
        for checkpoints in (self._latest, self._best):
            checkpoints.wait()
        parallel.wait_for_all("saved")

    def _peak_flops(self) -> float | None:
        """Of the devices of this process."""
        peak = peak_flops(jax.devices()[0].device_kind)
        return None if peak is None else peak * len(parallel.own_devices())

    def _refuse_many(self, skipped: Skipped) -> None:
        if skipped.in_row < self.config.train.max_skipped:
            return
        ids = ", ".join(map(repr, self.data.ids(skipped.last_step)))
        raise TrainingError(
            f"loss or gradient was not finite in {skipped.in_row} steps in a row, and all were "
            f"skipped, the last being step {skipped.last_step} with the documents {ids}: lower "
            "config.train.learning_rate, or look at the data"
        )

    def _recorded_score(self) -> tuple[float, float]:
        """F1 and negated loss of the best checkpoint."""
        about = {} if self._best.latest_step is None else self._best.about()
        # Weights of `grel.pretrained` have no F1, and the best of an earlier version no loss.
        return about.get("validation_f1", -1.0), -about.get("validation_loss", math.inf)

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

    def _facts(self, num_parameters: int) -> run_record.Facts:
        return run_record.Facts(
            config=self.config.to_dict(),
            run=self._run_id,
            fingerprints=self.data.fingerprints,
            num_parameters=num_parameters,
            num_steps=self.num_steps,
            devices=f"{jax.device_count()} x {jax.devices()[0].device_kind}",
            corpora=self.data.corpora,
        )

    def _restore(self) -> steps.TrainState:
        begins = self._latest.latest_step is None
        params = self._pretrained() if begins else None
        if begins:
            parallel.refuse_other_facts(
                lambda: {"initial parameters": params and digests.of_arrays(params)}
            )
        fresh = steps.init_state(
            self.system.init,
            self._tx,
            self.config.seed,
            params,
            averages=self.config.train.ema_decay > 0,
        )
        if begins:
            return fresh
        evaluated, rest = self._latest.state(*fresh.split())
        return rest.joined(evaluated)

    def _pretrained(self) -> Any | None:
        """Parameters that the configuration names; what became of each tensor is left beside."""
        found = self.system.pretrained(jax.random.PRNGKey(self.config.seed))
        if found is None:
            return None
        params, report = found
        _LOG.info("%s", report.summary())
        if parallel.process()[0] == 0:
            report.write(self.workdir)
        return params

    def _save(self, checkpoints: Checkpoints, step: int, state: Any, **extra: Any) -> None:
        if checkpoints.latest_step == step:
            return
        evaluated, rest = parallel.unreplicate(state).split()
        about = {
            **self.system.about(),
            "step": step,
            "run": self._run_id,
            "fingerprints": self.data.fingerprints,
            "seen_triples": self.data.seen.to_text(),
            **extra,
        }
        checkpoints.save(step, evaluated, None if checkpoints is self._best else rest, about)

    def _validate(self, step: int, state: steps.TrainState, log: RunLog) -> None:
        batches = self.data.validation.batches
        sums = [
            parallel.unreplicate(self._loss_fn(state.evaluated, batches[number])[1])
            for number in range(batches.num_batches)
        ]
        losses = steps.means(jax.tree.map(lambda *parts: sum(parts), *sums))
        found, unseen = validate(
            self._writer,
            self._writer.place(parallel.unreplicate(state.evaluated)),
            self.data.validation_documents,
            self.config.eval.protocol,
            self.data.seen,
        )
        log.write("validation", step, {**losses, **validation_scores(found, unseen)})
        loss = float(losses["loss"])
        # Of models with the same F1 the one of the lower loss; one without a loss is none.
        score = found.f1, -loss
        if math.isfinite(loss) and score > self._best_score:
            self._best_score = score
            facts = {"validation_f1": found.f1, "validation_loss": loss}
            self._save(self._best, step, state, **facts)
