"""What a run shows and leaves behind: progress bar, `metrics.jsonl` and TensorBoard scalars.

All is written by the thread that trains, so that an error is met where it arises: a queue that some
dead writer no longer empties would hang the run.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tqdm
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import parse_object
from grel.files.writing import replacing
from grel.runs import layout
from grel.scoring.protocols import Counts


def validation_scores(total: Counts, unseen: Counts) -> dict[str, float]:
    """Precision, recall and F1 of all triples, and of those that training did not have."""
    return {
        f"{prefix}{name}": getattr(counts, name)
        for prefix, counts in (("", total), ("unseen_", unseen))
        for name in ("precision", "recall", "f1")
    }


class RunLog:
    """Log of one run; to be used in a `with` block.

    A run that goes on behind a step drops what was logged of later ones, which it does again. What
    is not finite is left out: JSON has no name for it.

    Args:
        workdir: `metrics.jsonl` and `tensorboard/` are written there.
        first_step, num_steps: where the run starts and where it is to end.
        quiet: no files and no bar, for all but the first process of a pod.

    Raises RecordError, here and in the methods, where a file can't be written or the log is faulty,
    and LinkError where one is a link.
    """

    def __init__(self, workdir: Path, first_step: int, num_steps: int, *, quiet: bool = False):
        self._quiet = quiet
        self._tokens = 0
        self._shown: dict[str, str] = {}
        self._path = workdir / layout.TRAINING_LOG
        if not quiet:
            layout.inside(workdir, layout.TRAINING_LOG)
            board = layout.inside(workdir, layout.TENSORBOARD)
            kept = _lines_up_to(first_step, self._path)
            with _told(workdir):
                workdir.mkdir(parents=True, exist_ok=True)
            with replacing(self._path, through_links=False) as file:
                file.writelines(kept)
            with _told(self._path):
                self._file = self._path.open("ab")
            with _told(board):
                board.mkdir(exist_ok=True)
                self._board = EventsWriter(str(board / "events"))
                # TensorBoard then forgets the points of later steps.
                begins = SessionLog(status=SessionLog.START)
                self._add(Event(session_log=begins, step=first_step + 1))
        self._bar = tqdm.tqdm(
            total=num_steps, initial=first_step, unit="step", disable=quiet, dynamic_ncols=True
        )

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self._show(self._bar.close)
        if self._quiet:
            return
        # Nothing is left to be written; where that failed, it has been told.
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._board.close()

    def advance(self, num_tokens: int) -> None:
        """One step done over so many tokens, padding not counted."""
        self._tokens += num_tokens
        self._show(self._bar.update)

    def write(self, split: str, step: int, metrics: Mapping[str, Any]) -> None:
        """One line of `metrics.jsonl`, one TensorBoard point for each metric, and the bar."""
        if self._quiet:
            return
        values = {name: float(value) for name, value in metrics.items()}
        values = {name: value for name, value in values.items() if math.isfinite(value)}
        with _told(self._path):
            self._file.write(json.dumps({"split": split, "step": step, **values}).encode() + b"\n")
            self._file.flush()
        with _told(self._path.with_name(layout.TENSORBOARD)):
            for name, value in values.items():
                self._add(Event(summary=scalar(f"{split}/{name}", value), step=step))
            self._board.flush()
        elapsed = self._bar.format_dict["elapsed"]
        self._shown["tokens/s"] = f"{self._tokens / max(elapsed, 1e-9):,.0f}"
        shown = ("loss", "f1") if split == "validation" else ("loss",)
        prefix = "val_" if split == "validation" else ""
        self._shown |= {f"{prefix}{n}": f"{values[n]:.4f}" for n in shown if n in values}
        self._show(lambda: self._bar.set_postfix(self._shown, refresh=True))

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._board.write_event(event)

    def _show(self, change: Callable[[], Any]) -> None:
        try:
            change()
        except OSError:
            self._bar.disable = True  # the terminal is gone, which is no reason to stop


def _lines_up_to(step: int, path: Path) -> list[bytes]:
    """The lines of a log that tell of steps up to this one; half a line is left out.

    Raises RecordError where a line is whole and has a step that is none.
    """
    if not path.is_file():
        return []
    kept = []
    with _told(path), path.open("rb") as file:
        for number, line in enumerate(file, 1):
            with contextlib.suppress(Fault):
                told = parse_object(line).get("step", 0)
                if type(told) is not int:
                    problem = f"field 'step' must be an integer, not {quote(told)}; remove the line"
                    raise RecordError(path, number, problem)
                if line.endswith(b"\n") and told <= step:
                    kept.append(line)
    return kept


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RecordError(path, None, f"cannot write: {error.strerror or error}") from None
