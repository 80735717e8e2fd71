/* The step's arena: device memory that grows while a step runs, is given back down to a mark, and at the edge becomes
 * one chunk of the step's size. */
#include "core/alloc.h"
#include "device/device.h"
#include "tensor/tensor.h"

#define FIRST_CHUNK ((size_t)1 << 20)
#define LARGE_CHUNK ((size_t)64 << 20)

static weft_status add_chunk(weft_fabric *f, size_t bytes)
{
    weft__engine *e = f->engine;
    WEFT_TRY(weft__grow(&e->chunk, &e->chunk_room, e->chunks + 1, sizeof *e->chunk));
    WEFT_TRY(weft_device_alloc(f->device, bytes, WEFT_MEMORY_ARENA, &e->chunk[e->chunks].data));
    e->chunk[e->chunks].bytes = bytes;
    e->chunk[e->chunks].used = 0;
    e->chunks++;
    return WEFT_OK;
}

/* The arena doubles while it is small, then grows by an eighth, as once it has had the size of a step, when
 * what is missing is little: by whole multiples of what is needed now, and by that alone where the device
 * has no more room. */
static weft_status extend(weft_fabric *f, size_t need)
{
    const weft__engine *e = f->engine;
    size_t all = 0;
    for (size_t i = 0; i < e->chunks; i++)
        all += e->chunk[i].bytes;
    const bool small = all < LARGE_CHUNK && !(e->settled && e->chunks == 1);
    const size_t usual = all == 0 ? FIRST_CHUNK : small ? all : all / 8;
    if (usual > need && add_chunk(f, (usual + need - 1) / need * need) == WEFT_OK)
        return WEFT_OK;
    return add_chunk(f, need);
}

/* Where there is one chunk, its size tells. */
static void note_use(weft__engine *e)
{
    size_t use = 0;
    for (size_t i = 0; i < e->chunks && e->chunks > 1; i++)
        use += e->chunk[i].used;
    e->most = use > e->most ? use : e->most;
}

weft_status weft__scratch_more(weft_fabric *f, size_t bytes, weft_dev *out)
{
    weft__engine *e = f->engine;
    const size_t need = weft__arena_room(bytes);
    if (need < bytes)
        return weft__fail(WEFT_ENOMEM, "a tensor of %zu bytes is too large", bytes);
    while (e->current < e->chunks && e->chunk[e->current].bytes - e->chunk[e->current].used < need)
        e->current++;
    if (e->current == e->chunks)
        WEFT_TRY(extend(f, need));
    weft__chunk *c = &e->chunk[e->current];
    *out = weft__at(c->data, (int64_t)c->used);
    c->used += need;
    note_use(e);
    return WEFT_OK;
}

/* Several chunks mean that this step outgrew the arena: make one that holds what was in use at once. */
weft_status weft__arena_edge(weft_fabric *f)
{
    weft__engine *e = f->engine;
    if (e->chunks <= 1)
        return WEFT_OK;
    const size_t first = e->chunk[0].bytes, total = e->most > first ? e->most : first;
    WEFT_TRY(f->device->ops->sync(f->stream));
    for (size_t i = 0; i < e->chunks; i++)
        weft_device_free(f->device, e->chunk[i].data, e->chunk[i].bytes, WEFT_MEMORY_ARENA);
    e->chunks = e->most = 0;
    e->settled = true;
    return add_chunk(f, total);
}

/* What was given out beyond `used` is worth nothing any more. */
static void cut(const weft_fabric *f, weft__chunk *c, size_t used)
{
    if (f->device->ops->discard && used < c->used)
        f->device->ops->discard(f->stream, weft__at(c->data, (int64_t)used), c->used - used);
    c->used = used;
}

void weft__arena_cut(weft_fabric *f, weft__mark mark, size_t at, size_t end)
{
    weft__engine *e = f->engine;
    weft__blocks_cut(e, mark);
    for (size_t i = mark.chunk; i < e->chunks; i++)
        cut(f, &e->chunk[i], i == at ? end : i == mark.chunk ? mark.used : 0);
    e->current = at;
}

void weft__arena_close(weft_fabric *f)
{
    weft__engine *e = f->engine;
    for (size_t i = 0; i < e->chunks; i++)
        weft_device_free(f->device, e->chunk[i].data, e->chunk[i].bytes, WEFT_MEMORY_ARENA);
    weft__free(e->chunk);
    weft__free(e->block);
}
