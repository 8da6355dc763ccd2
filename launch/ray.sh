#!/usr/bin/env bash
# Extracts triples on a Ray cluster: sends it the committed checkout and starts grel.ray there.
#
#   bash launch/ray.sh --address=http://HEAD:8265 [--jax=cuda12|cuda13|tpu] [--dry_run] \
#     --workdir=/mnt/shared/runs/nyt24 --input=s3://bucket/texts --output=s3://bucket/triples \
#     [--num_actors=N] [--config.decoding.FIELD=VALUE ...]
#
# The other arguments are those of grel.ray. The work folder must be on storage that all machines of
# the cluster mount. `ray` must be on the PATH, in the cluster's version: pip install 'ray[default]'.
# The machines install requirements.txt once, beside the Ray that they have, and what --jax adds. The
# job outlives this script: `ray job logs` and `ray job stop` take the name that is printed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/dry_run.sh

address=""
# shellcheck disable=SC2016 # Ray knows the folder
packages='"-r ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/requirements.txt"'
for arg; do
  shift
  case $arg in
    --address=*) address=${arg#*=} ;;
    --jax=cuda12 | --jax=cuda13 | --jax=tpu) packages+=", \"jax[${arg#--jax=}]\"" ;;
    *) set -- "$@" "$arg" ;;
  esac
done
if [[ -z $address ]]; then
  echo "ray: error: --address=http://HEAD:8265 says which cluster" >&2
  exit 2
fi

git diff --quiet HEAD || echo "ray: note: changes that are not committed are not sent" >&2
run mkdir -p runs
run git archive --format=zip --output=runs/grel.zip HEAD
run ray job submit --address="$address" --working-dir=runs/grel.zip \
  --runtime-env-json="{\"pip\": {\"packages\": [$packages]}}" -- python -m grel.ray "$@"
