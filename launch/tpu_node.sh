#!/usr/bin/env bash
# A worker's part of launch/tpu_pod.sh, which sends it and calls it; all is in the home folder.
#
#   bash grel/launch/tpu_node.sh start    sets up, and has systemd run and keep the run
#   bash grel/launch/tpu_node.sh run      what systemd runs
#   bash grel/launch/tpu_node.sh state    none, running, finished, or ended with a status
#
# With --dry_run commands are printed and not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/dry_run.sh

checkout=$PWD
home=$(dirname "$checkout")

# Status 2 is wrong usage: it would be wrong again.
unit() {
  cat <<END
[Unit]
Description=grel
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=3600
StartLimitBurst=20

[Service]
User=$(id -un)
ExecStart="/bin/bash" "$checkout/launch/tpu_node.sh" run
Restart=on-failure
RestartSec=15
RestartPreventExitStatus=2
KillMode=mixed
TimeoutStopSec=300

[Install]
WantedBy=multi-user.target
END
}

case ${1:-} in
  start)
    run bash launch/setup.sh --jax=tpu --uv
    if $dry_run; then unit; else unit >grel.service; fi
    run sudo mv grel.service /etc/systemd/system/grel.service
    run sudo systemctl daemon-reload
    run sudo systemctl reset-failed grel || true # that it was started often counts no more
    run sudo systemctl enable grel
    run sudo systemctl restart grel
    ;;
  run)
    if [[ -f $home/grel.prepare ]]; then run bash "$home/grel.prepare"; fi
    arguments=()
    while IFS= read -r -d '' argument; do arguments+=("$argument"); done <"$home/grel.args"
    # Replaces this shell, so that the run gets the signal to stop.
    $dry_run || exec .venv/bin/python -m grel.main --mode=train --distributed "${arguments[@]}"
    show .venv/bin/python -m grel.main --mode=train --distributed "${arguments[@]}"
    ;;
  state)
    property() { systemctl show grel --property="$1" --value; }
    case $(property ActiveState) in
      active | activating | reloading | deactivating) echo running ;;
      *)
        if [[ $(property LoadState) != loaded || ! $(property ExecMainStartTimestamp) ]]; then
          echo none
        elif [[ $(property ExecMainStatus) == 0 ]]; then
          echo finished
        else
          echo "ended with status $(property ExecMainStatus)"
        fi
        ;;
    esac
    ;;
  *)
    echo "tpu_node: error: the first argument is '${1:-}'; it must be start, run or state" >&2
    exit 2
    ;;
esac
