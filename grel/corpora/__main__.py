"""Command line: a split of a corpus as records, for what reads JSONL: tables, scores, statistics.

    python -m grel.corpora --config=configs/lookup.py:nyt24-reduced \\
        --config.data.manual_dir=DIR --split=train --output=train.jsonl

The recipe says which corpus; of training and validation `--config.data.num_train` and
`--config.data.num_validation` take the first, as in a run.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping
from typing import Any

import ml_collections
from absl import flags

from grel import recipes
from grel.corpora import builders, sources
from grel.corpora.synthetic import SPLITS
from grel.errors import EMPTY_PATH, UsageError
from grel.files.writing import refuse_overwriting
from grel.records import write_jsonl

_SPLIT = flags.DEFINE_enum("split", "train", SPLITS, "Which split to write.")
_OUTPUT = flags.DEFINE_string("output", "-", "JSONL file to write; - is stdout.")
flags.register_validator("output", lambda given: given != "", EMPTY_PATH)


def _run(config: ml_collections.ConfigDict | None, fields: Mapping[str, Any]) -> None:
    del fields  # set already
    if config is None:
        raise UsageError("--config is missing: a recipe, such as configs/lookup.py:nyt24")
    data = config.data
    files = builders.raw_files(data.name, data.variant, manual_dir=data.manual_dir or None)
    refuse_overwriting(itertools.chain.from_iterable(files.values()), [_OUTPUT.value])
    write_jsonl(_OUTPUT.value, sources.load_split(data, _SPLIT.value, limited=True))


def main() -> int:
    """Runs the command of `sys.argv` and returns its exit status."""
    return recipes.run(_run, default=lambda _: None, help="Recipe whose config.data is meant.")


if __name__ == "__main__":
    sys.exit(main())
