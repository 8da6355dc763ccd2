#!/usr/bin/env bash
# Writes the pinned requirement files from the .in files: one set for Python 3.11 to 3.13 and every
# platform, with the hashes of all its files. Pins that still fit are kept; arguments go to uv.
#
#   bash launch/pin.sh [--upgrade] [--upgrade-package=NAME] [--dry_run]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/dry_run.sh

if ! $dry_run && ! command -v uv >/dev/null; then
  echo "pin: error: uv is not on PATH; pip install uv" >&2
  exit 1
fi

# The order matters: the tests' pins are constrained by the first file's. Headers and indexes stay
# out, since they would name the machine and the registry that the files were made with.
for name in requirements tests/requirements; do
  run uv pip compile --universal --python-version=3.11 --no-header --no-annotate \
    --generate-hashes --no-emit-index-url --no-emit-find-links "$@" \
    "$name.in" --output-file="$name.txt"
done
