/* Blocks of the arena that come and go within a step. One that nobody uses any more is taken again by who needs as
 * much: of several the one that was given back last, which the caches may still have. */
#include "core/alloc.h"
#include "device/device.h"
#include "tensor/tensor.h"

static weft__block *at(const weft_fabric *f, int block)
{
    return &f->engine->block[block - 1];
}

static weft__block *find(const weft__engine *e, size_t bytes)
{
    weft__block *found = NULL;
    for (size_t i = 0; i < e->blocks; i++) {
        weft__block *p = &e->block[i];
        if (!p->uses && p->bytes == bytes && (!found || p->given > found->given))
            found = p;
    }
    return found;
}

weft_status weft__block_take(weft_fabric *f, size_t bytes, int *block, weft_dev *out)
{
    weft__engine *e = f->engine;
    weft__block *p = find(e, bytes);
    if (!p) {
        const weft__mark from = weft__engine_mark(f);
        WEFT_TRY(weft__grow(&e->block, &e->block_room, e->blocks + 1, sizeof *e->block));
        WEFT_TRY(weft__scratch(f, bytes, out));
        p = &e->block[e->blocks++];
        *p = (weft__block){.data = *out, .bytes = bytes, .from = from};
    }
    p->uses = 1;
    *block = (int)(p - e->block) + 1;
    *out = p->data;
    return WEFT_OK;
}

void weft__block_share(weft_fabric *f, int block)
{
    if (block)
        at(f, block)->uses++;
}

void weft__block_drop(weft_fabric *f, int block)
{
    weft__block *p = block ? at(f, block) : NULL;
    if (!p || --p->uses)
        return;
    p->given = ++f->engine->given;
    if (f->device->ops->discard)
        f->device->ops->discard(f->stream, p->data, p->bytes);
}

bool weft__block_alone(const weft_fabric *f, int block)
{
    return block && at(f, block)->uses == 1;
}

void weft__blocks_cut(weft__engine *e, weft__mark mark)
{
    for (; e->blocks; e->blocks--) {
        const weft__mark *from = &e->block[e->blocks - 1].from;
        if (from->chunk < mark.chunk || (from->chunk == mark.chunk && from->used < mark.used))
            return;
    }
}
