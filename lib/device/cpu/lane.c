/* Memory that a call has for itself and leaves to the next one. */
#include "device/cpu/cpu.h"

#include "core/alloc.h"

#include <omp.h>

int weft__cpu_lane_take(weft__lane *of, size_t bytes)
{
    for (int i = 0; i < WEFT__LANES; i++) {
        const int lane = (omp_get_thread_num() + i) % WEFT__LANES;
        if (atomic_exchange(&of[lane].busy, 1))
            continue;
        if (!of[lane].room)
            of[lane].room = weft__claim(bytes);
        if (of[lane].room)
            return lane;
        weft__cpu_lane_give(of, lane);
        break;
    }
    return -1;
}

void weft__cpu_lane_give(weft__lane *of, int lane)
{
    if (lane >= 0)
        atomic_store(&of[lane].busy, 0);
}
