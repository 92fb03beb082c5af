#!/usr/bin/env bash
# make check: format, layering, clang's thread-safety analysis, clang-tidy, and the tests without
# LibTorch under AddressSanitizer with UBSan and under ThreadSanitizer. Stops at the first that fails.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "check: $*" >&2; exit 1; }
step() { echo "check: $*"; }

# Lint tools are not part of setup: building and testing do not need them.
for tool in clang++ clang-format-14 clang-tidy; do
  command -v "$tool" >/dev/null \
    || fail "$tool is not installed. As root: apt-get install clang clang-format-14 clang-tidy"
done

build() {
  local preset=$1
  cmake --log-level=NOTICE --preset "$preset" >/dev/null
  cmake/build.sh "build-$preset"
}

step "format"
git ls-files -z '*.h' '*.cc' '*.cu' | xargs -0 clang-format-14 --dry-run -Werror

step "layering"
python3 tests/layering/layering.py .

step "clang with -Wthread-safety -Werror, in build-clang/"
build clang

step "clang-tidy"
git ls-files -z 'base/*.cc' 'data/*.cc' 'fitting/*.cc' 'coordinator/*.cc' 'run/*.cc' \
    'worker/agent/*.cc' 'cli/*.cc' 'models/shape.cc' \
  | xargs -0 -n 4 -P "$(nproc)" clang-tidy -p build-clang --quiet --warnings-as-errors='*' \
  2> >(grep -vE 'warnings? generated|^Suppressed|^Use -' >&2)

# ThreadSanitizer of GCC 12 needs the address layout of older kernels.
fixed_layout=()
if setarch "$(uname -m)" -R true 2>/dev/null; then fixed_layout=(setarch "$(uname -m)" -R); fi
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export LSAN_OPTIONS=suppressions=$PWD/cmake/lsan.supp:print_suppressions=0
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=$PWD/cmake/tsan.supp
for preset in asan tsan; do
  step "tests under $preset, in build-$preset/"
  build "$preset"
  "${fixed_layout[@]}" ctest --test-dir "build-$preset" --output-on-failure --no-tests=error \
    -L unit -j "$(nproc)"
done
step "all is well"
