#!/usr/bin/env bash
# cmake/build.sh DIR [TARGET]: compiles what is configured in DIR, everything or TARGET.
#
# On a terminal the build tool shows its own progress. Elsewhere (CI, a log) a line a minute says how
# many steps are done; warnings and errors are passed on whole.
set -euo pipefail
dir=$1
target=("${@:2}")
[ ${#target[@]} -eq 0 ] || target=(--target "${target[@]}")
every=${ALLO_BUILD_LINE_SECONDS:-60}

if [ -t 1 ]; then exec cmake --build "$dir" "${target[@]}"; fi

status="" last=0 first=$SECONDS
say() { # at most once in $every seconds
  [ -n "$status" ] && ((SECONDS - last >= every)) || return 0
  last=$SECONDS
  echo "build: $status steps done, $(((SECONDS - first) / 60)) min"
}
last=$((SECONDS - every)) # the first status is said at once
exec 3< <(NINJA_STATUS='[%f of %t] ' cmake --build "$dir" "${target[@]}" 2>&1)
builder=$!
while :; do
  rc=0
  IFS= read -r -t "$every" -u 3 line || rc=$?
  if ((rc > 128)); then say; continue; fi # nothing was written for so long
  ((rc == 0)) || break
  if [[ $line =~ ^\[([0-9]+\ of\ [0-9]+)\]\  ]]; then
    status=${BASH_REMATCH[1]}
    say
  elif [[ $line != "ninja: no work to do." ]]; then
    printf '%s\n' "$line"
  fi
done
wait "$builder"
