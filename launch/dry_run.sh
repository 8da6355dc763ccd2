# shellcheck shell=bash
# Sourced by the other scripts: takes --dry_run out of their arguments and defines `run`; answers
# --help with the comment at the top of the script.

dry_run=false
for arg; do
  shift
  case $arg in
    --dry_run) dry_run=true ;;
    --help)
      cd "$OLDPWD" || exit # where $0 may be relative to
      awk 'NR > 1 { if (!/^#/ || /^#SBATCH/) exit; sub(/^# ?/, ""); print }' "$0"
      exit
      ;;
    *) set -- "$@" "$arg" ;;
  esac
done

# Runs a command; under --dry_run prints it instead, fit to be pasted into a shell.
run() {
  if $dry_run; then
    show "$@"
  else
    "$@"
  fi
}

show() {
  local word line=""
  for word; do
    if [[ $word =~ ^[A-Za-z0-9_./:=,@%+-]+$ ]]; then
      line+=" $word"
    elif [[ $word == *\'* ]]; then
      line+=" $(printf '%q' "$word")"
    else
      line+=" '$word'"
    fi
  done
  echo "${line# }"
}
