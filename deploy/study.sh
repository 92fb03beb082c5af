#!/usr/bin/env bash
# What `make study NAME=char` runs: the datasets and sweeps that sweeps/studies/NAME.yaml needs, on a
# coordinator and a worker of this machine (two slots, or SLOTS=cpu:4), and `allo report` at the end.
# Everything lies in build/study/NAME/.
#
# Run again, it reuses what exists; interrupted, it resumes. `study.sh NAME clean` stops both and
# removes all; without a name it lists the studies.
set -u
cd "$(dirname "$0")/.." || exit 1
allo=build/bin/allo
me=study  # of deploy/local.sh

name=${1:-}
file=sweeps/studies/$name.yaml
if [ -z "$name" ] || [ ! -f "$file" ]; then
  [ -z "$name" ] || echo "study: there is no $file"
  echo "make study NAME=...:"
  for one in sweeps/studies/*.yaml; do
    printf '  %-22s %s\n' "$(basename "$one" .yaml)" "$(sed -nE '1s/^# //p' "$one")"
  done
  [ -z "$name" ] && exit 0 || exit 2
fi
home=build/study/$name
. deploy/local.sh

if [ "${2:-}" = clean ]; then
  clean_home
  exit 0
fi
needs=$("$allo" report --needs "$file") || exit 2
take_home

while read -r kind rest; do
  [ "$kind" = data ] || continue
  # Arguments of one dataset, as the study file has them.
  read -ra arguments <<<"$rest"
  "$allo" data "${arguments[@]}" --data-dir "$home/data" </dev/null || fail "no dataset: $rest"
done <<<"$needs"

start_both "${SLOTS:-cpu:2}"
say "coordinator at $ALLO_COORDINATOR, worker with ${SLOTS:-cpu:2}; logs in $home/"
# What is to be predicted is trained after it was; once, because later fits have seen it.
if [ ! -e "$home/predicted" ]; then
  for beginning in $(sed -n 's/^first //p' <<<"$needs"); do
    "$allo" submit "sweeps/$beginning.yaml" >"$home/$beginning.submitted" || exit 1
    watch_sweep "$(sed -n 's/^name: *//p' "sweeps/$beginning.yaml")" || exit 1
  done
  while read -r kind rest; do
    [ "$kind" = predict ] || continue
    read -ra arguments <<<"$rest"
    "$allo" predict "${arguments[@]}" </dev/null >"$home/predicted.txt" || exit 1
    say "predicted, before it is trained: allo predict $rest; $home/predicted.txt"
  done <<<"$needs"
  touch "$home/predicted"
fi
sweeps=$(sed -n 's/^sweep //p' <<<"$needs")
for sweep in $sweeps; do
  "$allo" submit "sweeps/$sweep.yaml" >"$home/$sweep.submitted" || exit 1
done
for sweep in $sweeps; do
  watch_sweep "$sweep" || say "$sweep did not end well; 'allo runs $sweep' says why"
done
echo
"$allo" report "$file"
code=$?
say "the database stays: $home/allometry.db; allo coordinator --db $home/allometry.db opens it"
exit "$code"
