#!/bin/bash
# gpu_check_test.sh BUILD: `make gpu-check` rehearsed on a CPU, shortened, with the programs of BUILD.
set -u
build=$1 root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
fail() { echo "FAIL: $*"; cat "$folder/output" "$folder/report.md" 2>/dev/null; exit 1; }
before=$(cat "$root/docs/results/gpu.md")
"$root/bench/gpu_check.py" --device cpu --build "$build" --short --report "$folder/report.md" >"$folder/output" 2>&1 \
  || fail "the rehearsal ended with $?"
grep -q 'passed, a rehearsal on a CPU; no GPU was used' "$folder/output" || fail "the output does not say what it was"
grep -q '^# Rehearsal on a CPU$' "$folder/report.md" && grep -qF '**No GPU was used.**' "$folder/report.md" \
  || fail "the report does not say what it was"
grep -qE '^\| LossesInBf16AreWithinOnePercentOfFp32 \| passed \| .*largest_relative_difference 0?\.' "$folder/report.md" \
  || fail "bf16 was not compared with fp32"
grep -qE '^\| 8k \| [0-9,]+ \|' "$folder/report.md" || fail "nothing was timed"
grep -qE '^\| 8k \| [0-9,]+ \| [0-9,]+ \| - \| [0-9.]+ \| - \|$' "$folder/report.md" || fail "no stack was timed"
grep -qE '^\| two, in buckets of [0-9.]+ MiB \| [0-9,]+ \|$|^Not measured: (there is no mpirun|the trainer was built)' \
  "$folder/report.md" || fail "two ranks were neither timed nor said to be missing"
[ "$before" = "$(cat "$root/docs/results/gpu.md")" ] || fail "the results of GPUs were overwritten by a rehearsal"

# A failing part fails the check, and is in the report.
mkdir -p "$folder/build/bench" "$folder/build/tests" "$folder/build/bin"
ln -s "$build/bench/train" "$folder/build/bench/"
"$root/bench/gpu_check.py" --device cpu --build "$folder/build" --short --report "$folder/bad.md" >"$folder/bad" 2>&1 \
  && fail "a check without programs passed"
grep -q '^## Failed$' "$folder/bad.md" || fail "the report of a failed check does not say so"
if [ ! -e /dev/nvidia0 ]; then
  "$root/bench/gpu_check.py" --build "$build" --short --report "$folder/none.md" >"$folder/none" 2>&1 && fail "passed without a GPU"
  grep -q "nvidia-smi shows no GPU" "$folder/none" || fail "a machine without a GPU is not told so: $(cat "$folder/none")"
fi
cat "$folder/report.md"
