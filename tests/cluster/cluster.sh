#!/usr/bin/env bash
# A Slurm cluster of three nodes on this machine, for tests: tests/cluster/cluster.sh start|stop|node NAME|controller DIR
#
# Everything that it writes is in DIR. As root, without systemd; needs the packages slurm-wlm and munge (scripts/setup-cluster.sh).
set -euo pipefail

ports=4 # of the controller and the three nodes

usage() {
    echo "usage: $0 start|stop|controller DIR, or $0 node DIR NAME" >&2
    exit 2
}

[ $# -ge 2 ] || usage
command=$1
mkdir -p "$2"
dir=$(realpath "$2")
export SLURM_CONF=$dir/slurm.conf
host=$(hostname)

# The first of so many ports in a row that nobody listens on. They lie below those that systems give to outgoing connections.
free_ports() {
    local first port
    for _ in $(seq 200); do
        first=$((10000 + (RANDOM % 2000) * 10))
        for port in $(seq $first $((first + ports - 1))); do
            # shellcheck disable=SC2188
            if (: <> /dev/tcp/127.0.0.1/"$port") 2> /dev/null; then continue 2; fi
        done
        echo $first
        return
    done
    echo "there are no $ports free ports in a row" >&2
    exit 1
}

configure() {
    mkdir -p "$dir/state" "$dir/spool" "$dir/log"
    local port
    port=$(free_ports)
    if [ ! -e "$dir/munge.key" ]; then
        dd if=/dev/urandom of="$dir/munge.key" bs=1 count=1024 status=none
        chmod 400 "$dir/munge.key"
    fi
    cat > "$SLURM_CONF" <<CONF
ClusterName=meshreel
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$port
AuthType=auth/munge
# The second word also says how long Slurm waits before it begins a task again that it took from a node.
AuthInfo=socket=$dir/munge.sock,cred_expire=15
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/ctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/log/ctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log
AccountingStorageType=accounting_storage/none
# Without control groups this is how a task that takes more memory than it asked for is ended.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
ReturnToService=2
SlurmdTimeout=6
# Nodes have what is written here, whatever this machine has.
SlurmdParameters=config_overrides
KillWait=2
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName=n[1-3] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 3))] CPUs=1 RealMemory=3000 State=UNKNOWN
# Tasks of \`first\` take nodes from those of \`main\`, which begin again.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
OverTimeLimit=0
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=first Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2
CONF
}

node() {
    slurmd -f "$SLURM_CONF" -N "$1"
}

# Ends the daemon whose file this is, and waits for it. Where it was killed, its number may be another process's by now.
end() {
    [ -e "$1" ] || return 0
    local pid
    pid=$(cat "$1")
    grep -qaF "$dir" "/proc/$pid/cmdline" 2> /dev/null || return 0
    kill "$pid" 2> /dev/null || true
    for _ in $(seq 100); do
        kill -0 "$pid" 2> /dev/null || return 0
        sleep 0.05
    done
    kill -9 "$pid" 2> /dev/null || true
}

case $command in
start)
    configure
    munged --force --key-file="$dir/munge.key" --socket="$dir/munge.sock" --pid-file="$dir/munge.pid" \
        --log-file="$dir/munge.log" --seed-file="$dir/munge.seed"
    slurmctld -f "$SLURM_CONF"
    for name in n1 n2 n3; do node $name; done
    for _ in $(seq 600); do
        [ "$(sinfo -h -t idle -o %D 2> /dev/null)" = 3 ] && exit 0
        sleep 0.1
    done
    echo "the nodes did not come up" >&2
    sinfo -N -o "%N %T %E" >&2 || true
    tail -n 20 "$dir"/log/*.log "$dir/munge.log" >&2 || true
    exit 1
    ;;
stop)
    scancel -u root 2> /dev/null || true
    for name in n1 n2 n3; do end "$dir/slurmd-$name.pid"; done
    end "$dir/ctld.pid"
    end "$dir/munge.pid"
    ;;
node) [ $# -eq 3 ] && node "$3" || usage ;;
controller) slurmctld -f "$SLURM_CONF" ;;
*) usage ;;
esac
