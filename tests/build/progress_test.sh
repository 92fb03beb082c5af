#!/usr/bin/env bash
# progress_test.sh BUILD_SH FOLDER: what a build says where standard output is a pipe. Eight steps,
# one after the other, of a fifth of a second each.
set -euo pipefail
build=$1 folder=$2
fail() { printf '%s\n' "$*" "output:" "$out"; exit 1; }

rm -rf "$folder"
mkdir -p "$folder"
cat >"$folder/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(steps NONE)
set(before "")
foreach(i RANGE 1 8)
  add_custom_command(OUTPUT step${i} COMMAND sleep 0.2 COMMAND ${CMAKE_COMMAND} -E touch step${i}
    DEPENDS ${before})
  set(before step${i})
endforeach()
add_custom_target(steps ALL DEPENDS step8)
add_custom_target(broken COMMAND echo "a warning" COMMAND false)
END
cmake -G Ninja -B "$folder/build" "$folder" >/dev/null

SECONDS=0
out=$(ALLO_BUILD_LINE_SECONDS=1 "$build" "$folder/build")
grep -qE '^build: 1 of 8 steps done, 0 min$' <<<"$out" || fail "no first line"
lines=$(grep -cE '^build: [0-9]+ of 8 steps done, 0 min$' <<<"$out") || true
# A line a second, and not one for each step.
((lines >= 2 && lines <= SECONDS + 1)) || fail "$lines lines in $SECONDS s"
[ "$(wc -l <<<"$out")" -eq "$lines" ] || fail "something else was said"

out=$("$build" "$folder/build")
[ -z "$out" ] || fail "nothing was to be done"

if out=$("$build" "$folder/build" broken); then fail "a failed step must fail the build"; fi
grep -q '^a warning$' <<<"$out" || fail "the step's output is missing"
grep -q '^FAILED: ' <<<"$out" || fail "the failure is not named"
