#!/usr/bin/env bash
# Trains and evaluates every system of the paper's tables on one corpus, and makes the tables.
#
#   bash launch/paper_tables.sh --corpus=nyt24-reduced --data=DIR [--systems=worddec,ptdec]
#     [--seeds=0,1,2] [--scale=full|small] [--split=test] [--output=runs/paper]
#     [--config.FIELD=VALUE ...] [--dry_run]
#
# Corpora are nyt24, nyt24-reduced, nyt29, nyt29-reduced, webnlg and jsonl. Systems are lookup,
# copyre, copymtl, mrmep, ptdec, worddec (which is evaluated as LSTM too), lstm_copy and pretrained
# (with and without copying), all unless --systems names some; it may also name copyre_one,
# copymtl_one and lstm. pretrained is UniLM base at full scale and MiniLM at small scale, and is
# left out where weights/ does not have it. Small models train on two CPU cores in minutes on a few
# thousand sentences.
#
# --config.FIELD=VALUE is for the training of all systems named, which must have the field; fields of
# data and eval are for their evaluations too. The look-up gets the few that it has.
#
# What is done is not done again, so that the same command goes on after an interruption. Runs are
# in OUTPUT/SYSTEM-SEED, the training records in OUTPUT/train.jsonl, tables in OUTPUT/tables.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/dry_run.sh

fail() {
  echo "paper_tables: error: $1" >&2
  exit 2
}

corpus="" data="" systems="" seeds=0 scale=small split=test output=runs/paper
fields=()
for arg; do
  value=${arg#*=}
  case $arg in
    --corpus=*) corpus=$value ;;
    --data=*) data=$value ;;
    --systems=*) systems=$value ;;
    --seeds=*) seeds=$value ;;
    --scale=full | --scale=small) scale=$value ;;
    --split=*) split=$value ;;
    --output=*) output=$value ;;
    --config.*=*) fields+=("$arg") ;;
    *) fail "unknown argument $arg; see --help" ;;
  esac
done
[[ $corpus ]] || fail "--corpus=NAME is missing; see --help"
[[ $data ]] || fail "--data=DIR is missing: the folder with the raw files of the corpus"

if [[ $scale == full ]]; then
  pretrained=configs/unilm.py:base-$corpus weights=weights/unilm1-base-cased.bin size=""
else
  pretrained=configs/minilm.py:$corpus weights=weights/minilm size=-small
fi
if [[ ! $systems ]]; then
  systems=lookup,copyre,copymtl,mrmep,ptdec,worddec,lstm_copy
  if [[ -e $weights ]]; then
    systems+=,pretrained
  else
    echo "paper_tables: there is no $weights, so pretrained is left out" >&2
  fi
fi

IFS=, read -ra systems <<<"$systems"
IFS=, read -ra seeds <<<"$seeds"
known=lookup,copyre,copyre_one,copymtl,copymtl_one,mrmep,ptdec,worddec,lstm,lstm_copy,pretrained
for system in "${systems[@]}"; do
  [[ ,$known, == *",$system,"* ]] ||
    fail "there is no system '$system'; --systems names some of $known"
done

run bash launch/setup.sh
grel=(.venv/bin/python -m grel.main)
total=$((${#systems[@]} * ${#seeds[@]}))
started=$SECONDS trained=0 number=0
folders=()

# Evaluates a run under a name, unless that was done. Where data lies is said again: a run does not
# tell where to write, and its raw files may have moved since.
evaluate() {
  local name=$1 field
  local command=("${grel[@]}" --mode=eval --workdir="$workdir" --config.data.manual_dir="$data")
  shift
  folders+=("$workdir/eval/$name")
  for field in "${of_run[@]}"; do
    if [[ $field == --config.@(data|eval).* ]]; then command+=("$field"); fi
  done
  if $dry_run || [[ ! -e $workdir/eval/$name/metrics.json ]]; then
    run "${command[@]}" --config.eval.split="$split" --config.eval.name="$name" "$@"
  fi
}

for seed in "${seeds[@]}"; do
  for system in "${systems[@]}"; do
    number=$((number + 1))
    workdir=$output/$system-$seed
    of_run=(--config.seed="$seed" "${fields[@]}")
    if [[ $system == lookup ]]; then
      # It has no seed, and few of the fields of others.
      [[ $seed == "${seeds[0]}" ]] || continue
      of_run=()
      for field in "${fields[@]}"; do
        if [[ $field == --config.@(data.data_dir|data.num_*|eval.checkpoint|eval.protocol)=* ]]; then
          of_run+=("$field")
        fi
      done
    fi
    left=""
    if ((trained > 0)); then
      left=", about $(((SECONDS - started) * (total - number + 1) / trained / 60)) minutes left"
    fi
    echo "paper_tables: $system, seed $seed: $number of $total$left" >&2
    case $system in
      lookup) recipe=configs/lookup.py:$corpus ;;
      pretrained) recipe=$pretrained ;;
      *) recipe=configs/paper.py:$system-$corpus$size ;;
    esac
    if $dry_run || [[ ! -e $workdir/eval/$split/metrics.json ]]; then
      run "${grel[@]}" --mode=train --config="$recipe" --workdir="$workdir" \
        --config.data.manual_dir="$data" "${of_run[@]}"
      # The look-up's seconds say nothing of the others' time.
      if [[ $system == lookup ]]; then started=$SECONDS; else trained=$((trained + 1)); fi
    fi
    evaluate "$split"
    case $system in
      worddec) evaluate "${split}_lstm" --config.decoding.copy=off ;;
      pretrained)
        evaluate "${split}_copy_off" --config.decoding.copy=off \
          --config.decoding.structure=off
        ;;
    esac
  done
done

of_corpus=(--config.data.manual_dir="$data")
for field in "${fields[@]}"; do
  if [[ $field == --config.data.@(data_dir|num_train)=* ]]; then of_corpus+=("$field"); fi
done
run .venv/bin/python -m grel.corpora --config=configs/lookup.py:"$corpus" "${of_corpus[@]}" \
  --split=train --output="$output/train.jsonl"
IFS=,
run .venv/bin/python -m grel.tables --workdirs="${folders[*]}" --split="$split" \
  --data="$output/train.jsonl" --output="$output/tables"
