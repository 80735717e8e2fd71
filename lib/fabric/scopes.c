/* Scopes: rank 0 first, and autocast. */
#include "autograd/tape.h"
#include "fabric/facade.h"

#include <weft/collective.h>

static bool is_first(const weft_fabric *f, bool local)
{
    return local ? f->local_rank == 0 : f->rank == 0;
}

static weft_status meet(weft_fabric *f, bool local)
{
    return weft__meet(f, WEFT_OK, "local of weft_rank_zero_first_begin", local ? "true" : "false");
}

/* Those who wait meet the first ones at their end of the body. */
weft_status weft_rank_zero_first_begin(weft_fabric *f, bool local)
{
    if (!weft__opened(f))
        return weft__stuck(f);
    weft__facade *p = f->facade;
    if (p->first)
        return weft__stick(
            f, weft__fail(WEFT_ESTATE, "weft_rank_zero_first_begin inside its own scope"));
    p->first = true;
    p->first_local = local;
    return is_first(f, local) ? weft__stuck(f) : meet(f, local);
}

weft_status weft_rank_zero_first_end(weft_fabric *f)
{
    if (!weft__opened(f))
        return weft__stuck(f);
    weft__facade *p = f->facade;
    if (!p->first)
        return weft__stick(f, weft__fail(WEFT_ESTATE, "weft_rank_zero_first_end without "
                                                      "weft_rank_zero_first_begin"));
    p->first = false;
    if (is_first(f, p->first_local))
        WEFT_TRY(meet(f, p->first_local));
    return weft__meet(f, WEFT_OK, "the scope", "end of weft_rank_zero_first");
}

void weft_autocast_begin(weft_fabric *f)
{
    if (weft__opened(f))
        f->tape->autocast++;
}

void weft_autocast_end(weft_fabric *f)
{
    if (!weft__opened(f))
        return;
    if (f->tape->autocast == 0)
        weft__stick(f, weft__fail(WEFT_ESTATE, "weft_autocast_end without weft_autocast_begin"));
    else
        f->tape->autocast--;
}
