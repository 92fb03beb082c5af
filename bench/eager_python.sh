# shellcheck shell=bash
# Sourced, from the repository's root: `eager_python BUILD_DIR` sets `python` to an interpreter that
# loads the LibTorch wheel's Python half. The wheel is PyTorch itself; what it imports besides goes
# into a virtual environment in the build folder, once.
eager_python() {
  local build=$1 libtorch venv=$1/bench/venv base="" candidate
  libtorch=$(sed -n 's/^ALLOMETRY_LIBTORCH_DIR:[A-Z]*=//p' "$build/CMakeCache.txt")
  for candidate in python3.11 python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
      base=$candidate
      break
    fi
  done
  if [[ -z $base ]]; then
    echo "no Python 3.11 here: the wheel's Python half cannot be loaded" >&2
    return 1
  fi
  if [[ ! -e $venv/ready ]]; then
    echo "preparing $venv (typing_extensions, sympy, networkx, jinja2, filelock, fsspec, numpy)" >&2
    "$base" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
      typing_extensions sympy networkx jinja2 filelock fsspec numpy
    touch "$venv/ready"
  fi
  PYTHONPATH=$(dirname "$libtorch")
  export PYTHONPATH
  # shellcheck disable=SC2034  # for the caller
  python=$venv/bin/python
}

# The environment, a variable a line, that keeps PyTorch to ALLO_ISA's instruction set, as allo-trainer keeps LibTorch
# to it (models/instruction_set.h).
eager_limits() {
  case ${ALLO_ISA:-} in
    avx2) printf "%s\n" ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_CBWR=AVX2 ;;
    baseline) printf "%s\n" ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE ;;
  esac
}
