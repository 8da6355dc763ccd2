#!/usr/bin/env bash
# Makes the reference of grel's modules, one page each, from their docstrings:
#
#   bash launch/docs.sh [FOLDER] [--dry_run]
#
# into FOLDER, site/ by default; site/index.html is where to begin. Commands have --help instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/dry_run.sh

if (($# > 1)); then
  echo "docs.sh: unknown arguments: ${*:2}" >&2
  exit 2
fi

run bash launch/setup.sh --tests
run .venv/bin/python -m pip install --quiet --disable-pip-version-check pdoc==16.0.0

# A command's flags are the process's, so that two of them can't be imported together; Ray is not
# brought along.
without='flags\.DEFINE|^import ray'
mapfile -t files < <(find grel -name '*.py' ! -name __main__.py | sort | xargs grep -LE "$without")
modules=("${files[@]%.py}")
modules=("${modules[@]%/__init__}")
run .venv/bin/python -m pdoc --docformat google --output-directory "${1-site}" "${modules[@]//\//.}"
