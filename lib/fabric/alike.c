/* Whether ranks have done alike since the last sum: taken as many steps, at the same rates, clipped in
 * the same way, frozen and written the same parameters. A digest of it rides beside the verdict, so that asking costs nothing. */
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

/* What the program did to parameters since setup, in one number; frozen: how many are now. */
static uint64_t changes(const weft_fabric *f, size_t *frozen)
{
    uint64_t hash = WEFT__HASH;
    for (weft__object *o = weft__object_first(f, WEFT__MODULE); o; o = weft__object_after(o)) {
        const weft_module *m = (const weft_module *)o;
        for (int i = 0; m->setup && i < m->flats; i++)
            hash = weft__hash(hash, &m->flat[i]->changed, sizeof m->flat[i]->changed);
        for (size_t i = 0; frozen && m->setup && i < m->nall; i++)
            *frozen += !m->all[i]->tied && m->all[i]->segment.frozen;
    }
    return hash;
}

uint32_t weft__alike_token(const weft_fabric *f)
{
    const uint64_t done[] = {(uint64_t)f->step, f->facade->clipped, changes(f, NULL)};
    uint64_t hash = weft__hash(WEFT__HASH, done, sizeof done);
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
    size_t frozen = 0;
    const uint64_t changed = changes(f, &frozen);
    int n = snprintf(text, sizeof text, "%lld steps, %zu frozen parameters, changes %016llx",
                     (long long)f->step, frozen, (unsigned long long)changed);
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
