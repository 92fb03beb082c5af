#!/usr/bin/env bash
# What `make demo` runs: a coordinator and a worker with two slots on loopback, the sweep
# sweeps/quickstart.yaml, and the fit at its end. Everything lies in build/demo/.
#
# Run again, it reuses what exists; interrupted, it resumes. It stands in for systemd: a coordinator
# or worker that dies is started again, and it says so. `demo.sh clean` stops both and removes all.
set -u
cd "$(dirname "$0")/.." || exit 1
demo=build/demo
allo=build/bin/allo
sweep=quickstart
corpus=/usr/share/dictd/gcide.dict.dz
predict_flops=3e14  # 100 times the largest budget of the sweep

say() { printf 'demo: %s\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

alive() { [ -f "$demo/$1.pid" ] && kill -0 "$(cat "$demo/$1.pid")" 2>/dev/null; }

# SIGTERM, up to 20 s of patience (a worker's trainers write their checkpoints), then SIGKILL.
stop() {
  if alive "$1"; then
    local pid; pid=$(cat "$demo/$1.pid")
    kill -TERM "$pid" 2>/dev/null
    for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null
  fi
  rm -f "$demo/$1.pid"
}

# setsid: Ctrl-C reaches this script alone, which then stops both in order.
start() {
  local name=$1; shift
  setsid "build/bin/allo-$name" "$@" >>"$demo/$name.log" 2>&1 </dev/null &
  echo $! >"$demo/$name.pid"
}

start_coordinator() {
  rm -f "$demo/address"
  start coordinator --db "$demo/allometry.db" --listen "$1" --address-file "$demo/address"
  for _ in $(seq 100); do
    [ -s "$demo/address" ] && return 0
    alive coordinator || break
    sleep 0.1
  done
  tail -n 5 "$demo/coordinator.log" >&2
  fail "the coordinator did not start; its log is $demo/coordinator.log"
}

start_worker() {
  start worker --coordinator "$ALLO_COORDINATOR" --slots cpu:2 \
    --state-dir "$demo/worker" --run-root "$demo/runs" --data-dir "$demo/data"
}

restarts=0
count_restart() {
  restarts=$((restarts + 1))
  if [ "$restarts" -gt 20 ]; then
    tail -n 5 "$demo/$1.log" >&2
    fail "the $1 died again and again; its log is $demo/$1.log"
  fi
}

stop_all() {
  [ -n "${watch_pid:-}" ] && kill "$watch_pid" 2>/dev/null
  stop worker
  stop coordinator
}

if [ "${1:-}" = clean ]; then
  stop worker
  stop coordinator
  rm -rf "$demo"
  say "$demo is removed"
  exit 0
fi

mkdir -p "$demo" || fail "cannot make $demo"
exec 9>"$demo/lock"
flock -n 9 || fail "another demo is running here (it holds $demo/lock)"
[ -r "$corpus" ] || fail "$corpus is missing: 'make setup' installs it (package dict-gcide)"

# Left from a demo that was killed: their state is on disk, so ending them loses nothing.
stop worker
stop coordinator

trap 'say "interrupted: stopping; run it again and it resumes"; exit 130' INT TERM
trap 'stop_all' EXIT

# 24 MB of the dictionary's 40: four epochs of it are fewer tokens than the smallest model's largest
# budget asks for, so the plan leaves that cell out and says so.
"$allo" data text "$corpus" --name gcide-chars --max-bytes 24000000 --data-dir "$demo/data" || exit 1

start_coordinator 127.0.0.1:0 9>&-
ALLO_COORDINATOR=$(cat "$demo/address")
export ALLO_COORDINATOR ALLO_DATA_DIR=$demo/data
start_worker 9>&-
say "coordinator at $ALLO_COORDINATOR, worker with two slots; logs in $demo/"

"$allo" submit "sweeps/$sweep.yaml" || exit 1
"$allo" watch "$sweep" 9>&- &
watch_pid=$!
while kill -0 "$watch_pid" 2>/dev/null; do
  if ! alive coordinator; then
    count_restart coordinator
    say "the coordinator is dead: starting it again on the same database"
    start_coordinator "$ALLO_COORDINATOR" 9>&-
  fi
  if ! alive worker; then
    count_restart worker
    say "the worker is dead: starting it again"
    start_worker 9>&-
  fi
  sleep 0.3
done
wait "$watch_pid"
watched=$?
watch_pid=

echo
"$allo" runs "$sweep" --cells || exit 1
[ "$watched" -eq 0 ] || fail "the sweep did not succeed; 'why' above says which run and for what reason"
echo
"$allo" fit "$sweep" --budget "$predict_flops" --svg "$demo/fit.svg" || exit 1
echo
say "picture: $demo/fit.svg; a curve: sqlite3 $demo/allometry.db \"SELECT step, tokens, value FROM curves WHERE size='40k' AND series='heldout' ORDER BY step\""
