"""What a user can mend, and how every command ends: in one line and an exit status.

A traceback is for a mistake in grel. A mistake in a file, a field or a command line is told in one
line that names it and says what would do, and whoever calls a command from a script can rely on
its exit status: 0 done, 1 error, 2 wrong usage, 130 interrupted; 75 is a training that was asked to
stop (`grel.training.signals`), and 69 a process of a pod that lost another (`grel.pods.watch`).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path


class UserError(ValueError):
    """What a user can mend: one line that names the file, field or record, and the remedy."""


class ConfigError(UserError):
    """A configuration that cannot work: names the field and says what would."""


class UsageError(UserError):
    """A command line that cannot be run: names the flag, and says what would do."""


class MissingLibraryError(UserError):
    """An optional package that is not installed: says which, and what needs it."""


# Flags whose values are no paths, and may be names that look like an address.
_NO_PATHS = ("relations", "config.decoding.relations")
_ADDRESS = re.compile(r"(?:^|[=,])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<place>[^,]*)")
_MOUNTS = {
    **dict.fromkeys(("gs", "gcs"), "gcsfuse --implicit-dirs"),
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
}


def run_command(command: Callable[[], None], *, remote: Collection[str] = ()) -> int:
    """Runs a command to its end and returns its exit status.

    Addresses on its command line are refused first, see `refuse_remote`: to the system
    `gs://bucket/run` is a folder that is called `gs:`, and would be made. They may be given to the
    flags that `remote` names.

    A UserError is told in one line on standard error, and so is an OSError, which is about the
    machine: a full disk, a folder that is closed. Everything else is a bug and goes on.
    """
    try:
        _check_streams()
        refuse_addresses(sys.argv[1:], remote=remote)
        command()
        # Here and not at exit, where Python could only complain that it failed.
        sys.stdout.flush()
    except BrokenPipeError:
        status = 1  # Whoever reads has seen enough, as `head` does: there is nothing to tell.
    except UsageError as error:
        status = _tell(str(error), 2)
    except UserError as error:
        status = _tell(str(error), 1)
    except OSError as error:
        if error.errno is None:
            raise
        status = _tell(f"{error.filename or 'standard output or a file'}: {error.strerror}", 1)
    except KeyboardInterrupt:
        status = _tell("interrupted", 130)
    else:
        return 0
    _drop_unwritten()
    return status


def program(command: str) -> str:
    """What its usage calls a command, as it was typed: `grel NAME` or `python -m grel.NAME`."""
    typed = f"grel {command}"
    return typed if sys.argv[0] == typed else f"python -m grel.{command}"


def refuse_remote(text: str, error: type[UserError] = UserError) -> None:
    """Raises an error that says what to mount where an address, as of a bucket, stands in `text`.

    Locks, renames and appending are what runs and outputs stand on, and object stores lack them.
    """
    found = _ADDRESS.search(text)
    if found is None:
        return
    place = f"/mnt/{found['place']}"
    if mount := _MOUNTS.get(found["scheme"].lower()):
        bucket = found["place"].partition("/")[0]
        remedy = f"mount the bucket, as by `{mount} {bucket} /mnt/{bucket}`, and name {place}"
    else:
        remedy = "mount it, or copy it here, and name that place"
    raise error(
        f"{text}: files and folders are those of this machine; {remedy} "
        "(docs/CORPORA_AT_SCALE.md says what holds there)"
    )


def refuse_addresses(argv: Iterable[str], *, remote: Collection[str] = ()) -> None:
    """Raises UsageError where a flag has an address that may not have one; see `run_command`."""
    flag = ""
    for argument in argv:
        if argument.startswith("-"):
            flag = argument.lstrip("-").partition("=")[0]
        if flag not in (*_NO_PATHS, *remote):
            refuse_remote(argument, UsageError)


def path_argument(text: str) -> str:
    """`text`, as argparse's `type` of a path: empty, it would mean the folder one happens to be in.

    Raises argparse.ArgumentTypeError.
    """
    if not text:
        raise argparse.ArgumentTypeError(EMPTY_PATH)
    return text


def expand_home(path: str | Path) -> Path:
    """The path, with the home folder in place of a `~` that it begins with.

    A shell leaves that of `--config.FIELD=~/x` as it is. Raises UserError where there is none.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: there is no such home folder; write the path out") from None


EMPTY_PATH = "it is empty; name a path, or . for the current folder"


def _check_streams() -> None:
    # Python has None for a stream that is closed, and the next file to be opened takes its number,
    # so that other libraries would write into that file what is meant for the stream.
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        raise UserError("standard output is closed; send it to a file, or to /dev/null")


def _drop_unwritten() -> None:
    """Drops what standard output does not take: at exit Python would try again, and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(problem: str, status: int) -> int:
    print("error:", *map(str.strip, problem.splitlines()), file=sys.stderr)
    return status
