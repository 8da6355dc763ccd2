#!/usr/bin/env bash
# Trains on the workers of TPU VMs: from the request for them to the end of the run.
#
#   bash launch/tpu_pod.sh create --tpu=NAME --zone=ZONE [--project=ID]
#     --accelerator-type=v5litepod-16 --runtime-version=v2-alpha-tpuv5-lite
#     [--spot | --reserved] [--slices=2]
#   bash launch/tpu_pod.sh start --tpu=NAME --zone=ZONE --config=configs/bert.py:nyt24
#     --workdir=/mnt/shared/nyt24 [--prepare=FILE] [--config.FIELD=VALUE ...]
#   bash launch/tpu_pod.sh logs --tpu=NAME --zone=ZONE [--node=0] [--worker=0]
#   bash launch/tpu_pod.sh status|stop|delete --tpu=NAME --zone=ZONE
#   bash launch/tpu_pod.sh watch, with the arguments of create and start
#
# create requests a queued resource and waits until it is active. start sends all workers the
# committed checkout and sets them up, with a Python by uv where the image's is older than 3.11; the
# run belongs to systemd there, outlives the connection, and starts again when it ends otherwise
# than well (20 times an hour at most) and when its machine has been restarted. Spot VMs that were
# preempted are gone for good: watch requests them anew and starts the run again, until it has
# ended, and tries again what fails. It may itself be ended and started at any time, from any
# machine.
#
# The work folder must be on storage that all workers mount, such as Filestore, and the corpora that
# a recipe reads at the same path on each. FILE is a bash script that every worker runs before each
# start, to mount them. --slices=2 requests so many of the type (multislice). --internal-ip and
# --tunnel-through-iap say how workers are reached; --internal-ips, --network, --subnetwork,
# --service-account, --data-disk, --labels and --valid-until-duration go to the request. With
# --dry_run commands are printed and not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/dry_run.sh

fail() {
  echo "tpu_pod: error: $1" >&2
  exit "${2:-2}"
}

actions="create, start, watch, logs, status, stop or delete"
action=${1:-}
case $action in
  create | start | watch | logs | status | stop | delete) shift ;;
  *) fail "the first argument is '$action'; it must be $actions" ;;
esac

tpu="" slices=1 prepare="" node=0 worker=0
where=() reach=() request=()
for arg; do
  shift
  if [[ $action != logs && $arg =~ ^--(node|worker)= ]]; then
    fail "$arg: logs are those of one worker, but $action is of all"
  fi
  case $arg in
    --tpu=*) tpu=${arg#*=} ;;
    --slices=*) slices=${arg#*=} ;;
    --prepare=*) prepare=${arg#*=} ;;
    --node=*) node=${arg#*=} ;;
    --worker=*) worker=${arg#*=} ;;
    --zone=* | --project=*) where+=("$arg") ;;
    --internal-ip | --tunnel-through-iap) reach+=("$arg") ;;
    --accelerator-type=* | --runtime-version=* | --spot | --reserved | --internal-ips | \
      --network=* | --subnetwork=* | --service-account=* | --data-disk=* | --labels=* | \
      --valid-until-duration=*) request+=("$arg") ;;
    *) set -- "$@" "$arg" ;;
  esac
done
[[ $tpu && " ${where[*]-}" == *" --zone="* ]] || fail "--tpu=NAME and --zone=ZONE say which pod"
[[ $slices =~ ^[1-9][0-9]*$ ]] || fail "--slices=$slices: it must be a number from 1 on"
[[ ! $prepare || -f $prepare ]] || fail "--prepare=$prepare: there is no such file"
if [[ $action == create || $action == watch ]]; then
  for flag in --accelerator-type --runtime-version; do
    [[ " ${request[*]-}" == *" $flag="* ]] || fail "$flag=... is missing; see --help"
  done
fi
if [[ $action != start && $action != watch && $# != 0 ]]; then
  fail "unknown argument $1; see --help"
fi

queued=(gcloud compute tpus queued-resources)
staging=runs/tpu_pod/$tpu

# Runs a command on all workers, or on those that flags name.
on_workers() {
  local command=$1
  shift
  [[ $# != 0 ]] || set -- --node=all --worker=all
  run "${queued[@]}" ssh "$tpu" "${where[@]}" ${reach[@]+"${reach[@]}"} "$@" --command="$command"
}

# The state of the request; empty where there is none, and UNKNOWN where nobody says.
ask=("${queued[@]}" list "${where[@]}" --filter="name~/$tpu\$" --format="value(state.state)")
state() {
  "${ask[@]}" 2>/dev/null || echo UNKNOWN
}

request() {
  local nodes=(--node-id="$tpu")
  [[ $slices == 1 ]] || nodes=(--node-count="$slices" --node-prefix="$tpu")
  run "${queued[@]}" create "$tpu" "${where[@]}" "${nodes[@]}" "${request[@]}"
}

wait_until_active() {
  local state before=""
  until $dry_run; do
    state=$(state)
    case $state in
      ACTIVE) return ;;
      FAILED | SUSPENDING | SUSPENDED) fail "$tpu is $state; delete it, and create it anew" 1 ;;
    esac
    [[ $state == "$before" ]] || echo "tpu_pod: $tpu is $state, waiting" >&2
    before=$state
    sleep 30
  done
  show "${ask[@]}"
}

# The arguments of the run are a file with a zero byte after each: no shell reads them again.
start() {
  local files=("$staging/grel.tar.gz" "$staging/grel.args")
  [[ ! $prepare ]] || files+=("$staging/grel.prepare")
  git diff --quiet HEAD || echo "tpu_pod: note: changes that are not committed are not sent" >&2
  # A chain, since `set -e` is off where watch calls this: after a copy that failed workers would
  # start what an earlier one has left.
  # shellcheck disable=SC2016 # the inner shell is to expand these
  run mkdir -p "$staging" &&
    run git archive --format=tar.gz --output="$staging/grel.tar.gz" HEAD &&
    run bash -c 'printf "%s\0" "${@:2}" >"$1"' - "$staging/grel.args" "$@" &&
    { [[ ! $prepare ]] || run cp "$prepare" "$staging/grel.prepare"; } &&
    # One that is there from another start must not go on under the new files, nor pass for this.
    on_workers "sudo systemctl stop grel 2>/dev/null; sudo rm -f /etc/systemd/system/grel.service;\
 sudo systemctl daemon-reload; rm -rf grel/grel grel/configs grel.prepare; mkdir -p grel" &&
    run "${queued[@]}" scp "${files[@]}" "$tpu:" "${where[@]}" ${reach[@]+"${reach[@]}"} \
      --node=all --worker=all &&
    on_workers "tar -xzf grel.tar.gz -C grel && bash grel/launch/tpu_node.sh start"
}

delete() {
  run "${queued[@]}" delete "$tpu" "${where[@]}" --force --quiet
}

# What each worker says of the run, a line each.
ask_workers() {
  on_workers "if [ -e grel/launch/tpu_node.sh ]; then bash grel/launch/tpu_node.sh state;\
 else echo none; fi"
}

# What they say together. Without one of them there is no run; one that has ended holds up the
# others; and none has finished before all have, since JAX waits for all at the end.
state_of_run() {
  local states state
  states=$(ask_workers 2>/dev/null || echo unreachable)
  for state in none ended finished unreachable running; do
    if grep -m 1 "^$state" <<<"$states"; then return; fi
  done
  echo unreachable
}

# Until the run has ended: by status 0, or by one after which systemd starts it no more.
watch() {
  local state before=""
  while true; do
    state=$(state)
    if [[ $state == ACTIVE ]]; then state="ACTIVE, its run $(state_of_run)"; fi
    [[ $state == "$before" ]] || echo "tpu_pod: $tpu is ${state:-to be requested}" >&2
    before=$state
    case $state in
      "") request || echo "tpu_pod: could not request $tpu; trying again" >&2 ;;
      FAILED | SUSPENDED) delete || echo "tpu_pod: could not delete $tpu; trying again" >&2 ;;
      *finished) return ;;
      *ended*) fail "$tpu is $state; see bash launch/tpu_pod.sh logs" 1 ;;
      *none)
        # A worker may be lost meanwhile: then the state says so, or it is tried again.
        start "$@" || echo "tpu_pod: could not start the run; trying again" >&2
        ;;
    esac
    sleep 60
  done
}

case $action in
  create)
    request
    wait_until_active
    ;;
  start) start "$@" ;;
  watch)
    if $dry_run; then
      request
      wait_until_active
      start "$@"
      ask_workers
      delete
    else
      watch "$@"
    fi
    ;;
  logs)
    on_workers "sudo journalctl --unit=grel --output=cat --lines=100 --follow" \
      --node="$node" --worker="$worker"
    ;;
  status)
    run "${queued[@]}" describe "$tpu" "${where[@]}"
    ask_workers
    ;;
  # Not `systemctl stop` alone: a machine that is restarted would go on.
  stop) on_workers "sudo systemctl disable --now grel" ;;
  delete) delete ;;
esac
