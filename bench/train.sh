#!/usr/bin/env bash
# bench/train beside the same update in eager PyTorch, interleaved, one thread each:
#   bench/train.sh [BUILD_DIR] [REPETITIONS] [SECONDS]
# PyTorch's Python half is the LibTorch wheel itself; what it imports besides goes into a virtual
# environment in the build folder, once.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build} repetitions=${2:-5} seconds=${3:-1}
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

libtorch=$(sed -n 's/^ALLOMETRY_LIBTORCH_DIR:[A-Z]*=//p' "$build/CMakeCache.txt")
venv=$build/bench/venv
python=""
for candidate in python3.11 python3; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
    python=$candidate
    break
  fi
done
if [[ -z $python ]]; then
  echo "no Python 3.11 here: the wheel's Python half cannot be loaded; run $build/bench/train alone" >&2
  exit 1
fi
if [[ ! -e $venv/ready ]]; then
  echo "preparing $venv (typing_extensions, sympy, networkx, jinja2, filelock, fsspec, numpy)" >&2
  "$python" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check \
    typing_extensions sympy networkx jinja2 filelock fsspec numpy
  touch "$venv/ready"
fi

coproc PEER { PYTHONPATH=$(dirname "$libtorch") exec "$venv/bin/python" bench/train_eager.py; }
results=$(mktemp)
trap 'rm -f "$results"' EXIT
echo "load $(cut -d' ' -f1-3 /proc/loadavg), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2-)"
"$build/bench/train" --list >"$results.shapes"
for ((i = 0; i < repetitions; ++i)); do
  while read -r name sizes; do
    for backend in fused_cpu autograd; do
      echo "$name $backend $("$build/bench/train" "$name" "$backend" "$seconds")" >>"$results"
    done
    echo "$sizes $seconds" >&"${PEER[1]}"
    read -r speed <&"${PEER[0]}"
    echo "$name eager $speed" >>"$results"
  done <"$results.shapes"
done

echo "tokens per CPU-second, one thread, batch 16: median (lowest..highest) of $repetitions; ratio of medians to eager"
while read -r name layers heads width context vocabulary _; do
  for backend in fused_cpu autograd eager; do
    awk -v n="$name" -v b="$backend" '$1 == n && $2 == b {print $3}' "$results" | sort -n |
      awk -v n="$name" -v b="$backend" -v s="L$layers H$heads d$width T$context V$vocabulary" \
        '{v[NR] = $1} END {print n, b, v[int((NR + 1) / 2)], v[1], v[NR], s}'
  done
done <"$results.shapes" |
  awk '{line[NR] = $0; if ($2 == "eager") eager[$1] = $3}
       END {for (i = 1; i <= NR; ++i) {split(line[i], f, " ");
            printf "%-6s %-26s %-10s %9d (%d..%d)  x%.2f\n", f[1], f[6] " " f[7] " " f[8] " " f[9] " " f[10], f[2], f[3], f[4], f[5], f[3] / eager[f[1]]}}'
rm -f "$results.shapes"
