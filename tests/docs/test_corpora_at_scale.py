"""docs/CORPORA_AT_SCALE.md: its lines for Spark run."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from tests.command import Command

ROOT = Path(__file__).parents[2]
_SPARK = """
import sys
from pyspark.sql import SparkSession
RUN, INPUT, OUTPUT = sys.argv[1:]
spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
table = spark.read.schema("id string, text string").json(INPUT).repartition(2)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("pyspark") is None, reason="needs Java and pip install pyspark"
)
def test_the_lines_for_spark_write_what_predict_writes(tmp_path):
    page = (ROOT / "docs" / "CORPORA_AT_SCALE.md").read_text()
    [lines] = re.findall(r"```python\n(.*?)```", page.partition("## Spark")[2], re.DOTALL)
    script = tmp_path / "script.py"
    script.write_text(_SPARK + lines)
    source = tmp_path / "corpus" / "train.jsonl"
    with Command() as main:
        run = tiny.train(main, tmp_path)
        done = main(
            "--mode=predict",
            f"--workdir={run}",
            f"--input={source}",
            "--config.decoding.structure=on",
        )
    subprocess.run(
        [sys.executable, script, run, source, tmp_path / "out"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable}
        | {"JAX_NUM_CPU_DEVICES": "1"},
        check=True,
    )
    found = [line for p in (tmp_path / "out").glob("part-*") for line in p.read_text().splitlines()]

    def by_id(lines):
        # Scores differ in the last digits: XLA compiles for other batches.
        records = (json.loads(line, parse_float=lambda s: round(float(s), 4)) for line in lines)
        return {record["id"]: record for record in records}

    expected = by_id(done.stdout.splitlines())
    assert len(found) == len(expected) == 48
    assert sum(len(record["triples"]) for record in expected.values()) > 20
    assert by_id(found) == expected
