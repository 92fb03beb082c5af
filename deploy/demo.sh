#!/usr/bin/env bash
# What `make demo` runs: a coordinator and a worker with two slots, the sweep
# sweeps/quickstart.yaml, and the fit at its end. Everything lies in build/demo/.
#
# Run again, it reuses what exists; interrupted, it resumes. `demo.sh clean` stops both and removes
# all.
set -u
cd "$(dirname "$0")/.." || exit 1
home=build/demo
allo=build/bin/allo
me=demo
sweep=quickstart
corpus=/usr/share/dictd/gcide.dict.dz
predict_flops=3e13  # 12 times the largest budget of the sweep
. deploy/local.sh

if [ "${1:-}" = clean ]; then
  clean_home
  exit 0
fi
[ -r "$corpus" ] || fail "$corpus is missing: 'make setup' installs it (package dict-gcide)"
take_home

# 24 MB of the dictionary's 40: two epochs of it are fewer tokens than the two smallest models'
# largest budgets ask for, so the plan leaves those cells out and says so.
"$allo" data text "$corpus" --name gcide-chars --max-bytes 24000000 --data-dir "$home/data" || exit 1

start_both cpu:2
say "coordinator at $ALLO_COORDINATOR, worker with two slots; logs in $home/"

"$allo" submit "sweeps/$sweep.yaml" || exit 1
watch_sweep "$sweep"
watched=$?

echo
"$allo" runs "$sweep" --cells || exit 1
[ "$watched" -eq 0 ] || fail "the sweep did not succeed; 'why' above says which run and for what reason"
echo
"$allo" fit "$sweep" --budget "$predict_flops" --svg "$home/fit.svg" || exit 1
echo
say "picture: $home/fit.svg; a curve: sqlite3 $home/allometry.db \"SELECT step, tokens, value FROM curves WHERE size='47k' AND series='heldout' ORDER BY step\""
