#!/usr/bin/env bash
# Installs the Debian packages that are missing: what building, testing and the demo need.
# Does nothing, in well under a second, where all are there. Lint tools: see 'make check'.
#
#   --tests     also what tests are skipped without
#   --trainer   only what the trainer and its tests need
set -euo pipefail

packages=(
  # to build
  g++ cmake ninja-build pkg-config ccache mold
  # libraries
  libabsl-dev nlohmann-json3-dev libxxhash-dev libzstd-dev zlib1g-dev libhdf5-dev libeigen3-dev libceres-dev libboost-dev
  libyaml-cpp-dev libsqlite3-dev libcli11-dev libcpp-httplib-dev libgrpc++-dev libssl-dev libprotobuf-dev protobuf-compiler
  protobuf-compiler-grpc libopenmpi-dev openmpi-bin
  # tests and benchmarks
  libgtest-dev libgmock-dev libbenchmark-dev sqlite3 python3 openssl valgrind
  # to unpack LibTorch
  unzip
  # the demo's text: GCIDE, a dictionary
  dict-gcide
)

if [ "${1:-}" = --trainer ]; then
  packages=(g++ cmake ninja-build pkg-config libabsl-dev nlohmann-json3-dev libxxhash-dev zlib1g-dev libhdf5-dev
    libcli11-dev libgtest-dev libgmock-dev libbenchmark-dev python3 unzip)
fi

# With --tests also a browser, which the tests of the page drive, and zsh, whose completion is tried;
# those tests are skipped without them.
[ "${1:-}" = --tests ] && packages+=(chromium chromium-driver fonts-dejavu-core zsh)

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  # What is missing, the configuration says.
  if [ "${1:-}" = --trainer ]; then exit 0; fi
  fail "this is not Debian (no dpkg or apt-get). On Debian 12 these packages are installed: ${packages[*]}"
fi

# pip fetches LibTorch; any python3 that has it will do.
if [ -z "${LIBTORCH:-}" ] && ! python3 -c 'import pip' 2>/dev/null \
    && ! /usr/bin/python3 -c 'import pip' 2>/dev/null; then
  packages+=(python3-pip)
fi

installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null \
  | sed -n 's/ installed$//p') || true
missing=()
for package in "${packages[@]}"; do
  grep -qxF -- "$package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null \
    || fail "installing Debian packages needs root, and there is no sudo. As root: apt-get install ${missing[*]}"
  as_root=(sudo)
fi

log=$(mktemp "${TMPDIR:-/tmp}/allometry-setup.XXXXXX")
say "installing ${#missing[@]} missing Debian packages (output: $log): ${missing[*]}"
case " ${missing[*]} " in
  *" dict-gcide "*) say "dict-gcide brings the dictionary server dictd along; nothing here uses the server" ;;
esac

# Another apt may hold the lock for a while, on a machine that has just been started say.
apt() {
  local waited=0
  while ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 </dev/null; do
    if ! tail -n 5 "$log" | grep -q 'Could not get lock' || [ $waited -ge 300 ]; then return 1; fi
    if [ $waited -eq 0 ]; then say "another program holds apt's lock; waiting for it, up to 5 minutes"; fi
    sleep 10
    waited=$((waited + 10))
    echo "--- once more" >>"$log"
  done
}

explain() {
  local reason="apt-get failed"
  if grep -qE 'Temporary failure resolving|Could not resolve|Could not connect|Network is unreachable|Connection (timed out|refused|failed)' "$log"; then
    reason="no package server can be reached: check the network or the proxy"
  elif grep -q 'Could not get lock' "$log"; then
    reason="another program has held apt's lock for 5 minutes: wait for it, then run this again"
  elif grep -qE 'Unable to locate package|has no installation candidate' "$log"; then
    reason="this system's package lists lack $(sed -nE "s/.*(Unable to locate package |Package '?)([a-z0-9+.-]+).*/\2/p" "$log" | sort -u | paste -sd' '): Debian 12 has all of them"
  elif grep -qE 'No space left|not enough free (disk )?space|enough free space in' "$log"; then
    reason="the disk is full"
  elif grep -qE 'dpkg was interrupted' "$log"; then
    reason="an earlier installation was interrupted: as root, run 'dpkg --configure -a' first"
  elif grep -qE 'a password is required|not in the sudoers|is not allowed to' "$log"; then
    reason="sudo did not allow it. As root: apt-get install ${missing[*]}"
  fi
  grep -E '^(E|W|Err)[: ]' "$log" | sort -u | tail -n 5 >&2 || true
  fail "$reason (all output: $log)"
}

if [ ${#as_root[@]} -gt 0 ]; then
  sudo -v || fail "sudo did not allow it. As root: apt-get install ${missing[*]}"
fi
apt update || explain
apt install --no-install-recommends "${missing[@]}" || explain
rm -f "$log"
say "installed ${#missing[@]} Debian packages"
