#!/bin/bash
# deploy/slurm on a real Slurm, as a user runs it: four nodes on this machine (up.sh), which start in
# seconds and whose boot clocks differ by more than a day.
#
#   make test-slurm                      tests/slurm/slurm_test.sh [TEST...]
#
# Needs root on Debian 12; installs slurm-wlm, munge and sshd where they are missing. PATIENCE=2
# doubles every wait. 0: all passed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
src=$(cd "$here/../.." && pwd)
cd "$src" || exit 1
export LAB=${LAB:-${TMPDIR:-/tmp}/allo-slurm} LAB_SHARED
LAB_SHARED="$LAB $here $src"
on=$LAB/on out=$LAB/out
export ALLO_HOME=$LAB/home ALLO_BIN=${ALLO_BIN:-$src/build/bin}
patience=${PATIENCE:-1}
failures=0

sub() { "$on" sbatch --parsable --open-mode=append "$@"; }
workers() { sub -o "$out/workers-%j.out" --time=60 "$@" "$src/deploy/slurm/workers.sbatch"; }
serve() {
  sub -o "$out/coordinator.out" --time=60 "$@" "$src/deploy/slurm/coordinator.sbatch" > /dev/null
  within 60 test -s "$ALLO_HOME/address"
}
allo() {
  "$on" env ALLO_COORDINATOR="$(cat "$ALLO_HOME/address")" "$ALLO_BIN/allo" \
    --tls-ca "$ALLO_HOME/cert.pem" --token-file "$ALLO_HOME/token" "$@"
}
within() { # seconds, command...: until it succeeds
  local end=$((SECONDS + $1 * patience))
  shift
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -ge $end ] && return 1
    sleep 0.5
  done
}
check() { # text, command...
  local text=$1
  shift
  if "$@" > /dev/null 2>&1; then
    echo "ok    $text"
  else
    echo "FAIL  $text"
    failures=$((failures + 1))
    "$on" squeue
    tail -n 15 "$out"/*.out
    allo workers
  fi
}
submit() { # name, devices (YAML), sizes, FLOPs
  cat > "$out/$1.yaml" << END
name: $1
dataset: "strata:library=4,view=8,zo=64,frames=1"
model: {family: gpt, frames: 1, sizes: $3}
training: {objective: observation, batch_sequences: 16, warmup_steps: 20, learning_rate: 5.0e-3, seeds: [1]}
budgets: {flops: $4}
devices: $2
evaluation: {windows: 64, per_decade: 5}
log_every: 20
checkpoint_every: 2s
END
  allo submit "$out/$1.yaml" > "$out/$1.submitted" 2>&1
}
hosts_offered() { [ "$(allo workers | grep -c '^n[0-9]')" -ge "$1" ]; }
is() { allo runs "$1" | sed -n 2p | grep -q " $2 "; }   # the state of a sweep's first run
all_done() { allo runs "$1" | grep -E '^ *[0-9]+ ' > "$out/runs" && ! grep -qv ' done ' "$out/runs"; }
says() { grep -q "$2" "$out/workers-$1.out"; }
state() { "$on" squeue -h -j "$1" -o %T; }
job_is() { state "$1" | grep -qE "$2"; }
gone() { ! state "$1" | grep -q .; }
starts() { grep -c 'started on' "$out/workers-$1.out"; }
has_starts() { [ "$(starts "$1")" -ge "$2" ]; }
trainers() { HOST=$1 "$on" pgrep -f '^[^ ]*/allo-trainer'; }
no_trainers() { for host; do ! trainers "$host" || return; done; }
# Every point that was ever due is there, and once.
one_curve() {
  allo export "$1" --points --series train > "$out/points.csv" && "$here/one_curve.py" "$out/points.csv" 20
}
goes_on() { # sweep: its curve grows
  local was
  was=$(allo export "$1" --points --series train | wc -l)
  within 60 grows "$1" "$was"
}
grows() { [ "$(allo export "$1" --points --series train | wc -l)" -gt "$2" ]; }
power_on() { # a node of the cluster
  "$here/hosts.sh" up "$1"
  HOST=$1 "$on" slurmd -N "$1" -f "$LAB/slurm/slurm.conf"
}
failed_attempts() { allo runs "$1" --json | grep -o '"failures": *"*[0-9]*' | grep -qv '[^0-9]0$'; }
no_failures() { ! failed_attempts "$1"; }

clear_all() {
  for job in $("$on" squeue -h -o %i); do "$on" scancel "$job"; done
  within 60 bash -c "! $on squeue -h | grep -q ."
  rm -rf "$ALLO_HOME" "$out"
  mkdir -p "$ALLO_HOME/data" "$out"
}

sweep() {
  job=$(workers --nodes=3 --cpus-per-task=2)
  sleep 4
  check "workers wait for their coordinator" job_is "$job" RUNNING
  serve
  check "three nodes are offered by one worker" within 40 hosts_offered 3
  submit sweep '{default: 1, 10k: 2, 20k: 4}' '[5k, 10k, 20k]' '[3e9, 1e10]'
  check "runs of 1, 2 and 4 ranks on nodes of 2 CPUs" within 180 all_done sweep
  check "the run of 4 ranks was on two nodes or more" grep -Eq \
    'run [0-9]+ attempt [0-9]+: started on n[1-4]/.* n[1-4]/.* n[1-4]/.* n[1-4]/' "$out/workers-$job.out"
  wide=$(sed -n 's|.*run \([0-9]*\) attempt [0-9]*: started on n./.* n./.* n./.* n./.*|\1|p' "$out/workers-$job.out" | head -1)
  mkdir -p "$out/one/attempt-1"
  rm -rf "$out/one" && mkdir -p "$out/one"
  cp "$ALLO_HOME/runs/run-$wide/run.json" "$out/one"
  HOST=n1 "$on" mpirun --allow-run-as-root -np 4 --oversubscribe --bind-to none \
    "$ALLO_BIN/allo-trainer" "$out/one" --data-dir "$ALLO_HOME/data" > "$out/one.log" 2>&1
  check "its curve is that of 4 ranks on one host, bit for bit" test \
    "$("$here/curve.py" "$ALLO_HOME/runs/run-$wide")" = "$("$here/curve.py" "$out/one")"
}

preempt() {
  serve -w n1
  job=$(workers -p low -w n2,n3,n4 --nodes=3 --cpus-per-task=2)
  within 40 hosts_offered 3
  submit preempt '{default: 3}' '[20k]' '[3e12]'
  within 60 is preempt running
  sleep 8
  high=$(sub -p high -N3 -w n2,n3,n4 --exclusive -o /dev/null --wrap 'sleep 3')
  check "preemption: a checkpoint within the grace time" within 60 says "$job" 'PREEMPTED at step'
  within 90 gone "$high"
  check "preemption: the job is back in the queue" within 60 job_is "$job" 'PENDING|RUNNING'
  check "and its run goes on from the checkpoint" within 90 says "$job" ' from step [1-9]'
  "$on" scancel "$job"
  check "scancel: the job ends and is not requeued" within 60 gone "$job"
  sleep 5
  check "and stays away" gone "$job"
}

restarted() { "$on" scontrol show job "$1" | grep -q "Restarts=[1-9]"; }
limit() {
  serve -w n1 --time=2
  coordinator=$("$on" squeue -h -n allo-coordinator -o %i)
  job=$(workers -w n2 --nodes=1 --time=2)
  within 40 hosts_offered 1
  sleep 30
  check "a job of 2 minutes is used for more than half of one" job_is "$job" RUNNING
  check "it stops before its limit, and goes back into the queue" within 120 says "$job" 'restart 1'
  check "so does the coordinator's" within 60 restarted "$coordinator"
  check "and serves as before" within 60 hosts_offered 1
}

move() {
  serve --exclude=n2,n3
  job=$(workers -w n2,n3 --nodes=2 --cpus-per-task=2)
  within 40 hosts_offered 2
  was=$(cat "$ALLO_HOME/address")
  "$on" scontrol update nodename="${was%%.*}" state=drain reason=test
  "$on" scontrol requeue "$("$on" squeue -h -n allo-coordinator -o %i)"
  within 120 bash -c "[ \$(cat $ALLO_HOME/address) != $was ]"
  check "the coordinator moves to another node: its workers follow" within 90 hosts_offered 2
  "$on" scontrol update nodename="${was%%.*}" state=resume
}

share() {
  serve -w n1
  a=$(workers -w n2 --nodes=1 --cpus-per-task=1 --mem=1G)
  b=$(workers -w n2 --nodes=1 --cpus-per-task=1 --mem=1G)
  check "two jobs on one node, a core each" within 60 bash -c \
    "grep -q registered $out/workers-$a.out && grep -q registered $out/workers-$b.out"
}

# A node that has ranks of the only run, and not the worker.
node_of_run() { grep 'started on' "$out/workers-$1.out" | tail -1 | grep -o 'n[34]/' | head -1 | tr -d /; }

node() {
  serve -w n1
  job=$(workers -w n2,n3,n4 --nodes=3 --cpus-per-task=2)
  within 40 hosts_offered 3
  submit node '{default: 4}' '[20k]' '[3e12]'
  within 60 is node running
  sleep 6
  lost=$(node_of_run "$job")
  killed=$SECONDS
  "$here/hosts.sh" kill "$lost"
  check "a node loses its power: its run is back within 60 s" within 60 has_starts "$job" 2
  echo "      (after $((SECONDS - killed)) s)"
  check "it ended as NODE_LOST" says "$job" NODE_LOST
  check "the job goes on" job_is "$job" RUNNING
  check "nothing is counted as a failure" no_failures node
  check "and the run goes on" goes_on node
  power_on "$lost"
}

agent_node() {
  serve -w n1
  job=$(workers -w n2,n3,n4 --nodes=3 --cpus-per-task=2)
  within 40 hosts_offered 3
  submit power '{default: 3}' '[10k, 20k]' '[3e12]'
  within 60 trainers n3 && within 60 trainers n4
  sleep 6
  "$here/hosts.sh" kill n2
  check "the worker's own node loses its power: trainers elsewhere end" within 40 no_trainers n3 n4
  power_on n2
  check "the job is back in the queue" within 120 says "$job" 'restart 1'
  check "and its runs go on" goes_on power
  check "nothing is lost or doubled" one_curve power
}

# A trainer that is a command (docs/trainer.md). Each process says where it is, and leaves a child
# without session, environment and parent.
submit_command() { # name, env (YAML), tokens
  cat > "$out/command.py" << 'END'
import os, socket, sys, time
from allometry.trainer import Run
print("place", socket.gethostname(), *sys.argv[1:], flush=True)
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.execve("/bin/sleep", ["sleep", "4242"], {})
os.wait()
run = Run.from_environment()
for step in run.steps:
    run.log(step, train=1.0 / step)
    if step in run.evaluation_steps:
        run.log(step, heldout=1.0 / step)
    time.sleep(.01)
    stop = run.should_stop()
    if stop or run.should_checkpoint(step):
        with run.checkpoint(step) as path:
            path.write_text(str(step))
    if stop:
        run.stop(step)
run.finish()
END
  cat > "$out/$1.yaml" << END
name: $1
dataset: {external: none, tokens: 1T}
trainer:
  command: [python3, command.py, "of {hosts} {host_rank} {host_devices}"]
  env: {PYTHONPATH: $src/python, $2}
  files: [command.py]
model: {table: [{label: 1k, params: 1000}]}
training: {batch_tokens: 100, warmup_steps: 10, learning_rate: 1e-3}
budgets: {tokens: [$3]}
devices: 4
log_every: 20
checkpoint_every: 2s
END
  allo submit "$out/$1.yaml" > "$out/$1.submitted" 2>&1
}
places() { cat "$ALLO_HOME"/runs/run-"$1"/attempt-1/log | grep '^place' | sort; }
# On hosts: what commands leave, or no such thing.
sleepers() { HOST=$1 "$on" pgrep -f '^sleep 4242$'; }
no_sleepers() { for host; do ! sleepers "$host" || return; done; }

commands() {
  serve -w n1
  job=$(ALLO_WORKER_OPTIONS=--allow-commands=all workers -w n2,n3,n4 --nodes=3 --cpus-per-task=2)
  within 40 hosts_offered 3
  submit_command hosts 'RANK: "{host_rank}", WORLD_SIZE: "{hosts}"' 10k
  check "a command, one process on each of two nodes" within 90 all_done hosts
  check "each knows its place" test "$(places 1 | cut -d' ' -f3- | paste -sd, -)" = 'of 2 0 2,of 2 1 2'
  check "and they are on two nodes" test "$(places 1 | cut -d' ' -f2 | sort -u | wc -l)" = 2
  submit_command devices 'RANK: "{rank}", WORLD_SIZE: "{devices}"' 10k
  check "a command, one process for each of four devices" within 90 all_done devices
  check "on two nodes" test "$(places 2 | cut -d' ' -f2 | sort | uniq -c | awk '{print $1}' | paste -sd, -)" = 2,2
  check "nothing is left of them" within 20 no_sleepers n2 n3 n4
  submit_command long 'RANK: "{host_rank}", WORLD_SIZE: "{hosts}"' 100M
  within 60 is long running
  sleep 8
  lost=$(node_of_run "$job")
  "$here/hosts.sh" kill "$lost"
  check "a node of a command loses its power: its run is back within 60 s" within 60 has_starts "$job" 4
  check "it ended as NODE_LOST" says "$job" NODE_LOST
  check "nothing is counted as a failure" no_failures long
  check "and the run goes on" goes_on long
  power_on "$lost"
  allo cancel long
  check "told to cancel, all of it ends" within 60 no_sleepers n2 n3 n4
  check "as CANCELLED_BY_USER" within 20 says "$job" CANCELLED_BY_USER
}

agent() {
  serve -w n1
  job=$(workers -w n2,n3 --nodes=2 --cpus-per-task=2)
  within 40 hosts_offered 2
  submit agent '{default: 3}' '[20k]' '[3e12]'
  within 60 is agent running
  HOST=n2 "$on" pkill -KILL -f '^[^ ]*/allo-worker'
  check "a worker that is killed is started again" within 60 says "$job" 'the worker ended with 137'
  check "and its run goes on" within 90 bash -c "[ \$(grep -c 'started on' $out/workers-$job.out) -ge 2 ]"
}

again() {
  serve -w n1
  job=$(workers -w n2 --nodes=1 --cpus-per-task=2)
  within 40 hosts_offered 1
  "$on" scancel "$job"
  within 30 gone "$job"
  job=$(workers -w n2 --nodes=1 --cpus-per-task=2)
  check "a new job on the node at once after a clean stop" within 30 says "$job" registered
}

nodes_of_workers() { "$on" squeue -h -n allo-workers -t R -o %D | awk '{n += $1} END {print n + 0}'; }
has_nodes() { [ "$(nodes_of_workers)" "$@" ]; }

scale() {
  serve -w n1
  allo slurm scale --max-nodes 3 --every 2s --idle-exit 8s --script "$src/deploy/slurm/workers.sbatch" \
    -- --cpus-per-task=1 --time=60 --output="$out/workers-%j.out" > "$out/scale.out" 2>&1 &
  scaler=$!
  sleep 6
  check "scale: no job without runs" has_nodes -eq 0
  submit scale '{default: 1}' '[5k, 10k, 20k, 40k]' '[3e10, 1e11]'
  check "scale: up to three nodes" within 60 has_nodes -eq 3
  check "scale: the sweep is trained" within 180 all_done scale
  check "scale: back to none" within 60 has_nodes -eq 0
  stop_scaler
  submit more '{default: 1}' '[5k, 10k, 20k]' '[3e10]'
  allo slurm scale --max-nodes 3 --once --dry-run --script "$src/deploy/slurm/workers.sbatch" \
    > "$out/scale.out" 2>&1
  check "scale: a dry run says what it would submit" grep -q "would submit: 'sbatch'" "$out/scale.out"
  check "scale: and submits nothing" has_nodes -eq 0
  printf '#!/bin/bash\nexit 1\n' > "$out/broken.sbatch"
  allo slurm scale --max-nodes 3 --every 1s --job-name broken --script "$out/broken.sbatch" \
    -- --output=/dev/null > "$out/scale.out" 2>&1 &
  scaler=$!
  check "scale: three failed jobs end in a pause" within 60 grep -q 'last 3 worker jobs failed' "$out/scale.out"
  sleep 5
  check "scale: of which no fourth comes" test \
    "$("$on" squeue -h --states=all -n broken -o %T | grep -c .)" = 3
  stop_scaler
}
# `on` enters the host by nsenter, which waits for the program.
stop_scaler() {
  "$on" pkill -f 'allo .*slurm scale'
  wait "$scaler" 2> /dev/null
}

# The same without Slurm: one worker over three hosts by ssh.
start_ssh_worker() {
  HOST=n2 "$on" "$ALLO_BIN/allo-worker" --coordinator-file "$ALLO_HOME/address" \
    --token-file "$ALLO_HOME/token" --state-dir "$ALLO_HOME/agent" --run-root "$ALLO_HOME/runs" \
    --data-dir "$ALLO_HOME/data" --hosts n2:2,n3:2,n4:2 --ssh "ssh -F $LAB/ssh/config" \
    >> "$out/workers-ssh.out" 2>&1 &
  worker=$!
}
start_ssh() {
  "$ALLO_BIN/allo" certs init --dir "$ALLO_HOME/certs" n1 > /dev/null
  cp "$ALLO_HOME/certs/ca.pem" "$ALLO_HOME/cert.pem"
  HOST=n1 "$on" "$ALLO_BIN/allo-coordinator" --db "$ALLO_HOME/allometry.db" --listen n1:7447 \
    --token-file "$ALLO_HOME/token" --address-file "$ALLO_HOME/address" \
    --tls-cert "$ALLO_HOME/certs/n1.pem" --tls-key "$ALLO_HOME/certs/n1.key" \
    > "$out/coordinator.out" 2>&1 &
  coordinator=$!
  start_ssh_worker
  check "by ssh: three hosts are offered" within 40 hosts_offered 3
}
stop_ssh() {
  HOST=n2 "$on" pkill -f '^[^ ]*/allo-worker'
  wait "$worker"
  HOST=n1 "$on" pkill -f '^[^ ]*/allo-coordinator'
  wait "$coordinator"
}

by_ssh() {
  start_ssh
  submit ssh '{default: 1, 10k: 2, 20k: 5}' '[5k, 10k, 20k]' '[3e9, 1e10]'
  check "by ssh: runs of 1, 2 and 5 ranks on hosts of 2 slots" within 180 all_done ssh
  submit cable '{default: 5}' '[20k]' '[3e12]'
  within 60 is cable running
  sleep 6
  began=$(starts ssh)
  "$here/hosts.sh" cut n4
  sleep 15
  "$here/hosts.sh" mend n4
  check "by ssh: a cable is out for 15 s: the run goes on" goes_on cable
  check "and has not started again" test "$(starts ssh)" = "$began"
  stop_ssh
}

# Cables that are out for longer than a lease, and power.
by_ssh_longer() {
  start_ssh
  submit cable '{default: 4}' '[20k]' '[3e12]'
  within 60 is cable running
  sleep 6
  lost=$(node_of_run ssh)
  "$here/hosts.sh" cut "$lost"
  check "by ssh: a host's cable is out for 50 s: its run is back within 60 s" \
    within 60 has_starts ssh 2
  sleep 10
  "$here/hosts.sh" mend "$lost"
  check "by ssh: that host's ranks are gone" within 60 no_foreign_trainers "$lost"
  check "by ssh: the host is offered again" within 60 hosts_offered 3
  "$here/hosts.sh" cut n2
  sleep 45
  "$here/hosts.sh" mend n2
  check "by ssh: the worker's cable is out for 45 s: its run goes on" goes_on cable
  check "by ssh: nothing is lost or doubled" one_curve cable
  check "nothing is counted as a failure" no_failures cable
  "$here/hosts.sh" kill n2
  check "by ssh: the worker's host loses its power: trainers elsewhere end with their lease" \
    within 40 no_trainers n3 n4
  wait "$worker"
  power_on n2
  start_ssh_worker
  check "by ssh: a new worker goes on with its run" goes_on cable
  check "by ssh: nothing is lost or doubled" one_curve cable
  stop_ssh
}
# Trainers there are of the newest attempt.
no_foreign_trainers() {
  local newest
  newest=$(grep -o 'run [0-9]* attempt [0-9]*: started on' "$out/workers-ssh.out" | tail -1 | awk '{print "run-" $2 "/attempt-" $4 + 0}')
  ! for pid in $(trainers "$1"); do
    HOST=$1 "$on" cat "/proc/$pid/environ" | tr '\0' '\n' | grep '^ALLOMETRY_ATTEMPT=' | grep -v "$newest$"
  done | grep -q .
}

NODES="n1 n2 n3 n4" "$here/up.sh" | tail -1 || exit 1
trap '"$here/hosts.sh" down' EXIT
# shellcheck disable=SC2068
for test in ${@:-sweep preempt limit move share node agent_node commands agent again scale by_ssh by_ssh_longer}; do
  clear_all
  "$test"
done
echo "$failures failures"
exit $((failures > 0))
