#!/usr/bin/env bash
# bench/train beside the same update in eager PyTorch, interleaved, one thread each:
#   bench/train.sh [BUILD_DIR] [REPETITIONS] [SECONDS]
# With ALLO_ISA=avx2 or baseline ours keep to that instruction set, and PyTorch is measured twice:
# kept to it as well, and as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build} repetitions=${2:-5} seconds=${3:-1}
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
source bench/eager_python.sh
eager_python "$build" || { echo "run $build/bench/train alone" >&2; exit 1; }

read -r isa peak < <("$build/bench/train" --peak)
peers=(eager)
[[ -z $(eager_limits) ]] || peers+=("eager/$isa")

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
to=() from=()
for p in "${!peers[@]}"; do
  mkfifo "$results/$p.in" "$results/$p.out"
  mapfile -t limits < <([[ $p == 0 ]] || eager_limits)
  env "${limits[@]}" "$python" bench/train_eager.py <"$results/$p.in" >"$results/$p.out" &
  exec {write}>"$results/$p.in" {read}<"$results/$p.out"
  to+=("$write") from+=("$read")
done

echo "load $(cut -d' ' -f1-3 /proc/loadavg), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2-)"
awk -v isa="$isa" -v peak="$peak" 'BEGIN {printf "instruction set %s, at most %.1f GF/s a core\n", isa, peak / 1e9}'
"$build/bench/train" --list >"$results/shapes"
for ((i = 0; i < repetitions; ++i)); do
  while read -r name layers heads width context vocabulary batch _; do
    for backend in fused_cpu autograd; do
      echo "$name $backend $("$build/bench/train" "$name" "$backend" "$seconds" </dev/null)" >>"$results/speeds"
    done
    for p in "${!peers[@]}"; do
      echo "$layers $heads $width $context $vocabulary $batch $seconds" >&"${to[$p]}"
      read -r speed <&"${from[$p]}"
      echo "$name ${peers[$p]} $speed" >>"$results/speeds"
    done
  done <"$results/shapes"
done

echo "tokens per CPU-second, one thread, batch 16: median (lowest..highest) of $repetitions; what share of the"
echo "peak its products are; ratio of medians to ${peers[*]}"
while read -r name layers heads width context vocabulary _ flops; do
  for backend in fused_cpu autograd "${peers[@]}"; do
    awk -v n="$name" -v b="$backend" '$1 == n && $2 == b {print $3}' "$results/speeds" | sort -n |
      awk -v n="$name" -v b="$backend" -v s="L$layers H$heads d$width T$context V$vocabulary" -v f="$flops" \
        '{v[NR] = $1} END {print n, b, v[int((NR + 1) / 2)], v[1], v[NR], f, s}'
  done
done <"$results/shapes" |
  awk -v peers="${peers[*]}" -v peak="$peak" '
    {line[NR] = $0; speed[$1, $2] = $3}
    END {
      count = split(peers, peer, " ")
      for (i = 1; i <= NR; ++i) {
        split(line[i], f, " ")
        printf "%-6s %-26s %-14s %9d (%d..%d) %4.0f%%", f[1], f[7] " " f[8] " " f[9] " " f[10] " " f[11], f[2], f[3], f[4], f[5], 100 * f[3] * f[6] / peak
        for (p = 1; p <= count; ++p) printf "  x%.2f", f[3] / speed[f[1], peer[p]]
        printf "\n"
      }
    }'
