#!/bin/bash
# manifests_test.sh BIN: the options in Kubernetes' manifests and systemd's units are options that
# the programs have.
set -u
bin=$1 folder=$(cd "$(dirname "$0")/../../deploy" && pwd)
for program in allo allo-coordinator allo-worker; do "$bin/$program" --help; done > /tmp/help.$$
trap 'rm -f /tmp/help.$$' EXIT
known=$(grep -oE -- '--[a-z][a-z-]+' /tmp/help.$$ | sort -u)
found=$(cat "$folder"/kubernetes/*.yaml "$folder"/systemd/*.service \
  | grep -oE -- '(- |[[:space:]]|\[)--[a-z][a-z-]+' | grep -oE -- '--[a-z][a-z-]+' | sort -u)
unknown=$(comm -13 <(echo "$known") <(echo "$found") | grep -vxF -e --now -e --from-file)
echo "options: $(echo "$found" | tr '\n' ' ')"
[ "$(echo "$found" | wc -l)" -ge 10 ] || { echo "FAIL: too few options were found"; exit 1; }
[ -z "$unknown" ] || { echo "FAIL: no program has $unknown"; exit 1; }
