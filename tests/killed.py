"""Kills a prediction at every step of its file work, starts it again, and compares the outputs.

Run as a process of its own, because it forks, and a process with JAX in it can't. Prints how often
it killed; fails where an output differs or more than a chunk was extracted twice.
"""

import os
import signal
import sys
from pathlib import Path

from grel.extraction.predict import predict
from tests.fakes import FakeExtractor

assert "jax" not in sys.modules
CHUNK = 4
WATCHED = ("fsync", "replace", "unlink")


def _run(folder, kill_at=None):
    """Predicts in a forked process that may die at a step: the ids extracted, and whether it ended.

    There is a step before and one after every call that changes files.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        with os.fdopen(reader) as pipe:
            ids = pipe.read().split()
        _, status = os.waitpid(child, 0)
        return ids, status == 0
    steps = iter(range(10**6))

    def step():
        if next(steps) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(call):
        def wrapper(*args, **kwargs):
            step()
            result = call(*args, **kwargs)
            step()
            return result

        return wrapper

    for name in WATCHED:
        setattr(os, name, watched(getattr(os, name)))
    extractor = FakeExtractor()
    extract = extractor._extract

    def telling(document):
        os.write(writer, f"{document.id} ".encode())
        return extract(document)

    extractor._extract = telling
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    predict(
        *(extractor, str(folder / "in.txt"), str(folder / "out")),
        trace=str(folder / "trace"),
        on_error=lambda error: None,
        chunk_size=CHUNK,
    )
    os._exit(0)


def main(folder):
    """Kills at step 0, 1, ... until there are no more steps."""
    lines = ["", *(f"Ann {n} cut Oslo" for n in range(10)), " ", "Bo Rome"]
    (folder / "in.txt").write_text("".join(f"{line}\n" for line in lines))
    _, done = _run(folder)
    assert done
    expected = {name: (folder / name).read_bytes() for name in ("out", "trace")}
    assert expected["out"].count(b"\n") == 11
    kills = 0
    while True:
        for name in expected:
            (folder / name).unlink()
        first, done = _run(folder, kills)
        if done:
            break
        complete = {entry.name for entry in folder.iterdir()} == {"in.txt", *expected}
        again, done = _run(folder)
        assert done
        assert {entry.name for entry in folder.iterdir()} == {"in.txt", *expected}
        assert {name: (folder / name).read_bytes() for name in expected} == expected
        assert complete or len(first) + len(again) <= 11 + CHUNK
        kills += 1
    print(kills)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
