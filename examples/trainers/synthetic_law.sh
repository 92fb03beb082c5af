#!/usr/bin/env bash
# A trainer in bash: prints a law's loss for each step it is asked for. L = E + A/N^alpha + B/D^beta.
# It writes no checkpoint, so after a preemption it begins again; its sweep file says so.
set -euo pipefail
params=$1 batch_tokens=$2 pause=${3:-0}
run_json=$ALLOMETRY_RUN_DIR/run.json
attempt=$(sed -nE 's/^  "attempt": ([0-9]+),?$/\1/p' "$run_json")
steps=$(sed -nE 's/^  "steps": ([0-9]+),?$/\1/p' "$run_json")
evaluations=$(tr -d ' \n' <"$run_json" | sed -nE 's/.*"evaluation_steps":\[([0-9,]*)\].*/\1/p' | tr ',' ' ')
spool=$ALLOMETRY_RUN_DIR/attempt-$attempt/spool
sequence=0

# A record is its JSON after its CRC-32 in 8 digits, which gzip puts before the length at its end.
say() {
  sequence=$((sequence + 1))
  local json="{\"seq\":$sequence,$1}"
  local crc
  crc=$(printf '%s' "$json" | gzip -1 -c | tail -c 8 | od -An -tx4 -N4 | tr -d ' ')
  printf '%s %s\n' "$crc" "$json" >>"$spool"
}

# The worker says when to stop. Reading with a limit is how bash listens without a thread.
stop=
listen() {
  local word
  while IFS=' ' read -r -t 0.01 word _; do
    case $word in preempt) stop=PREEMPTED ;; cancel) stop=CANCELLED_BY_USER ;; esac
  done
}

say "\"kind\":\"numerics\",\"params\":$params,\"contract\":\"1.0\""
for step in $evaluations; do
  listen
  if [ -n "$stop" ]; then
    say "\"kind\":\"exit\",\"reason\":\"$stop\",\"message\":\"told to stop\",\"step\":$step"
    exit 0
  fi
  tokens=$((step * batch_tokens))
  loss=$(awk -v n="$params" -v d="$tokens" 'BEGIN { printf "%.12g", 1.7 + 400 / n^0.34 + 410 / d^0.28 }')
  say "\"kind\":\"point\",\"step\":$step,\"tokens\":$tokens,\"series\":\"heldout\",\"value\":$loss"
  sleep "$pause"
done
say "\"kind\":\"exit\",\"reason\":\"SUCCEEDED\",\"message\":\"\",\"step\":$steps"
