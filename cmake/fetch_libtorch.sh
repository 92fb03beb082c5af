#!/usr/bin/env bash
# Gets LibTorch 2.11.0: the C++ half of PyTorch's wheel, and the NVIDIA libraries that it needs.
#
#   ${XDG_CACHE_HOME:-~/.cache}/allometry/libtorch-2.11.0/torch    include/ and lib/
#   ${XDG_CACHE_HOME:-~/.cache}/allometry/libtorch-2.11.0/nvidia   found by torch/lib through RPATH
#
# --nvcc: also CUDA's compiler, 100 MB more, where no toolkit is. It needs no GPU.
#
# Outside the clone, so that the next one finds it. LIBTORCH= names another folder with include/ and
# lib/, and nothing is fetched. A package counts as present when its NAME-VERSION.dist-info folder is
# there; that folder is moved in last, so an interrupted run is simply run again.
set -euo pipefail

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

if [ -n "${LIBTORCH:-}" ]; then
  [ -e "$LIBTORCH/lib/libtorch_cpu.so" ] \
    || fail "LIBTORCH=$LIBTORCH has no lib/libtorch_cpu.so: name the folder that holds include/ and lib/"
  exit 0
fi

# name, version, sha256 of the wheel, megabytes to download
torch='torch 2.11.0 7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a 531'
# libtorch_cpu.so needs these two even on a machine without a GPU.
wanted=(
  'nvidia-cuda-runtime 13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548 3'
  'nvidia-cuda-cupti 13.0.85 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8 11'
)
megabytes_free=2500
# libtorch_cuda.so needs these besides a CUDA toolkit.
if command -v nvcc >/dev/null || [ -d /usr/local/cuda ]; then
  wanted+=(
    'nvidia-cusparselt-cu13 0.8.0 25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd 170'
    'nvidia-nvshmem-cu13 3.4.5 290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80 60'
    'nvidia-cufile 1.15.1.6 08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44 2'
  )
  megabytes_free=3500
elif [ "${1:-}" = --nvcc ]; then
  wanted+=(
    'nvidia-cuda-crt 13.0.88 2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4 1'
    'nvidia-nvvm 13.0.88 c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0 62'
    'nvidia-cuda-nvcc 13.0.88 56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03 37'
  )
  megabytes_free=2800
fi
# Last: where torch/ is, the rest is too.
wanted+=("$torch")

root="${XDG_CACHE_HOME:-$HOME/.cache}/allometry/libtorch-2.11.0"

dist_info() { echo "${1//-/_}-$2.dist-info"; }
list_missing() {
  missing=()
  local package name version rest
  for package in "${wanted[@]}"; do
    read -r name version rest <<<"$package"
    [ -d "$root/$(dist_info "$name" "$version")" ] || missing+=("$package")
  done
}

list_missing
[ ${#missing[@]} -eq 0 ] && exit 0

[ "$(uname -m)" = x86_64 ] \
  || fail "LibTorch is fetched for x86_64, this machine is $(uname -m): name one with LIBTORCH="
python=
for candidate in python3 /usr/bin/python3; do
  if "$candidate" -m pip --version >/dev/null 2>&1; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "no python3 with pip: install python3-pip, or name a LibTorch with LIBTORCH="
command -v unzip >/dev/null || fail "unzip is not installed: run 'make setup'"

mkdir -p "$root" || fail "cannot make $root: set XDG_CACHE_HOME to a folder that can be written"
exec 9>"$root/.lock"
if ! flock -n 9; then
  say "another setup is fetching LibTorch; waiting for it"
  flock 9
  list_missing
  [ ${#missing[@]} -eq 0 ] && exit 0
fi

# Under the lock nobody else is at work: what lies here was left by an interrupted run.
rm -rf "$root"/.work.*
work=$(mktemp -d "$root/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

free=$(df -Pm "$root" | awk 'NR == 2 {print $4}')
[ "$free" -ge "$megabytes_free" ] \
  || fail "LibTorch needs $megabytes_free MB in $root and $free MB are free: make room, or set XDG_CACHE_HOME to another disk"

# pip takes the newest platform tag that a wheel may have; with manylinux_2_28 alone it misses some
# packages or picks empty placeholders of others.
platforms=()
for tag in manylinux_2_28 manylinux_2_27 manylinux_2_25 manylinux_2_18 manylinux_2_17 manylinux2014 \
    manylinux_2_12 manylinux2010; do
  platforms+=(--platform "${tag}_x86_64")
done

# pip refuses a file whose hash differs.
fetch() {
  local name=$1 version=$2 sha256=$3 log="$work/pip.log"
  mkdir "$work/wheel"
  echo "$name==$version --hash=sha256:$sha256" >"$work/requirements.txt"
  if ! TMPDIR="$work" "$python" -m pip download --quiet --disable-pip-version-check --no-cache-dir \
      --no-deps --only-binary=:all: --implementation cp --python-version 3.11 "${platforms[@]}" \
      --require-hashes -r "$work/requirements.txt" -d "$work/wheel" >"$log" 2>&1; then
    grep -iE 'error|hash' "$log" | tail -n 3 >&2 || tail -n 3 "$log" >&2
    if grep -qiE 'do not match the hashes' "$log"; then
      fail "$name $version from the package index is not the expected file (sha256 differs)"
    fi
    if grep -qiE 'No space left' "$log"; then fail "the disk of $root is full"; fi
    fail "$name $version cannot be downloaded: check the network or pip's index, or name a LibTorch with LIBTORCH="
  fi
}

# Moves an unpacked wheel in: a top-level folder that is not there yet in one rename, otherwise file
# by file; its dist-info last.
move_in() {
  local info=$1 entry file
  for entry in "$work"/unpacked/*; do
    [ "$(basename "$entry")" = "$info" ] && continue
    if [ ! -e "$root/$(basename "$entry")" ]; then
      mv "$entry" "$root/"
      continue
    fi
    while IFS= read -r -d '' file; do
      mkdir -p "$root/$(dirname "$file")"
      mv -f "$work/unpacked/$file" "$root/$file"
    done < <(cd "$work/unpacked" && find "$(basename "$entry")" ! -type d -print0)
  done
  mv "$work/unpacked/$info" "$root/"
}

for package in "${missing[@]}"; do
  read -r name version sha256 megabytes <<<"$package"
  say "downloading $name $version ($megabytes MB) to $root"
  fetch "$name" "$version" "$sha256"
  unzip -q "$work"/wheel/*.whl -d "$work/unpacked" \
    || fail "$name $version cannot be unpacked in $root: is the disk full?"
  move_in "$(dist_info "$name" "$version")"
  rm -rf "$work/wheel" "$work/unpacked"
done
say "LibTorch 2.11.0 is in $root"
