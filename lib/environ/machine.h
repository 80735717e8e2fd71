/* The machine as hwloc sees it. */
#ifndef ENVIRON_MACHINE_H
#define ENVIRON_MACHINE_H
#include <hwloc.h>
#include <stdbool.h>

/* Its cores and hyperthreads and nothing else, or all with PCI devices: read when it is first asked for, as
 * hwloc opens hundreds of files and visits each CPU. The process's; NULL: it could not. */
hwloc_topology_t weft__environ_machine(bool buses);
#endif
