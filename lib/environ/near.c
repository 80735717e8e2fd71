/* Which device is near: how deep the smallest part of the machine is that holds both a device and the cores
 * of this process, 0 for the whole of it; and devices for the ranks of a node, so that they are near in
 * all, by the Hungarian method (Kuhn 1955, Munkres 1957). */
#include "environ/environ.h"

#include "environ/machine.h"

#include <hwloc/glibc-sched.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static int depth_of_both(hwloc_topology_t t, hwloc_const_cpuset_t cpus, const char *bus)
{
    hwloc_obj_t device = hwloc_get_pcidev_by_busidstring(t, bus);
    hwloc_obj_t near = device ? hwloc_get_non_io_ancestor_obj(t, device) : NULL;
    hwloc_obj_t mine = near ? hwloc_get_obj_covering_cpuset(t, cpus) : NULL;
    return mine ? hwloc_get_common_ancestor_obj(t, mine, near)->depth : 0;
}

int weft__environ_near(const unsigned char mask[WEFT__MASK], const char *bus)
{
    cpu_set_t set;
    int depth = 0;
    memcpy(&set, mask, sizeof set);
    if (!*bus || CPU_COUNT(&set) >= sysconf(_SC_NPROCESSORS_ONLN)) /* not bound */
        return 0;
    hwloc_topology_t t = weft__environ_machine(true);
    hwloc_bitmap_t cpus = t ? hwloc_bitmap_alloc() : NULL;
    if (cpus && !hwloc_cpuset_from_glibc_sched_affinity(t, cpus, &set, sizeof set))
        depth = depth_of_both(t, cpus, bus);
    hwloc_bitmap_free(cpus);
    return depth < WEFT__NEAREST ? depth : WEFT__NEAREST;
}

#define SIZE (WEFT__DEVICE_IDS + 1)
#define STEP ((int64_t)SIZE * SIZE * SIZE) /* above all that order adds up to */

/* Ranks and devices, counted from 1. Of what is as near, the order of both is kept. */
typedef struct assignment {
    int devices;
    const unsigned char *near;     /* (ranks, WEFT__DEVICE_IDS) */
    int64_t price[SIZE], of[SIZE]; /* of devices and ranks */
    int rank[SIZE];                /* that has the device; 0: none */
} assignment;

static int64_t cost(const assignment *a, int rank, int device)
{
    const int64_t far = WEFT__NEAREST - a->near[(rank - 1) * WEFT__DEVICE_IDS + device - 1];
    return far * STEP + (int64_t)(rank - device) * (rank - device) - a->of[rank] - a->price[device];
}

/* One rank more: the cheapest way through the devices of others to one that is free, each of which passes
 * its device on. */
static void add(assignment *a, int rank)
{
    int64_t least[SIZE];
    int from[SIZE] = {0}, at = 0;
    bool seen[SIZE] = {false};
    for (int d = 0; d < SIZE; d++)
        least[d] = INT64_MAX;
    for (a->rank[0] = rank; a->rank[at];) {
        int next = 0;
        seen[at] = true;
        for (int d = 1; d <= a->devices; d++) {
            const int64_t c = seen[d] ? INT64_MAX : cost(a, a->rank[at], d);
            if (c < least[d]) {
                least[d] = c;
                from[d] = at;
            }
            if (!seen[d] && (!next || least[d] < least[next]))
                next = d;
        }
        const int64_t delta = least[next];
        for (int d = 0; d <= a->devices; d++) {
            a->of[a->rank[d]] += seen[d] ? delta : 0;
            a->price[d] -= seen[d] ? delta : 0;
            least[d] -= seen[d] ? 0 : delta;
        }
        at = next;
    }
    for (; at; at = from[at])
        a->rank[at] = a->rank[from[at]];
}

void weft__devices_near(int ranks, int devices, const unsigned char *near, int *of)
{
    assignment a = {.devices = devices, .near = near};
    for (int r = 1; r <= ranks; r++)
        add(&a, r);
    for (int d = 1; d <= devices; d++)
        if (a.rank[d])
            of[a.rank[d] - 1] = d - 1;
}
