#!/usr/bin/env bash
# The main job: trains configs/demo.py on this machine, evaluates it with the copy mechanism off and
# on, and extracts triples from a few test sentences.
#
#   bash launch/local.sh [--workdir=DIR] [--config.FIELD=VALUE ...] [--dry_run]
#
# A run that was stopped goes on where it was. Where training is asked to stop it saves and ends
# with status 75, and so does this script, without evaluating. Both evaluations are of the test
# split, whatever --config.eval.split says, and are kept, in DIR/eval: test_copy_off and test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/dry_run.sh

workdir=runs/demo
for arg; do
  shift
  case $arg in
    --workdir=*) workdir=${arg#*=} ;;
    --config.*=*) set -- "$@" "$arg" ;;
    *)
      echo "local: error: unknown argument $arg; there are --workdir=DIR, --config.FIELD=VALUE" \
        "and --dry_run" >&2
      exit 2
      ;;
  esac
done

run bash launch/setup.sh
grel=(.venv/bin/python -m grel.main)
run "${grel[@]}" --mode=train --config=configs/demo.py --workdir="$workdir" "$@"

# The run keeps the fields that it was trained with, and what follows reads these two folders.
evaluate=("${grel[@]}" --mode=eval --workdir="$workdir" --config.eval.split=test)
run "${evaluate[@]}" --config.decoding.copy=off --config.decoding.structure=off \
  --config.eval.name=test_copy_off
run "${evaluate[@]}" --config.eval.name=test

printf -v quoted '%q' "$workdir"
predict="${grel[*]} --mode=predict --workdir=$quoted --output=$quoted/extracted.jsonl"
run bash -o pipefail -c "head -n 3 $quoted/eval/test/gold.jsonl | $predict"
run .venv/bin/python launch/summary.py "$workdir"
