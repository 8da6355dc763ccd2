"""The command that checks the checkpoints of a run."""

import contextlib
import os
import shutil

import numpy as np

from grel import checkpoint
from grel.runs.checkpoint import Checkpoints


def test_the_command_names_every_fault(tmp_path, capsys):
    folder = tmp_path / "checkpoints"
    with contextlib.closing(Checkpoints(folder, keep=2)) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, {"w": np.ones(2, np.float32)}, {"step": np.int32(7)}, {})
    Checkpoints(tmp_path / "best").close()
    assert checkpoint.main([f"--verify={tmp_path}"]) == 0
    assert capsys.readouterr().out == ""
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    shutil.rmtree(folder / "2" / "params")
    about = next((folder / "3" / "about").rglob("metadata"))
    os.truncate(about, 9)
    assert checkpoint.main([f"--verify={tmp_path}"]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{folder}/2: ")
    assert second.startswith(f"{folder}/3: ")
    left = {path for path in before if path.exists()}
    assert set(tmp_path.rglob("*")) == left  # nothing is made or renamed
    assert checkpoint.main([f"--verify={tmp_path}/none"]) == 1
    assert "no checkpoints here" in capsys.readouterr().out
