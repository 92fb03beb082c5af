#!/usr/bin/env bash
# example_test.sh BUILD_DIR notebook: docs/first-sweep.ipynb from top to bottom.
# example_test.sh BUILD_DIR NAME: 'allo trainer check' on examples/trainers/NAME.yaml, then its whole
# sweep with a coordinator and a worker of its own; with the name client, the bash script's sweep and
# then client_test.py. 77: skipped, and the reason is said.
set -euo pipefail
build=$(realpath "$1") what=$2 name=${2/#client/synthetic_law}
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
source "$source_dir/tests/python/venv.sh"

if [[ $what != synthetic_law ]]; then
  make_venv
  case $name in
    nano_gpt | torchrun) python3 -c 'import torch' || skip "the wheel's Python half does not load" ;;
  esac
fi

if [[ $what == notebook ]]; then
  # A copy: it looks for ../examples.
  work=$(mktemp -d "${TMPDIR:-/tmp}/allo-notebook-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/docs"
  cp -r "$source_dir/examples" "$work"
  cp "$source_dir/docs/first-sweep.ipynb" "$work/docs"
  TMPDIR=$work ALLO=$build/bin/allo python3 "$source_dir/tests/python/notebook_test.py" "$work/docs/first-sweep.ipynb"
  exit
fi

# The sweep as it is for people, in a copy: what runs write lies beside it nowhere.
work=$(mktemp -d "${TMPDIR:-/tmp}/allo-example-XXXXXX")
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$work"
}
trap finish EXIT
cp "$source_dir"/examples/trainers/* "$work"
cd "$work"
mkdir data

[[ $what == client ]] || "$build/bin/allo" trainer check --sweep "$name.yaml" --steps 300 --patience 2m --data-dir data

"$build/bin/allo-coordinator" --db db --listen "unix:$work/socket" >coordinator.log 2>&1 &
pids+=($!)
"$build/bin/allo-worker" --coordinator "unix:$work/socket" --state-dir state --run-root runs \
  --data-dir data --slots cpu:2 >worker.log 2>&1 &
pids+=($!)
allo() { "$build/bin/allo" --coordinator "unix:$work/socket" "$@"; }
for _ in $(seq 300); do
  allo workers >/dev/null 2>&1 && break
  sleep 0.1
done
sweep=$(sed -n 's/^name: //p' "$name.yaml")
if ! allo submit "$name.yaml" --data-dir data --watch; then
  cat coordinator.log worker.log
  tail -n 20 runs/run-*/attempt-*/log
  exit 1
fi
allo runs "$sweep"
[[ $(allo export "$sweep" | wc -l) -gt 3 ]]
if [[ $what == client ]]; then
  export ALLO=$build/bin/allo
  python3 "$source_dir/tests/python/client_test.py" "unix:$work/socket"
  # The same database over TCP.
  kill "${pids[0]}"
  wait "${pids[0]}" || true
  allo certs init --dir certs 127.0.0.1 >/dev/null
  "$build/bin/allo-coordinator" --db db --listen 127.0.0.1:0 --address-file address \
    --token-file token --tls-cert certs/127.0.0.1.pem --tls-key certs/127.0.0.1.key >>coordinator.log 2>&1 &
  pids[0]=$!
  for _ in $(seq 300); do
    [[ -s address ]] && break
    sleep 0.1
  done
  python3 "$source_dir/tests/python/client_test.py" "$(cat address)" token certs/ca.pem
fi
