#!/usr/bin/env bash
# Trains on all workers of a TPU VM pod: sends them the committed checkout, sets it up and starts
# the same command on each.
#
#   bash launch/tpu_pod.sh --tpu=NAME --zone=ZONE [--project=ID] [--dry_run] \
#     --config=configs/bert.py:nyt24 --workdir=/mnt/shared/runs/nyt24 [--config.FIELD=VALUE ...]
#
# The work directory must be on storage that all workers mount, such as Filestore or a mounted
# bucket, and corpora that a recipe reads must be at the same path on each. Workers need Python 3.11
# or newer; where the image has an older one, install it first with the same kind of command.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/dry_run.sh

tpu=""
where=()
for arg; do
  shift
  case $arg in
    --tpu=*) tpu=${arg#*=} ;;
    --zone=* | --project=*) where+=("$arg") ;;
    *) set -- "$@" "$arg" ;;
  esac
done
if [[ -z $tpu || ${#where[@]} == 0 ]]; then
  echo "tpu_pod: error: --tpu=NAME and --zone=ZONE say which pod" >&2
  exit 2
fi

train="rm -rf grel/grel grel/configs && mkdir -p grel && tar -xzf grel.tar.gz -C grel && cd grel &&\
 bash launch/setup.sh --jax=tpu &&\
 .venv/bin/python -m grel.main --mode=train --distributed${1:+$(printf ' %q' "$@")}"

git diff --quiet HEAD || echo "tpu_pod: note: changes that are not committed are not sent" >&2
run mkdir -p runs
run git archive --format=tar.gz --output=runs/grel.tar.gz HEAD
run gcloud compute tpus tpu-vm scp runs/grel.tar.gz "$tpu:" "${where[@]}" --worker=all
run gcloud compute tpus tpu-vm ssh "$tpu" "${where[@]}" --worker=all --command="$train"
