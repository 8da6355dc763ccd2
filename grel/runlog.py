"""What a run shows and leaves behind: progress bar, `metrics.jsonl` and TensorBoard scalars."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tqdm
from tensorboardX import SummaryWriter

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

    Args:
        workdir: `metrics.jsonl` and `tensorboard/` are written there.
        first_step, num_steps: where the run starts and where it is to end.
        quiet: no files and no bar, for all but the first process of a pod.
    """

    def __init__(self, workdir: Path, first_step: int, num_steps: int, *, quiet: bool = False):
        self._quiet = quiet
        self._tokens = 0
        self._shown: dict[str, str] = {}
        self._bar = tqdm.tqdm(
            total=num_steps, initial=first_step, unit="step", disable=quiet, dynamic_ncols=True
        )
        if not quiet:
            workdir.mkdir(parents=True, exist_ok=True)
            self._file = (workdir / "metrics.jsonl").open("a")
            self._board = SummaryWriter(str(workdir / "tensorboard"))

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.close()
        if not self._quiet:
            self._file.close()
            self._board.close()

    def advance(self, num_tokens: int) -> None:
        """One step done over so many tokens, padding not counted."""
        self._tokens += num_tokens
        self._bar.update()

    def write(self, split: str, step: int, metrics: Mapping[str, Any]) -> None:
        """One line of `metrics.jsonl`, one TensorBoard point for each metric, and the bar."""
        if self._quiet:
            return
        values = {name: float(value) for name, value in metrics.items()}
        self._file.write(json.dumps({"split": split, "step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{split}/{name}", value, step)
        elapsed = self._bar.format_dict["elapsed"]
        self._shown["tokens/s"] = f"{self._tokens / max(elapsed, 1e-9):,.0f}"
        shown = ("loss", "f1") if split == "validation" else ("loss",)
        prefix = "val_" if split == "validation" else ""
        self._shown |= {f"{prefix}{n}": f"{values[n]:.4f}" for n in shown if n in values}
        self._bar.set_postfix(self._shown, refresh=True)
