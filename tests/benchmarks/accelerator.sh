#!/usr/bin/env bash
# All that RESULTS.md wants to know of an accelerator, within ten minutes on one GPU or TPU:
#
#   bash tests/benchmarks/accelerator.sh [--tiny] [--dry_run]
#
# Train steps of base and large in bfloat16 with and without dropout on attention, decoding at 256
# sources, the head that points against the vocabulary, starting. Where PyTorch is, also its compiled
# train step and transformers' generate on the same device. --tiny shows that it runs through, on
# any machine, with sizes that say nothing.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
source launch/dry_run.sh

base="--layers=12 --hidden=768 --heads=12 --dtype=bfloat16 --scan_layers"
large="--layers=24 --hidden=1024 --heads=16 --dtype=bfloat16 --scan_layers"
rows=64
step="--length=128 --rounds=10"
decode="--batch=256 --source=64 --target=128 --fixed=32 --rounds=3"
start="--rounds=1"
if [[ ${1-} == --tiny ]]; then
  base="--layers=1 --hidden=32 --heads=2 --vocab_size=500 --dtype=bfloat16 --scan_layers"
  large="$base"
  rows=8
  step="--length=16 --rounds=1"
  decode="--batch=4 --source=12 --target=8 --fixed=4 --rounds=1"
  start="--rounds=1 --batch=16 --target=8 --buckets 16"
  shift
fi
if (($#)); then
  echo "accelerator.sh: unknown arguments: $*" >&2
  exit 2
fi

python=.venv/bin/python
status=0

# A benchmark that fails must not cost the others.
measure() {
  $dry_run || echo "== $*"
  run "$python" -m "tests.benchmarks.$1" "${@:2}" || status=1
}

# shellcheck disable=SC2086 # the sizes are several arguments each
{
  measure train_step $base --batch=$((2 * rows)) $step --fused --compile
  measure train_step $large --batch=$rows $step --fused --compile
  measure heads $base --train_batch=$((2 * rows)) $decode
  if "$python" -c "import torch" 2>/dev/null; then
    measure decode_transformers $base $decode
  else
    echo "no PyTorch: pip install -r tests/benchmarks/requirements.txt, to compare with it" >&2
  fi
  measure startup $base $start
}
$dry_run || echo "accelerator.sh: $SECONDS s" >&2
exit $status
