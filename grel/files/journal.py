"""Files that grow by whole chunks and survive an interruption at any point.

A job of days must not start again because a machine went down. Output goes to `FILE.partial`; after
each chunk it is forced to the disk, and then `FILE.progress` is replaced by a new one that says how
long the output is and how far the job has come. Starting again cuts off what no progress vouches
for and goes on from there; at the end the files take their names. So the output is the same, byte
for byte, however often the job was killed, and a file without `.partial` is always complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from grel.files.faults import Fault, RecordError, quote
from grel.files.parsing import member, parse_members, parse_object


def partial_of(target: Path) -> Path:
    """What an output is called until it is complete."""
    return _beside(target, "partial")


def progress_of(target: Path) -> Path:
    """The file that says how far the first output is."""
    return _beside(target, "progress")


def _beside(target: Path, ending: str) -> Path:
    if not target.name:
        raise RecordError(target, None, "does not end in the name of a file; name one")
    return target.with_name(f"{target.name}.{ending}")


class Journal:
    """Output files and how far they are; made by `resumable`.

    Attributes:
        path: the progress file.
        state: what was committed with the last chunk, None if nothing was yet.
        finished: whether nothing is left to do but to read `state`.
    """

    def __init__(self, targets: Sequence[str | Path], options: Mapping[str, Any], named: bool):
        # Beside the files themselves, so that a link stays a link.
        self._targets = [Path(os.path.realpath(target)) for target in targets]
        self._partials = [partial_of(target) for target in self._targets]
        self._options, self._named = options, named
        self._files = contextlib.ExitStack()
        self.path = progress_of(self._targets[0])
        self.state: dict[str, Any] | None = None
        self.finished = False

    @property
    def remove(self) -> str:
        """What to remove to start anew, for messages."""
        return f"remove {' and '.join(map(str, (self.path, *self._partials)))} to start anew"

    def open(self) -> None:
        """Takes up the files where the progress says."""
        for target in self._targets:
            if target.is_dir():  # or it would be told once all is done
                raise RecordError(target, None, "is a folder; name a file in it")
        sizes = [0] * len(self._targets)
        if self.path.exists():
            sizes = self._read()
        if self.finished:
            self._name()
            return
        self._outputs = [self._files.enter_context(p.open("ab")) for p in self._partials]
        for file, partial, size in zip(self._outputs, self._partials, sizes, strict=True):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RecordError(partial, None, "another process is writing it") from None
            if os.fstat(file.fileno()).st_size < size:
                problem = f"is shorter than {self.path} says; {self.remove}"
                raise RecordError(partial, None, problem)
            file.truncate(size)

    def commit(self, chunks: Sequence[bytes], state: dict[str, Any]) -> None:
        """Appends a chunk to each file; from now on the job goes on behind them, with `state`."""
        for file, chunk in zip(self._outputs, chunks, strict=True):
            file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        self.state = state
        self._save()

    def finish(self) -> None:
        """Gives the files their names, if they are to have them."""
        self.finished = True
        self._save()
        self._name()

    def close(self) -> None:
        """Lets go of the files."""
        self._files.close()

    def _name(self) -> None:
        if not self._named:
            return
        for partial, target in zip(self._partials, self._targets, strict=True):
            # Where the job was killed right here, some have their names already.
            if partial.exists():
                partial.replace(target)
        self.path.unlink()

    def _save(self) -> None:
        progress = {
            "options": self._options,
            "sizes": [os.fstat(file.fileno()).st_size for file in self._outputs],
            "finished": int(self.finished),
            "state": self.state or {},
        }
        new = self.path.with_name(f"{self.path.name}.new")
        with new.open("w") as file:
            json.dump(progress, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)

    def _read(self) -> list[int]:
        try:
            progress = parse_object(self.path.read_bytes())
            options = member(progress, "options", dict)
            sizes = parse_members(progress, "sizes", int, int)
            self.finished = member(progress, "finished", int) == 1
            self.state = member(progress, "state", dict) or None
            if len(sizes) != len(self._targets):
                raise Fault(f"tells of {len(sizes)} files, not of {len(self._targets)}")
        except Fault as fault:
            raise RecordError(self.path, None, f"{fault}; {self.remove}") from None
        # As JSON has them, which knows no tuples.
        now = json.loads(json.dumps(self._options))
        for name in sorted(now.keys() | options.keys()):
            if options.get(name) != now.get(name):
                raise RecordError(
                    self.path,
                    None,
                    f"{name} was {quote(options.get(name))} and is {quote(now.get(name))} now; "
                    f"give what was given first, or {self.remove}",
                )
        return sizes


@contextlib.contextmanager
def resumable(
    targets: Sequence[str | Path], options: Mapping[str, Any], *, named: bool = True
) -> Iterator[Journal]:
    """Files that take their names when the block has ended without an error, and go on if not.

    Args:
        targets: the files; `.partial` is added to their names until they are complete, and
            `.progress` to that of the first.
        options: JSON of everything that decides what is written. Work that was begun with other
            options is refused.
        named: otherwise the files stay as they are when they are complete, with their progress, for
            whoever makes something of them; see `is_finished` and `remove`.

    Raises:
        RecordError: a file can't be read or written, is written by another process, or does not
            belong to this job.
    """
    journal = Journal(targets, options, named)
    try:
        with contextlib.closing(journal):
            journal.open()
            yield journal
            if not journal.finished:
                journal.finish()
    except OSError as error:
        path = error.filename or journal.path
        raise RecordError(path, None, f"cannot write: {error.strerror or error}") from None


def is_finished(target: Path) -> bool:
    """Whether the files of which this is the first are complete, and have no names yet."""
    try:
        return parse_object(progress_of(target).read_bytes()).get("finished") == 1
    except (FileNotFoundError, Fault):
        return False


def remove(targets: Sequence[Path]) -> None:
    """Removes files without names and their progress, this last: it is what says that they are."""
    for path in (*map(partial_of, targets), progress_of(targets[0])):
        path.unlink(missing_ok=True)
