#!/usr/bin/env bash
# make bench: every speed that the project states, one after the other, on this machine.
set -eu
cd "$(dirname "$0")/.."
echo "machine: $(nproc) cores, $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | sed 's/^ //'), load $(cut -d' ' -f1-3 /proc/loadavg), commit $(git rev-parse --short HEAD)"
for program in fit store listing open_sweeps ingest scheduler strata; do
  echo "== $program"
  if [ -x "build/bench/$program" ]; then "build/bench/$program"; else echo "build/bench/$program is not built"; fi
done
echo "== page"
bench/page.py
echo "== train"
bench/train.sh build
echo "== ladder"
bench/ladder.sh --scale 0.05
