/* Buffers of modules are rank 0's. Its running statistics come from its own rows, as those of others do: so
 * they are brought to all where all meet anyhow, after a backward pass and before a save. */
#include "fabric/facade.h"
#include "nn/module.h"

static weft_status spread(weft_fabric *f, const weft_module *m)
{
    if (!m->space || f->world == 1)
        return WEFT_OK;
    return weft_strategy_broadcast(f->facade->strategy, "buffers", m->space->plane[WEFT__PARAM],
                                   (int64_t)weft__flat_bytes(m->space, WEFT__PARAM), 0);
}

weft_status weft__buffers_spread(weft_fabric *f, const weft_module *m)
{
    if (m || f->world == 1)
        return m ? spread(f, m) : WEFT_OK;
    for (weft__object *o = weft__object_first(f, WEFT__MODULE); o; o = weft__object_after(o))
        if (((const weft_module *)o)->setup)
            WEFT_TRY(spread(f, (const weft_module *)o));
    return WEFT_OK;
}
