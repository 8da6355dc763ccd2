"""The notebook: kept without outputs, and every cell runs, at a tiny size."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs/own_data.ipynb"
GREL = "#!{python}\nimport sys\nfrom grel.cli import main\nsys.exit(main())\n"


def test_it_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow
def test_it_runs(tmp_path):
    for package in ("nbmake", "ipykernel", "pandas"):
        reason = f"{package} is not installed: bash launch/setup.sh --tests"
        pytest.importorskip(package, reason=reason)
    shutil.copy(NOTEBOOK, tmp_path)
    grel = tmp_path / "bin/grel"
    grel.parent.mkdir()
    grel.write_text(GREL.format(python=sys.executable))
    grel.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{grel.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "JAX_NUM_CPU_DEVICES": "1",
        "SENTENCES": "80",
        "EPOCHS": "1",
    }
    command = [sys.executable, "-m", "pytest", "--nbmake", "--nbmake-timeout=1200", "-p"]
    done = subprocess.run(
        [*command, "no:cacheprovider", NOTEBOOK.name],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert (tmp_path / "own_data/to_correct.jsonl").stat().st_size > 0
