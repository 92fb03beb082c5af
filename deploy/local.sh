# shellcheck shell=bash disable=SC2154
# Sourced by demo.sh and study.sh: a coordinator and a worker of this machine, on a Unix socket, whose
# files all lie in $home. Stands in for systemd: what dies is started again, and it says so.
#
# The caller sets home (the folder), allo (the program) and me (its name in messages).

say() { printf '%s: %s\n' "$me" "$*"; }
fail() { printf '%s: %s\n' "$me" "$*" >&2; exit 1; }

alive() { [ -f "$home/$1.pid" ] && kill -0 "$(cat "$home/$1.pid")" 2>/dev/null; }

# SIGTERM, up to 20 s of patience (a worker's trainers write their checkpoints), then SIGKILL.
stop() {
  if alive "$1"; then
    local pid; pid=$(cat "$home/$1.pid")
    kill -TERM "$pid" 2>/dev/null
    for _ in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null
  fi
  rm -f "$home/$1.pid"
}

# setsid: Ctrl-C reaches the script alone, which then stops both in order. Descriptor 9 is its lock.
start() {
  local name=$1; shift
  setsid "build/bin/allo-$name" "$@" >>"$home/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"$home/$name.pid"
}

start_coordinator() {
  rm -f "$home/address"
  start coordinator --db "$home/allometry.db" --listen "$1" --address-file "$home/address"
  for _ in $(seq 100); do
    [ -s "$home/address" ] && return 0
    alive coordinator || break
    sleep 0.1
  done
  tail -n 5 "$home/coordinator.log" >&2
  fail "the coordinator did not start; its log is $home/coordinator.log"
}

start_worker() {
  start worker --coordinator "$ALLO_COORDINATOR" --slots "$slots" \
    --state-dir "$home/worker" --run-root "$home/runs" --data-dir "$home/data"
}

# Both, and their address and data directory in the environment. $1: slots of the worker.
start_both() {
  slots=$1
  start_coordinator "unix:$home/coordinator.sock"
  ALLO_COORDINATOR=$(cat "$home/address")
  export ALLO_COORDINATOR ALLO_DATA_DIR=$home/data
  start_worker
}

restarts=0
count_restart() {
  restarts=$((restarts + 1))
  if [ "$restarts" -gt 20 ]; then
    tail -n 5 "$home/$1.log" >&2
    fail "the $1 died again and again; its log is $home/$1.log"
  fi
}

stop_all() {
  [ -n "${watch_pid:-}" ] && kill "$watch_pid" 2>/dev/null
  stop worker
  stop coordinator
}

# Follows a sweep to its end, starting again what dies. Returns what `allo watch` does.
watch_sweep() {
  "$allo" watch "$1" 9>&- &
  watch_pid=$!
  while kill -0 "$watch_pid" 2>/dev/null; do
    if ! alive coordinator; then
      count_restart coordinator
      say "the coordinator is dead: starting it again on the same database"
      start_coordinator "$ALLO_COORDINATOR"
    fi
    if ! alive worker; then
      count_restart worker
      say "the worker is dead: starting it again"
      start_worker
    fi
    sleep 0.3
  done
  wait "$watch_pid"
  local watched=$?
  watch_pid=
  return "$watched"
}

# Takes the folder's lock and ends what a script that was killed has left: their state is on disk,
# so nothing is lost. Both end with the script.
take_home() {
  mkdir -p "$home" && chmod go-w "$home" || fail "cannot make $home"
  exec 9>"$home/lock"
  flock -n 9 || fail "another one is running here (it holds $home/lock)"
  stop worker
  stop coordinator
  trap 'say "interrupted: stopping; run it again and it resumes"; exit 130' INT TERM
  trap 'stop_all' EXIT
}

# Stops both and removes everything.
clean_home() {
  stop worker
  stop coordinator
  rm -rf "$home"
  say "$home is removed"
}
