/* Cores that this process may use. From the affinity mask and sysfs: loading an hwloc topology says
 * the same, and costs every start of a program tens of milliseconds on a large node. */
#include "environ/environ.h"

#include <sched.h>
#include <stdio.h>
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

/* The first CPU that shares a core with cpu and is in the set; cpu itself where sysfs does not say.
 * The list reads "0-1", "0,64", "0-3,64-67". */
static int first_sibling(int cpu, const cpu_set_t *set)
{
    char path[96];
    int first = cpu, lo, hi, n;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *f = fopen(path, "r");
    if (!f)
        return cpu;
    while ((n = fscanf(f, "%d-%d", &lo, &hi)) >= 1) {
        if (n == 1)
            hi = lo;
        for (int i = lo; i <= hi && i < first; i++)
            if (i >= 0 && CPU_ISSET((size_t)i, set))
                first = i;
        if (fgetc(f) != ',')
            break;
    }
    fclose(f);
    return first;
}

int weft__environ_cores(const unsigned char mask[WEFT__MASK])
{
    cpu_set_t set;
    int n = 0;
    memcpy(&set, mask, sizeof set);
    for (int i = 0; i < CPU_SETSIZE; i++)
        n += CPU_ISSET((size_t)i, &set) && first_sibling(i, &set) == i;
    return n > 0 ? n : 1;
}

void weft__environ_share(weft__environ *e, const unsigned char mask[WEFT__MASK])
{
    e->node_cpus = weft__environ_cores(mask);
}
