/* Blocks of the arena that come and go within a step. One that nobody uses any more is taken again by who needs as
 * much: of several the one that was given back last, which the caches may still have. */
#include "core/alloc.h"
#include "device/device.h"
#include "tensor/tensor.h"

static weft__block *at(const weft_fabric *f, int block)
{
    return &f->engine->block[block - 1];
}

/* Takes one of that size from those that are nobody's; 0: there is none. */
static int find(weft__engine *e, size_t bytes)
{
    for (int *link = &e->spare_block; *link; link = &e->block[*link - 1].next) {
        const int block = *link;
        if (e->block[block - 1].bytes == bytes) {
            *link = e->block[block - 1].next;
            return block;
        }
    }
    return 0;
}

weft_status weft__block_take(weft_fabric *f, size_t bytes, int *block, weft_dev *out)
{
    weft__engine *e = f->engine;
    if (!(*block = find(e, bytes))) {
        const weft__mark from = weft__engine_mark(f);
        WEFT_TRY(weft__grow(&e->block, &e->block_room, e->blocks + 1, sizeof *e->block));
        WEFT_TRY(weft__scratch(f, bytes, out));
        e->block[e->blocks++] = (weft__block){.data = *out, .bytes = bytes, .from = from};
        *block = (int)e->blocks;
    }
    weft__block *p = at(f, *block);
    p->uses = 1;
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
    p->next = f->engine->spare_block;
    f->engine->spare_block = block;
    if (f->device->ops->discard)
        f->device->ops->discard(f->stream, p->data, p->bytes);
}

static bool is_behind(weft__mark a, weft__mark b)
{
    return a.chunk > b.chunk || (a.chunk == b.chunk && a.used >= b.used);
}

void weft__blocks_cut(weft__engine *e, weft__mark mark)
{
    const size_t had = e->blocks;
    while (e->blocks && is_behind(e->block[e->blocks - 1].from, mark))
        e->blocks--;
    for (int *link = &e->spare_block; had > e->blocks && *link;)
        if ((size_t)*link > e->blocks)
            *link = e->block[*link - 1].next;
        else
            link = &e->block[*link - 1].next;
}
