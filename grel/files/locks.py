"""Locks on files and folders that end with the process, however it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from grel.errors import UserError

_LOG = logging.getLogger(__name__)


class LockedError(UserError):
    """Another process has the lock."""


def locked_file(path: str | Path, *, wait: bool) -> contextlib.AbstractContextManager[bool]:
    """Holds the lock of a file, which is made where it is missing; a link is not followed.

    Gives whether it is really held: where the file system has no locks, as that of a mounted
    bucket, it warns and goes on.

    Args:
        path: the file.
        wait: for another process that has the lock.

    Raises:
        LockedError: another has it, and `wait` is False.
        OSError: the file cannot be made or opened.
    """
    return _locked(path, os.O_RDWR | os.O_CREAT, wait)


def locked_folder(path: str | Path, *, wait: bool) -> contextlib.AbstractContextManager[bool]:
    """As `locked_file`, of a folder that is there."""
    return _locked(path, os.O_RDONLY | os.O_DIRECTORY, wait)


@contextlib.contextmanager
def _locked(path: str | Path, flags: int, wait: bool) -> Iterator[bool]:
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    held = True
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise LockedError(f"{path} is locked by another process") from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
            _LOG.warning("%s: cannot be locked (%s): mind that nobody else is at work", path, error)
            held = False
        yield held
    finally:
        os.close(descriptor)


def remove_unlocked(folders: Iterable[Path]) -> None:
    """Removes folders that processes lock while they are at work in them, where none does."""
    for folder in folders:
        with contextlib.suppress(LockedError, OSError), locked_folder(folder, wait=False) as held:
            if held:
                shutil.rmtree(folder)
