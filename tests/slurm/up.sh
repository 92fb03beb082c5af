#!/bin/bash
# A real Slurm of several nodes on this machine, without systemd: hosts.sh gives each node its own
# network, hostname, processes and clock; munged, slurmctld and one slurmd a node run in them.
#
#   up.sh                 NODES="n1 n2 n3" CPUS=2 GPUS=2 (stand-ins: /dev/null) PREEMPT=requeue
#   on CMD...             (printed at the end) runs CMD on the login host, where sbatch works
#   down.sh               ends everything and removes $LAB
#
# Needs Debian's slurm-wlm (slurmd slurmctld slurm-client), munge, openssh-server, iproute2; root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export LAB=${LAB:-${TMPDIR:-/tmp}/allo-slurm}
NODES=${NODES:-n1 n2 n3} CPUS=${CPUS:-2} SOCKETS=${SOCKETS:-1} GPUS=${GPUS:-2} MEMORY=${MEMORY:-8000}
GRACE=${GRACE:-30} KILLWAIT=${KILLWAIT:-10} DOWN_AFTER=${DOWN_AFTER:-15}
SEND_USER_SIGNAL=${SEND_USER_SIGNAL:-0} # 1: preemption sends --signal's signal and not SIGTERM
hosts=$here/hosts.sh
began=$(date +%s%N)

missing=
for p in slurmctld slurmd munged sinfo sshd ip; do
  [ -x "$(command -v $p || true)" ] || [ -x /usr/sbin/$p ] || missing="$missing $p"
done
if [ -n "$missing" ]; then
  echo "up.sh: installing (missing:$missing)"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q >/dev/null
  apt-get install -qy --no-install-recommends slurmd slurmctld slurm-client slurm-wlm-plugins munge \
    openssh-server iproute2 >/dev/null
fi

# shellcheck disable=SC2086
"$hosts" up login $NODES
"$hosts" sshd
S=$LAB/slurm
mkdir -p "$S"/{state,log,run} "$LAB/dev"
for i in $(seq 0 $((GPUS - 1))); do [ -e "$LAB/dev/gpu$i" ] || mknod "$LAB/dev/gpu$i" c 1 3; done

proctrack=linuxproc # where cgroup v1 has a freezer: real containment, as on any production cluster
[ -w /sys/fs/cgroup/freezer/cgroup.procs ] && proctrack=cgroup
proctrack=${PROCTRACK:-$proctrack}
nodes=$(echo "$NODES" | tr ' ' ',')
cat >"$S/slurm.conf" <<END
ClusterName=lab
SlurmctldHost=login
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$S/run/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation=$S/state
SlurmdSpoolDir=$S/spool-%n
SlurmctldPidFile=$S/run/slurmctld.pid
SlurmdPidFile=$S/run/slurmd-%n.pid
SlurmctldLogFile=$S/log/slurmctld.log
SlurmdLogFile=$S/log/slurmd-%n.log
SlurmctldDebug=info
SlurmdDebug=info
ProctrackType=proctrack/$proctrack
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=${SELECT:-CR_Core_Memory}
GresTypes=gpu
MpiDefault=none
MpiParams=ports=12000-12999
ReturnToService=2
JobRequeue=1
KillWait=$KILLWAIT
SlurmdTimeout=$DOWN_AFTER
SlurmdParameters=config_overrides
MessageTimeout=10
TCPTimeout=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=5,bf_interval=5,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
$([ "$SEND_USER_SIGNAL" = 1 ] && echo SlurmctldParameters=preempt_send_user_signal)
JobCompType=jobcomp/filetxt
JobCompLoc=$S/log/jobs.txt
NodeName=DEFAULT CPUs=$CPUS Sockets=$SOCKETS CoresPerSocket=$((CPUS / SOCKETS)) ThreadsPerCore=1 RealMemory=$MEMORY Gres=gpu:$GPUS State=UNKNOWN
$(for n in $NODES; do echo "NodeName=$n NodeHostname=$n"; done)
PartitionName=normal Nodes=$nodes Default=YES MaxTime=INFINITE State=UP PriorityTier=5 PreemptMode=OFF
PartitionName=low Nodes=$nodes MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=$GRACE
PartitionName=high Nodes=$nodes MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
END
cat >"$S/gres.conf" <<END
AutoDetect=off
NodeName=$nodes Name=gpu File=$LAB/dev/gpu[0-$((GPUS - 1))]
END
printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nConstrainCores=no\n' >"$S/cgroup.conf"
[ -f "$S/munge.key" ] || (umask 077; head -c 256 /dev/urandom >"$S/munge.key")

cat >"$LAB/on" <<END
#!/bin/bash
# on CMD...: on the login host, with Slurm's configuration. HOST=n1 on CMD...: on another one.
export SLURM_CONF=$S/slurm.conf LAB=$LAB
exec $hosts run "\${HOST:-login}" "\$@"
END
chmod +x "$LAB/on"

# The socket is a file, so one munged serves every host.
"$LAB/on" munged --force --socket="$S/run/munge.socket" --key-file="$S/munge.key" \
  --log-file="$S/log/munged.log" --pid-file="$S/run/munged.pid" --seed-file="$S/run/munged.seed"
"$LAB/on" slurmctld -c
start_node() {
  mkdir -p "$S/spool-$1"
  HOST=$1 "$LAB/on" slurmd -N "$1" -f "$S/slurm.conf"
}
for n in $NODES; do start_node "$n"; done

for _ in $(seq 200); do
  idle=$("$LAB/on" sinfo -h -N -p normal -t idle -o %N 2>/dev/null | sort -u | wc -w)
  [ "$idle" = "$(echo "$NODES" | wc -w)" ] && break
  sleep 0.2
done
"$LAB/on" sinfo
echo "up.sh: $idle of $(echo "$NODES" | wc -w) nodes idle after $((($(date +%s%N) - began) / 1000000)) ms; proctrack/$proctrack; run: $LAB/on srun -N3 hostname"
[ "$idle" = "$(echo "$NODES" | wc -w)" ]
