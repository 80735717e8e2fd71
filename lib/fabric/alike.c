/* Whether ranks have done alike since the last sum: taken as many steps and batches, at the same rates,
 * zeroed and clipped in the same way, frozen and written the same parameters, weighed by the same
 * number of rows. A digest of it rides beside the verdict, so that asking costs nothing. */
#include "core/hash.h"
#include "fabric/facade.h"
#include "optim/optimizer.h"

#include <stdio.h>
#include <string.h>

void weft__alike_did(weft_fabric *f, const void *what, size_t bytes)
{
    f->facade->did = weft__hash(f->facade->did ^ WEFT__HASH, what, bytes);
}

/* The rows of all ranks that this rank's mean is weighed by; -1: it is not weighed so. */
static int64_t rows_of(const weft_fabric *f, weft_tensor *loss)
{
    const weft__tensor *t = weft__stuck(f) ? NULL : weft__tensor_at(loss, NULL);
    return t && t->rows.batch && t->reduction != WEFT__SUM && !t->weight.addr ? t->rows.global : -1;
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

uint32_t weft__alike_token(const weft_fabric *f, weft_tensor *loss)
{
    const uint64_t done[] = {(uint64_t)f->step, f->facade->did, changes(f, NULL),
                             (uint64_t)weft_loader_position(f->facade->loader),
                             (uint64_t)rows_of(f, loss)};
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

weft_status weft__alike_differ(weft_fabric *f, weft_tensor *loss)
{
    char text[256];
    size_t frozen = 0;
    const uint64_t changed = changes(f, &frozen);
    int n = snprintf(text, sizeof text,
                     "%lld steps, batch %lld, a loss of %lld rows, %zu frozen parameters, changes "
                     "%016llx",
                     (long long)f->step, (long long)weft_loader_position(f->facade->loader),
                     (long long)rows_of(f, loss), frozen, (unsigned long long)changed);
    for (weft__object *o = weft__object_first(f, WEFT__OPTIM); o && n < (int)sizeof text;
         o = weft__object_after(o)) {
        const weft_optimizer *a = (const weft_optimizer *)o;
        n += snprintf(text + n, sizeof text - (size_t)n, ", %s %lld steps to rate %.9g",
                      a->ops->name, (long long)a->steps, weft_lr(a));
    }
    if (n < (int)sizeof text)
        snprintf(text + n, sizeof text - (size_t)n, ", zeroed and clipped %016llx",
                 (unsigned long long)f->facade->did);
    f->facade->astray = f->rank != 0; /* weft_clear brings rank 0's to all */
    return weft__agree_on(f, "what was done since the last weft_backward", text);
}
