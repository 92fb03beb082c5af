#!/usr/bin/env bash
# The quickstart's grid by our programs and by a nanoGPT-style loop, and how much longer the loop
# takes:
#   bench/ladder.sh [--scale S]
# The loop is eager PyTorch, one process a core, a run for each cell; and once more with one trunk a
# size, copied where each cell's decay begins (bench/ladder_eager.py). S multiplies the budgets: 0.05
# is a matter of minutes, 1 (the default) of an hour, nearly all of it the loop's.
# Wall-clock time is what a user waits. CPU time stands beside it for machines that are not idle.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
scale=1
if [ "${1:-}" = --scale ] && [ $# -eq 2 ]; then
  scale=$2
elif [ $# -gt 0 ]; then
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
cores=$(nproc)
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
source bench/eager_python.sh
eager_python build || exit 1
# shellcheck disable=SC2034  # for local.sh
home=build/bench/ladder allo=build/bin/allo me=ladder
source deploy/local.sh

take_home
rm -rf "$home"/{allometry.db*,runs,worker,*.log,address}
"$allo" data text /usr/share/dictd/gcide.dict.dz --name gcide-chars --max-bytes 24000000 \
  --data-dir "$home/data" >/dev/null || exit 1
awk -v scale="$scale" '
  /^  flops: \[/ {
    gsub(/.*\[|\].*/, "")
    count = split($0, budget, /, */)
    for (i = 1; i <= count; ++i) list = list (i > 1 ? ", " : "") sprintf("%g", budget[i] * scale)
    $0 = "  flops: [" list "]"
  }
  {print}' sweeps/quickstart.yaml >"$home/sweep.yaml"
"$allo" plan "$home/sweep.yaml" --slots "cpu:$cores" --data-dir "$home/data" --no-measure --json \
  >"$home/plan.json" || exit 1

now() { date +%s.%N; }
# Sets `spent` to the user and system seconds of all processes that this script has waited for.
# (Not in a subshell: that one has waited for none.)
count_cpu() {
  times >"$home/times"
  spent=$(tail -n 1 "$home/times" | tr 'ms' '  ' | awk '{print $1 * 60 + $2 + $3 * 60 + $4}')
}
# Sets `seconds` and `cpu_seconds` to what the command took.
timed() {
  local begin cpu_begin
  count_cpu
  begin=$(now) cpu_begin=$spent
  "$@" || exit 1
  seconds=$(awk -v a="$begin" -v b="$(now)" 'BEGIN {print b - a}')
  count_cpu
  cpu_seconds=$(awk -v a="$cpu_begin" -v b="$spent" 'BEGIN {print b - a}')
}

ours() {
  start_both "cpu:$cores"
  local pids=("$(cat "$home/coordinator.pid")" "$(cat "$home/worker.pid")")
  "$allo" submit "$home/sweep.yaml" >"$home/submit.log" || return 1
  watch_sweep quickstart >"$home/watch.log" || fail "the sweep did not succeed: $home/watch.log"
  stop_all
  wait "${pids[@]}"
  return 0
}
loop() { "$python" bench/ladder_eager.py "$home/plan.json" "$home/data/gcide-chars" "$1" "$cores" >"$home/$1.txt"; }

echo "load $(cut -d' ' -f1-3 /proc/loadavg), $cores cores,$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2-), $(build/bench/train --peak | cut -d' ' -f1)"
timed ours
ours_s=$seconds ours_cpu=$cpu_seconds
sqlite3 -separator ' ' "$home/allometry.db" \
  "SELECT size, step, loss FROM cell_results WHERE sweep = 'quickstart'" >"$home/ours.txt" || exit 1
echo "quickstart x $scale: $(wc -l <"$home/ours.txt") cells, $(cut -d' ' -f1 "$home/ours.txt" | sort -u | wc -l) sizes"
printf '%-38s %8.1f s wall %8.1f s CPU\n' "our programs" "$ours_s" "$ours_cpu"
for mode in cells trunks; do
  timed loop "$mode"
  case $mode in
    cells) name="nanoGPT-style loop, a run a cell" ;;
    trunks) name="nanoGPT-style loop, a run a size" ;;
  esac
  # Both train the same thing where the cells' losses are alike; data order and seeds differ.
  apart=$(awk 'NR == FNR {ours[$1, $2] = $3; next}
      {d = $3 - ours[$1, $2]; sum += d; square += d * d; ++n}
      END {printf "%d cells, held-out loss %+.3f on average, %.3f rms", n, sum / n, sqrt(square / n)}' \
    "$home/ours.txt" "$home/$mode.txt")
  awk -v name="$name" -v s="$seconds" -v c="$cpu_seconds" -v os="$ours_s" -v oc="$ours_cpu" -v apart="$apart" \
    'BEGIN {printf "%-38s %8.1f s wall %8.1f s CPU  x%.2f wall, x%.2f CPU  (%s)\n", name, s, c, s / os, c / oc, apart}'
done
