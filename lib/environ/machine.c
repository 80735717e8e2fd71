#include "environ/machine.h"

#include "core/process.h"

static hwloc_topology_t loaded(bool buses)
{
    hwloc_topology_t t;
    if (hwloc_topology_init(&t))
        return NULL;
    if (buses) {
        hwloc_topology_set_io_types_filter(t, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
    } else {
        hwloc_topology_set_all_types_filter(t, HWLOC_TYPE_FILTER_KEEP_NONE);
        hwloc_topology_set_type_filter(t, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL);
    }
    if (hwloc_topology_load(t) == 0)
        return t;
    hwloc_topology_destroy(t);
    return NULL;
}

hwloc_topology_t weft__environ_machine(bool buses)
{
    weft__process_lock();
    if (!weft__process.machine[buses])
        weft__process.machine[buses] = loaded(buses);
    weft__process_unlock();
    return weft__process.machine[buses];
}
