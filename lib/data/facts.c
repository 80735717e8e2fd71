/* What a loader tells of itself. */
#include "data/object.h"

#include <stdio.h>
#include <string.h>

weft_status weft__loader_setup(weft_loader *l)
{
    if (l->setup)
        return weft__fail(WEFT_ESTATE, "%.200s: the loader has been set up already",
                          l->source.label);
    l->setup = true;
    return WEFT_OK;
}

bool weft__loader_is_setup(const weft_loader *l)
{
    return l->setup;
}

bool weft__loader_is_evaluation(const weft_loader *l)
{
    return l->plan.evaluation;
}

bool weft__loader_joins(const weft_loader *l)
{
    return l->plan.stream;
}

bool weft__loader_at_end(const weft_loader *l)
{
    return l->plan.stream ? l->stream.ended : l->ring.taken >= l->ring.total;
}

int64_t weft__loader_epoch(const weft_loader *l)
{
    int64_t epoch = l->plan.batches * l->plan.pieces, at = l->ring.taken;
    return l->plan.stream ? l->stream.epoch : epoch && at ? (at - 1) / epoch : 0;
}

void weft__loader_text(const weft_loader *l, char *text, size_t size)
{
    static const char *const last[] = {"uneven", "drop", "pad"};
    const weft__plan *p = &l->plan;
    const weft__sampler *s = &l->sampler;
    int n = snprintf(text, size, "%lld rows, %lld epochs of %lld batches of %lld, seed %llu",
                     (long long)p->rows, (long long)p->epochs, (long long)p->batches,
                     (long long)p->batch, (unsigned long long)p->seed);
    if (p->stream)
        snprintf(text + n, size - (size_t)n, ", %d shards a rank", p->shards);
    else
        snprintf(text + n, size - (size_t)n, ", %slast %s, order %s %016llx",
                 p->evaluation ? "evaluation, " : "", last[p->last],
                 !s->ops        ? "as it is"
                 : s->ops->name ? s->ops->name
                                : "of the program",
                 (unsigned long long)s->digest);
}

int64_t weft__loader_global_batch(const weft_loader *l)
{
    return l->plan.batch;
}

int64_t weft__loader_bytes(const weft_loader *l)
{
    return (int64_t)l->ring.bytes;
}

weft_fabric *weft__loader_fabric(const weft_loader *l)
{
    return l->object.fabric;
}

int64_t weft_loader_rows(const weft_loader *l)
{
    return l ? l->plan.rows : 0;
}

int64_t weft_loader_batches(const weft_loader *l)
{
    return l ? l->plan.batches : 0;
}

int64_t weft_loader_epochs(const weft_loader *l)
{
    return l ? l->plan.epochs : 0;
}

int64_t weft_loader_position(const weft_loader *l)
{
    return !l ? 0 : l->plan.stream ? l->stream.handed : l->ring.taken / l->plan.pieces;
}

weft_tensor *weft_batch_field(const weft_batch *b, const char *name)
{
    for (int k = 0; b && name && k < b->fields; k++)
        if (b->name && b->name[k] && strcmp(b->name[k], name) == 0)
            return b->field[k];
    return NULL;
}
