#!/usr/bin/env bash
# A Slurm cluster of one node on this machine, for tests/workflow/cluster: controller, node, pretend GPU; on loopback.
#   one_node.sh install    packages, from Debian's archive (as root)
#   one_node.sh start      daemons; those that run are left alone
#   one_node.sh stop       daemons
# Leaves with status 3 and a reason where that is not possible.
set -euo pipefail

refuse() {
    echo "no Slurm here: $1" >&2
    exit 3
}

[ "$(id -u)" = 0 ] || refuse "installing and starting its daemons needs root"
command -v apt-get >/dev/null || refuse "its packages are taken from Debian's archive, and there is no apt-get"

# Never touch a machine that belongs to a real cluster.
if [ -e /etc/slurm/slurm.conf ] && ! grep -q "^ClusterName=fedfactory" /etc/slurm/slurm.conf; then
    refuse "/etc/slurm/slurm.conf belongs to another cluster"
fi

installed() {
    local program
    for program in slurmctld slurmd munged scontrol; do
        command -v "$program" >/dev/null || return
    done
}

install() {
    installed && return
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null 2>&1 || true
    apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins \
        >/dev/null 2>&1 || refuse "its packages cannot be installed"
}

configure() {
    local memory
    memory=$(awk '/MemTotal/ {print int($2 / 1024) - 500}' /proc/meminfo)
    mkdir -p /etc/slurm /var/spool/slurmctld /var/spool/slurmd /var/log/slurm /run/munge
    cat >/etc/slurm/slurm.conf <<CONF
ClusterName=fedfactory
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
MinJobAge=3600
ReturnToService=2
MpiDefault=none
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs=$(nproc --all) RealMemory=$memory Gres=gpu:1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    # A pretend GPU: Slurm counts it, nobody computes on it.
    echo "NodeName=localhost Name=gpu File=/dev/null" >/etc/slurm/gres.conf
    [ -s /etc/munge/munge.key ] || dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 status=none
    chown -R munge:munge /etc/munge /run/munge /var/lib/munge /var/log/munge
    chmod 400 /etc/munge/munge.key
    chmod 755 /run/munge
}

start() {
    installed || refuse "it is not installed (tests/workflow/cluster/one_node.sh install)"
    configure
    pgrep -x munged >/dev/null || setpriv --reuid munge --regid munge --clear-groups munged ||
        refuse "munged does not start"
    pgrep -x slurmctld >/dev/null || slurmctld -c
    pgrep -x slurmd >/dev/null || slurmd -N localhost
    for _ in $(seq 30); do
        sinfo -h -o %T 2>/dev/null | grep -qE "idle|mixed|allocated" && return
        sleep 1
    done
    refuse "the node does not come up ($(sinfo -h -o '%T %E' 2>&1 | head -1))"
}

stop() {
    local daemon
    for daemon in slurmd slurmctld munged; do
        # A start must not take a dying one for one that runs.
        while pkill -x "$daemon"; do sleep 0.2; done
    done
}

case "${1:-}" in
install | start | stop) "$1" ;;
*)
    echo "usage: $0 install|start|stop" >&2
    exit 2
    ;;
esac
