"""Files that are written whole or not at all, and never over what is read."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, BinaryIO

from grel.files.faults import RecordError


@contextlib.contextmanager
def replacing(path: str | Path, *, through_links: bool = True) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` once the block has ended without an error.

    `-` is standard output. A link stays one, and its file is replaced; without `through_links`,
    for folders that may be a stranger's, the link itself is. Raises RecordError where the file
    can't be written.
    """
    target = Path(path)
    try:
        if str(path) == "-":
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        elif through_links and target.exists() and not target.is_file():
            # A pipe or a device: putting a file in the place of /dev/null would break the machine.
            with target.open("wb") as file:
                yield file
        else:
            if through_links:
                target = Path(os.path.realpath(target))
            partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
            try:
                partial.unlink(missing_ok=True)  # of a killed process, or a link
                with partial.open("xb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
    except BrokenPipeError:
        raise  # the reader has seen enough, which is no error of the output
    except OSError as error:
        raise RecordError(path, None, f"cannot write: {error.strerror or error}") from None


def refuse_overwriting(sources: Iterable[str | Path], targets: Iterable[str | Path]) -> None:
    """Raises RecordError where a file to write is one to read, by whatever name, or two are one.

    `-` is standard input among the sources, and standard output among the targets.
    """
    taken = [("input", path, _stat(path, sys.stdin)) for path in sources]
    for target in targets:
        found = _stat(target, sys.stdout)
        for use, path, other in taken:
            if _is_one_file(path, other, target, found):
                raise RecordError(target, None, f"is the {use} {path} as well; name another file")
        taken.append(("output", target, found))


def _stat(path: str | Path, stream: IO | None) -> os.stat_result | None:
    with contextlib.suppress(OSError):
        if str(path) != "-":
            return os.stat(path)
        if stream is not None:
            return os.fstat(stream.fileno())
    return None


def _is_one_file(
    path: str | Path,
    stat_of_path: os.stat_result | None,
    other: str | Path,
    stat_of_other: os.stat_result | None,
) -> bool:
    """Whether both lead to one file, or will; pipes, terminals and devices are no files."""
    if stat_of_path and stat_of_other:
        is_file = stat.S_ISREG(stat_of_path.st_mode)
        return is_file and os.path.samestat(stat_of_path, stat_of_other)
    return "-" not in (str(path), str(other)) and os.path.realpath(path) == os.path.realpath(other)
