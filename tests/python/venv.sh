# shellcheck shell=bash
# Sourced, with `build` and `source_dir` set: `make_venv` installs the package from python/ into a
# clean virtual environment in the build folder, with what its client and the examples import, puts
# it first in PATH, and the wheel of LibTorch, whose Python half is PyTorch, into its path.
skip() { echo "skipped: $*"; exit 77; }

make_venv() {
  local venv=$build/tests/venv base="" candidate sources libtorch
  for candidate in python3.11 python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c \
        'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      base=$(command -v "$candidate")
      break
    fi
  done
  [[ -n $base ]] || skip "no Python 3.11 with venv here, which LibTorch's Python half needs"
  sources=$(cat "$source_dir"/python/pyproject.toml "$source_dir"/python/setup.py \
    "$source_dir"/python/allometry/*.py "$source_dir"/proto/*.proto "${BASH_SOURCE[0]}" | sha256sum)
  if [[ "$(cat "$venv/ready" 2>/dev/null)" != "$sources" ]]; then
    rm -rf "$venv"
    "$base" -m venv "$venv"
    # pip builds where the sources lie.
    mkdir "$venv/source"
    cp -r "$source_dir/python" "$source_dir/proto" "$venv/source"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
      "$venv/source/python[client,frames,tensorboard]" nbclient ipykernel \
      typing_extensions sympy networkx jinja2 filelock fsspec numpy \
      || skip "pip cannot install what the package's tests need (no network?)"
    libtorch=$(sed -n 's/^ALLOMETRY_LIBTORCH_DIR:[A-Z]*=//p' "$build/CMakeCache.txt")
    dirname "$libtorch" \
      >"$("$venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')/libtorch.pth"
    echo "$sources" >"$venv/ready"
  fi
  export PATH="$venv/bin:$PATH"
}
