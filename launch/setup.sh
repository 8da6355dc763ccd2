#!/usr/bin/env bash
# Makes .venv in the checkout and installs the pinned packages into it.
#
#   bash launch/setup.sh [--tests] [--torch] [--jax=cuda12|cuda13|tpu] [--uv] [--dry_run]
#
# --tests adds what the tests need, --torch the PyTorch that benchmarks and some tests compare with,
# --jax the accelerator's part of the pinned JAX. A new .venv is made with $PYTHON, or else with the
# first of python3, python3.13, python3.12, python3.11 that is 3.11 or newer. Where none is, --uv
# has uv bring Python 3.12, and an older Python's pip uv.
#
# .venv/.complete lists what is installed. It is written last, and removed before anything changes:
# a .venv without it was left half-finished and is made anew, as is one whose Python is gone or
# whose requirements.txt has changed. Where nothing is missing, nothing is done.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/dry_run.sh

fail() {
  echo "setup: error: $*" >&2
  exit 1
}

parts=(requirements.txt)
uv=false by_uv=false
for arg; do
  case $arg in
    --uv) uv=true ;;
    --tests) parts+=(tests/requirements.txt) ;;
    --torch) parts+=(tests/benchmarks/requirements.txt) ;;
    --jax=cuda12 | --jax=cuda13 | --jax=tpu) parts+=("jax[${arg#--jax=}]") ;;
    *)
      fail "unknown argument $arg; there are --tests, --torch, --jax=cuda12|cuda13|tpu, --uv and" \
        "--dry_run"
      ;;
  esac
done

# The lines of .venv/.complete that stand for these parts.
lines() {
  local part
  .venv/bin/python -c 'import sys; print("Python", *sys.version_info[:2])' 2>/dev/null || return
  for part; do
    if [[ -f $part ]]; then cksum "$part"; else echo "$part"; fi
  done
}

# Whether .venv works and has these parts.
has() {
  local expected line
  expected=$(lines "$@") || return
  while IFS= read -r line; do
    grep -qxF -- "$line" .venv/.complete 2>/dev/null || return
  done <<<"$expected"
}

find_python() {
  local name candidates=(python3 python3.13 python3.12 python3.11)
  [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
  for name in "${candidates[@]}"; do
    # The real path, for python3 may be the very .venv that is about to be made anew.
    python=$("$name" -c 'import os, sys
if sys.version_info < (3, 11): sys.exit(1)
print(os.path.realpath(sys.executable))' 2>/dev/null) && return
  done
  # One of any version can take the lock, and install uv.
  if $uv && python=$(command -v python3); then
    by_uv=true
    return
  fi
  fail "no Python 3.11 or newer: tried ${candidates[*]}; install one, name it, as in" \
    "PYTHON=/path/to/python3 bash launch/setup.sh, or let --uv bring one"
}

# Waits for other runs of this script. The lock belongs to the open file, which the shell and the
# commands it starts keep open, so it ends with the last of them, however that ends.
lock() {
  exec 9<>launch/setup.sh
  "$python" -c 'import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("setup: another one is at work, waiting for it", file=sys.stderr, flush=True)
    fcntl.flock(9, fcntl.LOCK_EX)'
}

make_venv() {
  local pip=(-m pip --python .venv/bin/python install --quiet --disable-pip-version-check pip)
  if $by_uv; then
    local uv_in=$HOME/.cache/grel/uv
    # Into a folder of its own, since a system's Python may not want packages beside its own.
    run "$python" -m pip install --quiet --disable-pip-version-check --upgrade \
      --target="$uv_in" uv || fail "pip cannot install uv, for the reason above"
    run env PYTHONPATH="$uv_in" "$python" -m uv venv --quiet --clear --seed --python=3.12 .venv ||
      fail "uv cannot bring Python 3.12, for the reason above"
  elif "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    run rm -rf .venv
    run "$python" -m venv .venv
  elif "$python" -c 'import pip, venv' 2>/dev/null; then
    # Debian's python3 and python3-pip without python3-venv.
    run rm -rf .venv
    run "$python" -m venv --without-pip .venv
    run "$python" "${pip[@]}"
  else
    fail "$python lacks venv, or both ensurepip and pip; on Debian and Ubuntu:" \
      "apt-get install python3-venv"
  fi
}

install() {
  run .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@" ||
    fail "pip failed, for the reason above; mend it and run this again"
}

if has "${parts[@]}"; then exit; fi
find_python
$dry_run || lock
if has "${parts[@]}"; then exit; fi # the other one has done it

$dry_run || echo "setup: installing ${parts[*]} into .venv, which takes a few minutes" >&2
if ! has requirements.txt; then make_venv; fi
# pip asks for the hashes of all that one call installs, or of nothing. Files of PyTorch and of the
# accelerators' parts differ from place to place: they come second, and find the pinned packages.
pinned=() others=()
for part in "${parts[@]}"; do
  case $part in
    tests/benchmarks/requirements.txt) others+=(-r "$part") ;;
    *.txt) pinned+=(-r "$part") ;;
    *) others+=("$part") ;;
  esac
done
run rm -f .venv/.complete
install "${pinned[@]}"
if ((${#others[@]} > 0)); then install "${others[@]}"; fi
if $dry_run; then exit; fi
lines "${parts[@]}" >.venv/.complete.new
mv .venv/.complete.new .venv/.complete
echo "setup: done in $SECONDS s" >&2
