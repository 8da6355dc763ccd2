#!/usr/bin/env bash
# Lints and tests. Arguments go to pytest.
#
#   bash launch/test.sh [-m slow] [tests/test_records.py ...] [--dry_run]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/dry_run.sh

run bash launch/setup.sh --tests
run .venv/bin/python -m ruff check .
run .venv/bin/python -m ruff format --check .
run .venv/bin/python -m mypy
# A file stays in one process, whose fixtures compile what its tests share; tests/conftest.py says
# which come first.
run .venv/bin/python -m pytest -n auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder "$@"
