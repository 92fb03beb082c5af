#!/bin/bash
# install_test.sh BUILD FOLDER: the installed tree is moved, and used there by a user who may read
# nothing of the source, the build or LibTorch's own folder: a sweep of one and of two ranks. As root
# that user is `nobody`; otherwise the one who calls.
set -u
build=$1 folder=$2
failures=0
check() { # text, command...
  local text=$1
  shift
  if "$@"; then echo "ok    $text"; else echo "FAIL  $text"; failures=$((failures + 1)); fi
}
tmp=$(mktemp -d /tmp/allo-install.XXXXXX)
trap 'stop; rm -rf "$tmp" "$folder"' EXIT
worker='' coordinator=''
stop() { for pid in $worker $coordinator; do kill "$pid" 2> /dev/null; done; wait; }

rm -rf "$folder"
cmake --install "$build" --prefix "$folder/first" > "$tmp/install.log" || exit 1
mkdir "$tmp/tree" "$tmp/home"
mv "$folder/first"/* "$tmp/tree/"
chmod 755 "$tmp" "$tmp/tree"
as=()
if [ "$(id -u)" = 0 ]; then
  chown nobody "$tmp/home"
  as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
fi
as+=(env -i "PATH=/usr/bin:/bin" "HOME=$tmp/home" "ALLO_COORDINATOR=unix:$tmp/home/c.sock")
bin=$tmp/tree/bin
cd "$tmp/home" || exit 1

libraries() { for program in "$bin"/*; do "${as[@]}" ldd "$program"; done; }
libraries > "$tmp/libraries"
check "every library is found" bash -c "! grep 'not found' '$tmp/libraries'"
check "and is the tree's own or the system's" bash -c \
  "! grep '=> /' '$tmp/libraries' | grep -v '=> \(/lib\|/usr/lib\|$tmp/tree/bin/../lib/allometry\)/'"
check "every program says its version" bash -c \
  "for p in allo allo-coordinator allo-worker allo-trainer; do ${as[*]} $bin/\$p --version || exit 1; done; ${as[*]} $bin/allo-supervisor --help"
check "the units name programs that are there" bash -c \
  "! grep -h ExecStart= $tmp/tree/lib/systemd/system/*.service | grep -v 'ExecStart=$folder/first/bin/allo-'"

cat > "$tmp/s.yaml" << YAML
name: tiny
dataset: "strata:library=4,view=8,zo=64,frames=1"
model: {family: gpt, frames: 1, sizes: [5k, 10k]}
training: {objective: observation, batch_sequences: 16, warmup_steps: 20, learning_rate: 5.0e-3, seeds: [1]}
budgets: {flops: [3e9, 1e10]}
devices: {default: 1, 10k: 2}
evaluation: {windows: 64, per_decade: 5}
YAML
"${as[@]}" mkdir data
"${as[@]}" "$bin/allo" coordinator --db a.db --listen "unix:$tmp/home/c.sock" > "$tmp/c.log" 2>&1 &
coordinator=$!
"${as[@]}" "$bin/allo" worker --slots cpu:2 --state-dir state --run-root runs --data-dir data \
  > "$tmp/w.log" 2>&1 &
worker=$!
all_done() { [ "$("${as[@]}" "$bin/allo" runs tiny 2> /dev/null | grep -c ' done ')" = 2 ]; }
submitted() { "${as[@]}" "$bin/allo" submit "$tmp/s.yaml" > "$tmp/s.log" 2>&1; }
within() { # seconds, command
  for _ in $(seq "$1"); do "$2" && return; sleep 1; done
  return 1
}
check "a sweep is taken" within 300 submitted
check "and trained on one and on two ranks" within 300 all_done
[ $failures = 0 ] || tail -n 20 "$tmp"/*.log
exit $((failures > 0))
