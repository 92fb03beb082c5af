#!/bin/bash
# Hosts on one machine: each has its own network, hostname, processes, /dev/shm, clock and cgroups,
# on one bridge. Needs root (or CAP_SYS_ADMIN + CAP_NET_ADMIN); touches nothing outside $LAB.
#
#   hosts.sh up NAME...      start hosts that do not run yet         hosts.sh down [NAME...]
#   hosts.sh run NAME CMD... a command on a host                     hosts.sh list
#   hosts.sh kill NAME       power off: every process dies at once   (up NAME: power on again)
#   hosts.sh cut NAME        pull the cable                          hosts.sh mend NAME
#   hosts.sh freeze NAME     stop every process there                hosts.sh thaw NAME
#   hosts.sh sshd            an sshd on every host; $LAB/ssh/config lets each reach the others
#
# Every host has another boot time (LAB_BOOT_STEP seconds apart), so CLOCK_BOOTTIME and
# CLOCK_MONOTONIC differ between hosts as they do in life.
set -euo pipefail
LAB=${LAB:-${TMPDIR:-/tmp}/allo-slurm}
self=$(readlink -f "$0")
net=${LAB_NET:-10.77.0}
step=${LAB_BOOT_STEP:-100000}
shared=${LAB_SHARED:-$LAB $(cd "$(dirname "$0")" && pwd) $PWD} # seen by all hosts, as NFS would be
cg=/sys/fs/cgroup

fail() { echo "hosts.sh: $*" >&2; exit 1; }
pid_of() { cat "$LAB/host/$1/pid" 2>/dev/null; }
alive() { local p; p=$(pid_of "$1") && [ -d "/proc/$p" ]; }
names() { ls "$LAB/host" 2>/dev/null || true; }
freezer() { echo "$cg/freezer/allo-slurm/$1"; }
# Only the freezer (cgroup v1): for freeze and thaw, and for Slurm's proctrack/cgroup, which contains
# what setsid and a dead parent would hide. Memory and CPU stay accounted where they were.
controllers() { [ -w "$cg/freezer/cgroup.procs" ] && echo freezer; true; }

start_switch() {
  [ -f "$LAB/switch.pid" ] && [ -d "/proc/$(cat "$LAB/switch.pid")" ] && return
  # unshare without --fork: the recorded pid is the sleeper's own.
  setsid unshare --net sleep infinity </dev/null >/dev/null 2>&1 &
  echo $! >"$LAB/switch.pid"
  local i
  for i in $(seq 100); do
    [ "$(readlink "/proc/$!/ns/net")" != "$(readlink /proc/self/ns/net)" ] && break
    sleep 0.02
  done
  nsenter -t $! -n sh -c 'ip link set lo up; ip link add br0 type bridge; ip link set br0 up'
}

# Runs as process 1 of a host. $1: its name, $2: the machine's view of its cgroups.
init() {
  local name=$1 c
  hostname "$name"
  mount --make-rprivate /
  mount --bind "$LAB/hosts" /etc/hosts
  mount -t tmpfs -o mode=1777 tmpfs /dev/shm
  # /tmp is the host's own (Slurm's PMIx plugin and Open MPI keep sockets there), but for what is shared.
  local own=$LAB/host/$name/tmp dir
  mkdir -p "$own"; chmod 1777 "$own"
  for dir in $shared; do
    [[ $dir == /tmp/* ]] && [ -d "$dir" ] && mkdir -p "$own${dir#/tmp}" && mount --bind "$dir" "$own${dir#/tmp}"
  done
  mount --rbind "$own" /tmp
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/sshd
  for c in $(controllers); do mount --bind "$cg/$c/allo-slurm/$name" "$cg/$c"; done
  mount -t proc proc /proc
  : >"$LAB/host/$name/ready"
  trap 'exit 0' TERM
  while :; do sleep infinity & wait $!; done # bash reaps orphans
}

start_host() {
  local name=$1 number offset c
  [[ $name =~ ^[a-z][a-z0-9]*$ ]] || fail "host '$name': letters and digits are allowed"
  alive "$name" && return
  mkdir -p "$LAB/host/$name"
  rm -f "$LAB/host/$name/ready"
  if [ ! -f "$LAB/host/$name/number" ]; then
    number=$(($(wc -l <"$LAB/hosts")))
    echo "$number" >"$LAB/host/$name/number"
    echo "$net.$((10 + number)) $name.lab $name" >>"$LAB/hosts"
  fi
  number=$(cat "$LAB/host/$name/number")
  offset=$((number * step))
  for c in $(controllers); do mkdir -p "$cg/$c/allo-slurm/$name"; done
  local timens="--time --boottime $offset --monotonic $offset"
  unshare --time true 2>/dev/null || timens=
  # shellcheck disable=SC2086
  LAB=$LAB setsid bash -c '
    for c in '"$(controllers | tr '\n' ' ')"'; do echo $$ >'"$cg"'/$c/allo-slurm/'"$name"'/cgroup.procs; done
    exec unshare --net --uts --ipc --mount --pid '"$timens"' --fork --kill-child "$0" __init '"$name" \
    "$self" </dev/null >"$LAB/host/$name/init.log" 2>&1 &
  local outer=$! i pid=
  for i in $(seq 250); do
    pid=$(pgrep -P "$outer" || true)
    [ -n "$pid" ] && [ -f "$LAB/host/$name/ready" ] && break
    sleep 0.02
  done
  [ -f "$LAB/host/$name/ready" ] || fail "host $name did not start: $(cat "$LAB/host/$name/init.log")"
  echo "$pid" >"$LAB/host/$name/pid"
  local switch; switch=$(cat "$LAB/switch.pid")
  nsenter -t "$switch" -n ip link del "$name" 2>/dev/null || true
  nsenter -t "$switch" -n ip link add "$name" type veth peer name eth0 netns "$pid"
  nsenter -t "$switch" -n ip link set "$name" master br0 up
  nsenter -t "$pid" -n sh -c "ip link set lo up; ip addr add $net.$((10 + number))/24 dev eth0; ip link set eth0 up"
  start_sshd "$name"
}

start_sshd() { # where `hosts.sh sshd` was asked for, also after a power-off
  [ -f "$LAB/ssh/sshd_config" ] || return 0
  "$self" run "$1" pgrep -x sshd >/dev/null && return
  "$self" run "$1" /usr/sbin/sshd -f "$LAB/ssh/sshd_config" -E "$LAB/host/$1/sshd.log"
}

run() {
  local pid; pid=$(pid_of "$1") || fail "no host $1"
  [ -d "/proc/$pid" ] || fail "host $1 is off"
  shift
  local self=$BASHPID c
  for c in $(controllers); do echo "$self" >"$cg/$c/allo-slurm/$host/cgroup.procs" 2>/dev/null || true; done
  # By name, not -a: --all enters only what differs from the caller's, and warns in some kernels.
  local t=; [ -e /proc/$pid/ns/time ] && t=-T
  exec nsenter -t "$pid" -n -u -i -m -p $t -W "$PWD" -- "$@"
}

power_off() {
  local pid; pid=$(pid_of "$1") || return 0
  echo THAWED >"$(freezer "$1")/freezer.state" 2>/dev/null || true
  [ -d "/proc/$pid" ] && kill -KILL "$pid" 2>/dev/null || true
  while [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do sleep 0.02; done
  rm -f "$LAB/host/$1/pid"
}

case ${1:-} in
  __init) init "$2" ;;
  up)
    shift
    mkdir -p "$LAB/host"
    [ -f "$LAB/hosts" ] || echo "127.0.0.1 localhost" >"$LAB/hosts"
    start_switch
    for name in "$@"; do start_host "$name"; done ;;
  run) host=$2; shift; run "$@" ;;
  kill) power_off "$2" ;;
  cut | mend)
    state=down; [ "$1" = mend ] && state=up
    nsenter -t "$(cat "$LAB/switch.pid")" -n ip link set "$2" $state ;;
  freeze) echo FROZEN >"$(freezer "$2")/freezer.state" ;;
  thaw) echo THAWED >"$(freezer "$2")/freezer.state" ;;
  list)
    for name in $(names); do
      alive "$name" && s=on || s=off
      echo "$name $net.$((10 + $(cat "$LAB/host/$name/number"))) $s $(pid_of "$name" || true)"
    done ;;
  sshd)
    mkdir -p "$LAB/ssh"; chmod 700 "$LAB/ssh"; cd "$LAB/ssh"
    [ -f host_key ] || ssh-keygen -q -t ed25519 -N '' -f host_key
    [ -f id ] || ssh-keygen -q -t ed25519 -N '' -f id
    cp id.pub authorized
    cat >sshd_config <<END
Port 22
HostKey $LAB/ssh/host_key
AuthorizedKeysFile $LAB/ssh/authorized
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
PidFile none
AcceptEnv *
END
    cat >config <<END
Host *
  ServerAliveInterval 5
  ServerAliveCountMax 3
  ConnectTimeout 5
  IdentityFile $LAB/ssh/id
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
END
    for name in $(names); do ! alive "$name" || start_sshd "$name"; done ;;
  down)
    shift
    all=0; [ $# -eq 0 ] && all=1 && set -- $(names)
    for name in "$@"; do
      power_off "$name"
      for c in $(controllers); do
        find "$cg/$c/allo-slurm/$name" -depth -type d -exec rmdir {} \; 2>/dev/null || true
      done
    done
    if [ $all = 1 ]; then
      [ -f "$LAB/switch.pid" ] && kill "$(cat "$LAB/switch.pid")" 2>/dev/null || true
      for c in $(controllers); do rmdir "$cg/$c/allo-slurm" 2>/dev/null || true; done
      rm -rf "$LAB"
    fi ;;
  *) sed -n '2,14p' "$0"; exit 2 ;;
esac
