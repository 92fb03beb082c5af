#!/bin/bash
# cuda_test.sh NVCC BUILD: compiles every CUDA source of the repository for each architecture, and
# looks whether the build does.
set -u
nvcc=$1 build=$2 root=$(cd "$(dirname "$0")/../.." && pwd)
[ -x "$nvcc" ] || { echo "no nvcc on this machine: CUDA sources were not compiled ('make test' fetches one)"; exit 77; }
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
mapfile -t sources < <(cd "$root" && find . -name '*.cu' -not -path './build*' -not -path './.git/*' | sort)
[ ${#sources[@]} -ge 1 ] || { echo "FAIL: no CUDA source was found"; exit 1; }
for source in "${sources[@]}"; do
  for sm in 80 90 100; do
    "$nvcc" -std=c++20 -O3 --expt-relaxed-constexpr -Werror all-warnings -I "$root" -cubin "-arch=sm_$sm" \
      "$root/$source" -o "$folder/code" || { echo "FAIL: $source for sm_$sm"; exit 1; }
    # An ELF file of machine code.
    [ "$(head -c 4 "$folder/code" | tail -c 3)" = ELF ] || { echo "FAIL: $source for sm_$sm is no cubin"; exit 1; }
    grep -qF "arch=compute_$sm,code=sm_$sm" "$build/build.ninja" || { echo "FAIL: the build compiles nothing for sm_$sm"; exit 1; }
    echo "$source sm_$sm: $(stat -c %s "$folder/code") bytes"
  done
  grep -qF "${source#./}.o" "$build/build.ninja" || { echo "FAIL: the build does not compile $source"; exit 1; }
done
