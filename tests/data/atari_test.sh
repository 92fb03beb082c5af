#!/usr/bin/env bash
# atari_test.sh BUILD_DIR: data/atari in a virtual environment of the build folder with the emulator.
# 77: skipped, and the reason is said.
set -euo pipefail
build=$(realpath "$1")
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
skip() { echo "skipped: $*"; exit 77; }

venv=$build/tests/atari-venv
packages="ale-py==0.12.1 numpy xxhash"
if [[ "$(cat "$venv/ready" 2>/dev/null)" != "$packages" ]]; then
  rm -rf "$venv"
  python3 -m venv "$venv" 2>/dev/null || skip "no Python with venv here"
  # shellcheck disable=SC2086
  "$venv/bin/pip" install --quiet --disable-pip-version-check $packages \
    || skip "pip cannot install the emulator, ale-py (no network?)"
  echo "$packages" >"$venv/ready"
fi
ALLO=$build/bin/allo "$venv/bin/python" "$source_dir/tests/data/atari_test.py" -v
