/* Whether ranks have done alike since the last sum: taken as many steps, at the same rates, clipped in
 * the same way. A digest of it rides beside the verdict, so that asking costs nothing. */
#include "core/hash.h"
#include "fabric/facade.h"
#include "optim/optimizer.h"

#include <stdio.h>
#include <string.h>

void weft__alike_clipped(weft_fabric *f, double value, double limit, double p)
{
    const double all[] = {value, limit, p};
    f->facade->clipped = weft__hash(f->facade->clipped, all, sizeof all);
}

uint32_t weft__alike_token(const weft_fabric *f)
{
    uint64_t hash = weft__hash(WEFT__HASH, &f->step, sizeof f->step);
    hash = weft__hash(hash, &f->facade->clipped, sizeof f->facade->clipped);
    for (weft__object *o = weft__object_first(f, WEFT__OPTIM); o; o = weft__object_after(o)) {
        const weft_optimizer *a = (const weft_optimizer *)o;
        hash = weft__hash(hash, &a->steps, sizeof a->steps);
        for (int i = 0; i < weft_group_count(a); i++) {
            const double rate = weft_group_lr(a, i);
            hash = weft__hash(hash, &rate, sizeof rate);
        }
    }
    return (uint32_t)(hash >> 32);
}

weft_status weft__alike_differ(weft_fabric *f)
{
    char text[256];
    int n = snprintf(text, sizeof text, "%lld steps", (long long)f->step);
    for (weft__object *o = weft__object_first(f, WEFT__OPTIM); o && n < (int)sizeof text;
         o = weft__object_after(o)) {
        const weft_optimizer *a = (const weft_optimizer *)o;
        n += snprintf(text + n, sizeof text - (size_t)n, ", %s %lld steps to rate %.9g",
                      a->ops->name, (long long)a->steps, weft_lr(a));
    }
    if (n < (int)sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, ", clips %016llx",
                 (unsigned long long)f->facade->clipped);
    f->facade->astray = f->rank != 0; /* weft_clear brings rank 0's to all */
    return weft__agree_on(f, "what was done since the last weft_backward", text);
}
