"""Systems that are made of their training documents at once: a run of one step."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import ml_collections

from grel import parallel, records
from grel.corpora import sources
from grel.families.base import Fitted
from grel.runs import layout
from grel.runs import record as run_record
from grel.runs.checkpoint import Checkpoints
from grel.scoring.corpus import corpus_statistics
from grel.scoring.seen import SeenTriples
from grel.training import examples, ownership
from grel.training.log import RunLog, validation_scores
from grel.training.validation import validate

_LOG = logging.getLogger(__name__)


def train(family: type[Fitted], config: ml_collections.ConfigDict, workdir: str | Path) -> None:
    """Fits a system and leaves behind what a training run does: one step, its best and its last.

    Starting again in the same folder changes nothing.

    Raises:
        CheckpointError: the folder has a run that began with other fields or data.
        RecordError: another training is at work there.
    """
    workdir = Path(workdir)
    quiet = parallel.process()[0] > 0
    with (
        ownership.only_training_in(workdir, quiet=quiet),
        contextlib.closing(Checkpoints(workdir / layout.CHECKPOINTS["best"])) as best,
        contextlib.closing(Checkpoints(workdir / layout.CHECKPOINTS["latest"])) as latest,
    ):
        for checkpoints in (best, latest):
            checkpoints.recover()
        traces = ownership.traces(workdir, (latest, best))
        ownership.refuse_another_config(traces, config)
        documents = {
            s: sources.load_split(config.data, s, limited=True) for s in ("train", "validation")
        }
        examples.check(documents)
        fingerprints = {
            run_record.TRAINING_DATA: records.fingerprint(documents["train"]),
            run_record.VALIDATION_DATA: records.fingerprint(documents["validation"]),
        }
        parallel.refuse_other_facts(lambda: ownership.facts(fingerprints, latest, best))
        run_id = ownership.run_id(traces, fingerprints)
        lacking = [checkpoints for checkpoints in (best, latest) if checkpoints.latest_step != 1]
        if not lacking:
            _LOG.info("%s: fitted already", workdir)
            return
        # Before the folder holds anything that a corrected command would be held to.
        system, params = family.fit(config, documents["train"])
        facts = run_record.Facts(
            config=config.to_dict(),
            run=run_id,
            fingerprints=fingerprints,
            num_parameters=0,
            num_steps=1,
            devices="none",
            corpora={split: corpus_statistics(found) for split, found in documents.items()},
        )
        log = RunLog(workdir, 0, 1, quiet=quiet)
        with run_record.recorded(workdir, facts, quiet=quiet), log:
            log.advance(0)
            seen = SeenTriples.of(documents["train"])
            writer = system.writer()
            placed = writer.place(params)
            counts = validate(writer, placed, documents["validation"], config.eval.protocol, seen)
            log.write("validation", 1, validation_scores(*counts))
            about = {
                **system.about(),
                "step": 1,
                "run": run_id,
                "fingerprints": fingerprints,
                "seen_triples": seen.to_text(),
            }
            for checkpoints in lacking:
                checkpoints.save(1, params, None, about)
                checkpoints.wait()
