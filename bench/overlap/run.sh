#!/bin/sh
# How much of the reduction of gradients hides behind backward, on a link of a known rate:
#
#   run.sh [--build DIR] [--mbit RATE] [options of overlap/passes]
#   run.sh [--mbit RATE] -- PROGRAM...        any other program on such a pair of nodes
#
# Two network namespaces stand for two nodes, joined by a link that is shaped to RATE Mbit/s (1000) both ways, with a rank on
# each. Needs root, ip, tc, unshare and Open MPI. Exit status 77, and the reason, where that is not there.
set -u
build=. mbit=1000
while [ $# -gt 1 ]; do
    case $1 in
    --build) build=$2 ;;
    --mbit) mbit=$2 ;;
    *) break ;;
    esac
    shift 2
done
skip() {
    echo "overlap: skipped: $*" >&2
    exit 77
}
[ "$(id -u)" = 0 ] || skip "network namespaces need root"
for tool in ip tc unshare; do
    command -v $tool >/dev/null || skip "there is no $tool"
done
mpirun=${MPIRUN:-mpirun}
${mpirun%% *} --version 2>/dev/null | grep -q 'Open MPI' || skip "it takes Open MPI's mpirun"

# Names of this process's own, so that two may run at once.
a=weft-a$$ b=weft-b$$ dir=$(mktemp -d) || exit 1
down() {
    for h in $a $b; do
        ip netns pids $h 2>/dev/null | xargs -r kill -9 2>/dev/null
        ip netns del $h 2>/dev/null
        rm -rf "/etc/netns/$h"
    done
    rmdir /etc/netns 2>/dev/null
    rm -rf "$dir"
}
trap down EXIT
trap 'exit 1' INT TERM HUP
up() {
    for h in $a $b; do
        ip netns add $h && mkdir -p "/etc/netns/$h" &&
            printf '127.0.0.1 localhost\n10.213.7.1 %s\n10.213.7.2 %s\n' $a $b >"/etc/netns/$h/hosts" || return
    done
    ip link add eth0 netns $a type veth peer name eth0 netns $b &&
        ip -n $a addr add 10.213.7.1/24 dev eth0 && ip -n $b addr add 10.213.7.2/24 dev eth0 || return
    for h in $a $b; do
        ip -n $h link set lo up && ip -n $h link set eth0 up &&
            tc -n $h qdisc replace dev eth0 root tbf rate "${mbit}mbit" burst 256k latency 50ms || return
    done
}
up 2>"$dir/why" || skip "no namespaces with a shaped link: $(head -n 1 "$dir/why")"

# What mpirun takes for ssh.
cat >"$dir/on" <<'EOF'
#!/bin/sh
h=$1
shift
exec ip netns exec "$h" unshare --uts --ipc sh -c 'hostname "$0"; exec sh -c "$*"' "$h" "$@"
EOF
chmod +x "$dir/on"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_btl_tcp_if_include=eth0 OMPI_MCA_plm_rsh_agent="$dir/on"
export OMP_NUM_THREADS=1 TMPDIR="$dir"
unset OMPI_MCA_plm
[ "${1:-}" != -- ] || { shift; set -- "$@"; program=1; }
[ -n "${program:-}" ] || set -- "$build/bench/overlap/passes" --mbit "$mbit" "$@"
"$dir/on" $a "$mpirun" -host $a:1,$b:1 -np 2 -x OMP_NUM_THREADS "$@" </dev/null
