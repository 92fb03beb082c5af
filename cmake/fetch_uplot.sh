#!/usr/bin/env bash
# Gets uPlot 1.6.31 (MIT), which draws the charts of `allo web`, from the Python package that carries
# its bundle; the two files are those of uPlot's own release.
#
#   ${XDG_CACHE_HOME:-~/.cache}/allometry/uplot-1.6.31/    uPlot.iife.min.js, uPlot.min.css
#
# UPLOT= names another folder with these files, and nothing is fetched.
set -euo pipefail

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

if [ -n "${UPLOT:-}" ]; then
  [ -e "$UPLOT/uPlot.min.css" ] || fail "UPLOT=$UPLOT has no uPlot.min.css"
  exit 0
fi

package='youplot==1.0.0 --hash=sha256:31fe55753a3a073ba1bf2979708443d87d11bb9e0250a0c1ab23118e1e70fb94'
script=2d27e8ad3d228164525ce213f9dc716f39b4e3aee0cc773fb3491c96cf4921a2
style=df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04
root="${XDG_CACHE_HOME:-$HOME/.cache}/allometry/uplot-1.6.31"
# The style sheet is moved in last.
[ -e "$root/uPlot.min.css" ] && exit 0

python=
for candidate in python3 /usr/bin/python3; do
  if "$candidate" -m pip --version >/dev/null 2>&1; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "no python3 with pip: install python3-pip, or name a uPlot with UPLOT="
mkdir -p "$root" || fail "cannot make $root: set XDG_CACHE_HOME to a folder that can be written"
work=$(mktemp -d "$root/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

say "downloading uPlot 1.6.31 (0.1 MB) to $root"
echo "$package" >"$work/requirements.txt"
if ! "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --require-hashes -r "$work/requirements.txt" -d "$work" >"$work/pip.log" 2>&1; then
  tail -n 3 "$work/pip.log" >&2
  fail "youplot 1.0.0 cannot be downloaded: check the network or pip's index, or name a uPlot with UPLOT="
fi
"$python" -m zipfile -e "$work"/*.whl "$work/unpacked"
from="$work/unpacked/youplot/vendor"
printf '%s  %s\n' "$script" "$from/uplot.iife.min.js" "$style" "$from/uplot.min.css" \
  | sha256sum --check --quiet || fail "the package's uPlot is not the expected one"
mv -f "$from/uplot.iife.min.js" "$root/uPlot.iife.min.js"
mv -f "$from/uplot.min.css" "$root/uPlot.min.css"
