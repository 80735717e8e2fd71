#!/bin/sh
# A real, throw-away Slurm cluster of several nodes on one machine, for tests and for trying a job script.
#
#   local-cluster.sh start [-n NODES] [-c CPUS] [-b RATE] DIR    2 nodes of 4 CPUs each if not said otherwise
#   local-cluster.sh exec DIR COMMAND...                         e.g. exec DIR srun --mpi=pmix -N2 -n4 ./program
#   local-cluster.sh status DIR
#   local-cluster.sh stop DIR                                    ends what it started, and nothing else
#
#   local-cluster.sh kill-node DIR K     node K's power fails: all it runs is gone at once
#   local-cluster.sh boot-node DIR K     and comes back
#   local-cluster.sh unplug DIR K        with -b: node K runs on, its link is down
#   local-cluster.sh plug DIR K
#
# DIR holds everything: configuration, logs, state, sockets; no file of the system is read or written. It is made if
# it is not there, and stays after `stop`, for its logs. Several clusters run side by side, each in its own DIR and on
# ports that were free when it started. -b gives each node a network of its own, on links of RATE (`-b 1gbit`).
#
# A node is a slurmd in namespaces of its own: hostname node0, node1, ..., own /dev/shm and process ids, so that MPI takes
# them for machines. Where namespaces may not be had they are plain processes and MPI talks through TCP; `status` says so.
# CPUs may exceed the machine's. There are no cgroups and no binding. Only root can do this (slurmd starts jobs as their
# users). Debian and its kin: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge libpmix2
set -u
PATH=$PATH:/usr/sbin:/sbin
die() { echo "local-cluster: $*" >&2; exit 1; }
usage() { sed -n 's/^#   local/local/p' "$0" >&2; exit 2; }

# ---- processes: one file each in $dir/pids

pid() { cat "$dir/pids/$1" 2>/dev/null; }
alive() { # PID: it runs, and is no zombie
    state=$(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) && [ -n "$state" ] && [ "$state" != Z ]
}
wait_for() { # SECONDS COMMAND...: polls
    tries=$(($1 * 20))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.05
    done
}
gone() { ! alive "$1"; }
end() { # NAME SIGNAL
    p=$(pid "$1") || return 0
    if alive "$p"; then
        kill "-$2" "$p" 2>/dev/null
        wait_for 5 gone "$p" || kill -KILL "$p" 2>/dev/null
    fi
    rm -f "$dir/pids/$1"
}

# ---- the network of -b: a bridge, and a namespace and a link for each node

each_node() { # COMMAND...: with the node's number as its last word
    k=0
    while [ $k -lt "$nodes" ]; do
        "$@" $k || return 1
        k=$((k + 1))
    done
}
link_up() {
    ns=${tag}n$1
    ip netns add "$ns" && ip link add "${tag}v$1" type veth peer name eth0 netns "$ns" &&
        ip link set "${tag}v$1" master "${tag}b" up && ip -n "$ns" addr add "$net.$((10 + $1))/24" dev eth0 &&
        ip -n "$ns" link set lo up && ip -n "$ns" link set eth0 up &&
        tc -n "$ns" qdisc add dev eth0 root tbf rate "$rate" burst 256k latency 50ms &&
        tc qdisc add dev "${tag}v$1" root tbf rate "$rate" burst 256k latency 50ms
}
link_down() {
    ip netns del "${tag}n$1" 2>/dev/null
    ip link del "${tag}v$1" 2>/dev/null
    true
}
network_up() {
    ip link add "${tag}b" type bridge && ip addr add "$net.1/24" dev "${tag}b" && ip link set "${tag}b" up &&
        each_node link_up
}
network_down() {
    [ -n "$rate" ] || return 0
    each_node link_down
    ip link del "${tag}b" 2>/dev/null
    true
}

# ---- nodes

boot_node() { # K
    mkdir -p "$dir/spool/node$1" "$dir/tmp/node$1"
    set -- "$1" slurmd -D -N "node$1" -f "$dir/slurm.conf"
    n=$1
    shift
    # The shell is the node's init: it takes in orphans, and all of the node ends with it.
    # shellcheck disable=SC2016
    [ "$namespaces" = no ] || set -- unshare --mount --uts --ipc --pid --fork --kill-child --mount-proc sh -c '
        hostname "$0" && mount -t tmpfs -o mode=1777 tmpfs /dev/shm && mount --bind "$1/hosts" /etc/hosts || exit 1
        shift; "$@" & wait $!' "node$n" "$dir" "$@"
    [ -z "$rate" ] || set -- nsenter "--net=/run/netns/${tag}n$n" "$@"
    (cd "$dir" && exec "$@" >>"log/node$n.out" 2>&1 </dev/null 9>&-) &
    echo $! >"$dir/pids/node$n"
}
steps_of() { # K: without namespaces, the node's job steps (they have its log open) and the process groups they run
    for f in /proc/[0-9]*/comm; do
        { read -r name <"$f"; } 2>/dev/null && [ "$name" = slurmstepd ] || continue
        p=${f%/comm}
        readlink "$p"/fd/* 2>/dev/null | grep -qxF "$dir/log/node$1.log" || continue
        echo "${p#/proc/}"
        ps -o pgid= --ppid "${p#/proc/}" | sed 's/^ */-/'
    done
}
kill_node() { # K
    [ -z "$rate" ] || ip link set "${tag}v$1" down 2>/dev/null # a power cut sends no farewell
    # shellcheck disable=SC2046
    [ "$namespaces" = yes ] || kill -KILL -- $(steps_of "$1") 2>/dev/null
    end "node$1" KILL
    rm -rf "$dir/tmp/node$1" "$dir/spool/node$1"/*pmix* # as a boot does: PMIx refuses a step whose directory is there
}

# ---- start and stop

taken() { # FIRST COUNT: whether one of these ports is listened on
    awk -v first="$1" -v count="$2" '
        BEGIN { for (p = 0; p < count; p++) want[sprintf("%04X", first + p)] }
        $4 == "0A" { sub(/.*:/, "", $2); if ($2 in want) found = 1 }
        END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}
can_unshare() {
    unshare --mount --uts --ipc --pid --fork --kill-child --mount-proc mount -t tmpfs t /dev/shm 2>/dev/null
}
configure() {
    address=127.0.0.1
    [ -z "$rate" ] || address=$net.1
    host=$(hostname -s)
    cat >"$dir/slurm.conf" <<CONF
ClusterName=local
SlurmctldHost=$host($address)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job waits cred_expire seconds before it may start again (Slurm's own default is 120).
AuthInfo=socket=$dir/munge/socket,cred_expire=5
CredType=cred/munge
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/%n.log
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
PlugStackConfig=$dir/plugstack.conf
# PMIx makes its directories here; two nodes of one step must not share it.
TmpFS=$dir/tmp/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
# Nodes may have more CPUs than the machine.
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0
JobRequeue=1
ReturnToService=2
KillWait=5
# A dead node is noticed after two or three times this.
SlurmdTimeout=10
SlurmctldTimeout=10
MessageTimeout=10
CONF
    printf '127.0.0.1 localhost\n%s %s\n' "$address" "$host" >"$dir/hosts"
    each_node configure_node
    echo "PartitionName=debug Nodes=ALL Default=YES MaxTime=60 State=UP" >>"$dir/slurm.conf"
    : >"$dir/plugstack.conf"
}
configure_node() {
    [ -z "$rate" ] || address=$net.$((10 + $1))
    [ "$namespaces" = no ] || host=node$1
    echo "NodeName=node$1 NodeHostname=$host NodeAddr=$address Port=$((port + 1 + $1)) CPUs=$cpus RealMemory=2048" \
        >>"$dir/slurm.conf"
    echo "$address node$1" >>"$dir/hosts"
}
all_idle() { [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | wc -l)" = "$nodes" ]; }
give_up() { # MESSAGE
    tail -n 20 "$dir"/log/*.out >&2
    stop
    die "$1"
}
start() {
    command -v munged slurmctld slurmd srun sinfo >/dev/null ||
        die "Slurm is not here: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge libpmix2"
    [ "$(id -u)" = 0 ] || die "only root can: slurmd starts jobs as their users"
    [ ! -e "$dir/pids" ] || die "there is a cluster in $dir: stop it first"
    [ -e "$dir/slurm.conf" ] || [ -z "$(ls -A "$dir")" ] || die "$dir is not empty"
    (cd "$dir" && rm -rf log state spool munge tmp) # of an earlier cluster here
    namespaces=no
    can_unshare && namespaces=yes
    [ -z "$rate" ] || [ $namespaces = yes ] || die "no namespaces here, so no network of its own for a node"
    # One start at a time on this machine, so that the ports found free stay so.
    exec 9</tmp
    flock -w 60 9 || die "another start does not end"
    port=$((20000 + $$ % 700 * 16))
    while taken "$port" $((nodes + 1)); do port=$((20000 + (port - 19984) % 11200)); done
    tag=weft$port net=198.$((18 + port / 16 % 2)).$((port / 32 % 256)) # a range for such tests
    mkdir -p "$dir/pids" "$dir/log" "$dir/state" "$dir/spool" "$dir/munge" "$dir/tmp"
    chmod 755 "$dir" "$dir/munge"
    chmod 700 "$dir/state"
    printf '%s\n' nodes="$nodes" namespaces=$namespaces rate="$rate" tag="$tag" >"$dir/cluster"
    echo "export SLURM_CONF=$dir/slurm.conf" >"$dir/env.sh"
    # Nodes that share a /dev/shm and a hostname would share Open MPI's files there.
    [ $namespaces = yes ] || echo "export OMPI_MCA_btl=self,tcp" >>"$dir/env.sh"
    trap 'stop; exit 1' INT TERM HUP
    [ -z "$rate" ] || network_up || give_up "cannot make the network"
    configure

    # --force: munged dislikes directories below /tmp.
    (umask 077 && head -c 128 /dev/urandom >"$dir/munge/key")
    munged --foreground --force --socket="$dir/munge/socket" --key-file="$dir/munge/key" --pid-file="$dir/munge/pid" \
        --seed-file="$dir/munge/seed" --log-file="$dir/log/munged.log" --num-threads=2 \
        >"$dir/log/munged.out" 2>&1 </dev/null 9>&- &
    echo $! >"$dir/pids/munged"
    wait_for 10 test -S "$dir/munge/socket" || give_up "munged did not start"
    (cd "$dir" && exec slurmctld -D -i -f "$dir/slurm.conf" >log/slurmctld.out 2>&1 </dev/null 9>&-) &
    echo $! >"$dir/pids/slurmctld"
    each_node boot_node
    wait_for 60 all_idle || give_up "the nodes did not come up"
    exec 9<&-
    echo "local-cluster: $nodes nodes of $cpus CPUs are up (namespaces: $namespaces, links: ${rate:-shared})"
}
no_jobs() { [ -z "$(squeue -h)" ]; }
stop() {
    trap '' INT TERM HUP
    # Jobs first, else their srun waits for ever.
    jobs=$(timeout 5 squeue -h -o %A 2>/dev/null)
    # shellcheck disable=SC2086
    [ -z "$jobs" ] || { scancel -s KILL $jobs; scancel $jobs; wait_for 8 no_jobs; } 2>/dev/null
    each_node kill_node
    end slurmctld TERM
    end munged TERM
    network_down
    rm -rf "$dir/pids" "$dir/cluster"
}

[ $# -ge 2 ] || usage
command=$1 nodes=2 cpus=4 rate=
shift
if [ "$command" = start ]; then
    while getopts n:c:b: option; do
        case $option in n) nodes=$OPTARG ;; c) cpus=$OPTARG ;; b) rate=$OPTARG ;; *) usage ;; esac
    done
    shift $((OPTIND - 1))
    case $nodes$cpus in *[!0-9]* | 0*) usage ;; esac
    { [ "$nodes" -ge 1 ] && [ "$nodes" -le 15 ] && [ "$cpus" -ge 1 ]; } || die "1 to 15 nodes, at least 1 CPU each"
    [ $# = 1 ] || usage
    mkdir -p "$1" || exit 1
fi
dir=$(cd "$1" && pwd -P) || exit 1
shift
[ ${#dir} -le 70 ] || die "$dir is too long for the sockets below it: at most 70 characters"
export SLURM_CONF="$dir/slurm.conf"
if [ "$command" != start ]; then
    [ -r "$dir/cluster" ] || die "no cluster in $dir"
    . "$dir/cluster"
fi
node() { # K: checked
    case ${1:-} in '' | *[!0-9]*) usage ;; esac
    [ "$1" -lt "$nodes" ] || die "there are $nodes nodes, from 0"
}

case $command in
start) start ;;
stop) stop ;;
exec)
    . "$dir/env.sh"
    exec "$@" ;;
status)
    echo "namespaces: $namespaces, links: ${rate:-shared}"
    for f in "$dir"/pids/*; do
        if alive "$(cat "$f")"; then echo "${f##*/}: up, pid $(cat "$f")"; else echo "${f##*/}: down"; fi
    done
    sinfo -N -o '%N %t %C %E'
    squeue ;;
kill-node)
    node "${1:-}"
    kill_node "$1" ;;
boot-node)
    node "${1:-}"
    p=$(pid "node$1") && alive "$p" && die "node$1 is running"
    [ -z "$rate" ] || ip link set "${tag}v$1" up
    boot_node "$1" ;;
plug | unplug)
    node "${1:-}"
    [ -n "$rate" ] || die "the nodes have no links of their own: start -b RATE"
    [ "$command" = plug ] && state=up || state=down
    ip link set "${tag}v$1" "$state" ;;
*) usage ;;
esac
