"""What became of foreign weights, told to the user and left in the work folder of the run."""

from __future__ import annotations

import abc
from pathlib import Path

from grel.files.writing import replacing
from grel.runs import layout


class Report(abc.ABC):
    """What a model took of a file, and what it did not."""

    @abc.abstractmethod
    def summary(self) -> str:
        """In one line."""

    @abc.abstractmethod
    def table(self) -> str:
        """All of it, in lines."""

    def write(self, workdir: Path) -> None:
        """Leaves the table in the work folder of a run."""
        workdir.mkdir(parents=True, exist_ok=True)
        with replacing(workdir / layout.PRETRAINED, through_links=False) as file:
            file.write(self.table().encode())
