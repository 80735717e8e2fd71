/* Who overlaps. */
#include "comm/overlap.h"

#include "comm/backend.h"
#include "comm/comm.h"
#include "comm/mpi.h"
#include "core/env.h"
#include "core/error.h"

#include <string.h>

weft_status weft__overlap_find(const char *name, const char **out)
{
    static const char *const word[] = {"auto", "on", "off"};
    int i = weft__parse_choice("overlap_comm", name ? name : "auto", word, 3);
    if (i < 0)
        return WEFT_EARG;
    *out = word[i];
    return WEFT_OK;
}

weft_status weft__overlap_choose(weft_comm **c, const char *overlap, const char *backend,
                                 int node_rank, int nodes)
{
    WEFT_TRY(weft__agree_text(*c, "settings", "overlap_comm", overlap));
    const bool on = strcmp(overlap, "on") == 0, off = strcmp(overlap, "off") == 0;
    const bool any = strcmp(backend, "auto") == 0 || strcmp(backend, "nccl") == 0;
    WEFT_TRY(weft__backend_choose(c, on && any ? "mpi" : backend, nodes));
    if ((*c)->world == 1 || (nodes == 1 && !on))
        return WEFT_OK;
    if (strcmp((*c)->ops->name, "mpi") != 0)
        return weft__fail(
            WEFT_ECONFIG,
            "overlap_comm=on with process_group_backend=%s: on one node the ranks' own "
            "work is all that it has to go on beside; say mpi, or overlap_comm=auto",
            (*c)->ops->name);
    return weft__mpi_overlap(*c, node_rank, off ? WEFT__BESIDE_NOTHING : WEFT__BESIDE_THREAD);
}
