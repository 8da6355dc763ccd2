"""Folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from grel.files.faults import RecordError
from grel.files.locks import locked_folder


@contextlib.contextmanager
def replacing_folder(folder: Path, *, through_links: bool = False) -> Iterator[Path]:
    """A new folder to write into, which takes the place of `folder` once the block has ended well.

    Files of the old folder that the new one lacks move over. A process that is killed leaves either
    the old folder or the new one; in between there is none for a moment, and the next call brings
    the old one back. Names with a dot before them, beside the folder, are this function's own.

    The folder may be a stranger's: a link in its place is replaced, and one in that of the folder
    around it is an error. Where a user named the folder, `through_links` follows both.

    Raises RecordError where something can't be written, or the folder has no name of its own.
    """
    if folder.name in ("", ".."):
        # It is replaced by its name, and whoever stands in `.` would be left in the old one.
        raise RecordError(folder, None, "does not end in the name of a folder; name one, as out")
    named, folder = folder, Path(os.path.realpath(folder)) if through_links else folder
    new, old = (folder.with_name(f".{folder.name}.{kind}") for kind in ("new", "old"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Whoever has the lock is alone here, and what lies around is of processes that died.
        with locked_folder(folder.parent, wait=True):
            if old.exists() and not folder.exists():
                old.rename(folder)
            for left in (new, old):
                _remove(left)
            new.mkdir()
            try:
                yield new
                with contextlib.suppress(FileNotFoundError):
                    folder.rename(old)
                new.rename(folder)
                if old.is_dir() and not old.is_symlink():
                    for entry in old.iterdir():
                        if not (folder / entry.name).exists():
                            entry.rename(folder / entry.name)
            finally:
                for left in (new, old) if folder.exists() else (new,):
                    _remove(left)
    except OSError as error:
        raise RecordError(named, None, f"cannot write: {error.strerror or error}") from None


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
