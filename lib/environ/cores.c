/* Cores that this process may use: the affinity mask, with hyperthreads of one core counted once. */
#include "environ/environ.h"

#include "environ/machine.h"

#include <hwloc/glibc-sched.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(cpu_set_t) == WEFT__MASK, "a mask is a cpu_set_t");

void weft__environ_mask(unsigned char mask[WEFT__MASK])
{
    cpu_set_t set;
    CPU_ZERO(&set);
    /* Fails on machines of more than 1024 CPUs: then all that are online. */
    if (sched_getaffinity(0, sizeof set, &set))
        for (long i = sysconf(_SC_NPROCESSORS_ONLN); i-- > 0;)
            CPU_SET((size_t)i, &set);
    memcpy(mask, &set, WEFT__MASK);
}

int weft__environ_cores(const unsigned char mask[WEFT__MASK])
{
    cpu_set_t set;
    memcpy(&set, mask, sizeof set);
    int n = CPU_COUNT(&set), cores = 0;
    hwloc_topology_t t = weft__environ_machine(false);
    hwloc_bitmap_t cpus = t ? hwloc_bitmap_alloc() : NULL;
    if (cpus && !hwloc_cpuset_from_glibc_sched_affinity(t, cpus, &set, sizeof set))
        for (hwloc_obj_t o = NULL; (o = hwloc_get_next_obj_by_type(t, HWLOC_OBJ_CORE, o));)
            cores += hwloc_bitmap_intersects(o->cpuset, cpus) != 0;
    hwloc_bitmap_free(cpus);
    n = cores > 0 ? cores : n; /* some virtual machines do not say what a core is */
    return n > 0 ? n : 1;
}

void weft__environ_share(weft__environ *e, const unsigned char mask[WEFT__MASK])
{
    e->node_cpus = weft__environ_cores(mask);
}
