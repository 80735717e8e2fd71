/* One rank, no MPI: every reduction is the identity. */
#include "comm/comm.h"

#include "core/alloc.h"
#include "core/error.h"

#include <string.h>

static weft_status all_reduce(weft_comm *c, void *buf, int64_t n, weft_dtype t, weft_reduce op)
{
    (void)c, (void)buf, (void)n, (void)t, (void)op;
    return WEFT_OK;
}

/* memmove: out may be in itself. */
static weft_status copy(void *out, const void *in, int64_t n, weft_dtype t)
{
    if (n && out != in)
        memmove(out, in, (size_t)n * weft_dtype_size(t));
    return WEFT_OK;
}

static weft_status reduce_scatter(weft_comm *c, void *out, const void *in, const int64_t *counts,
                                  weft_dtype t)
{
    (void)c;
    return copy(out, in, counts[0], t);
}

static weft_status all_gather(weft_comm *c, void *out, const int64_t *counts, const void *in,
                              weft_dtype t)
{
    (void)c;
    return copy(out, in, counts[0], t);
}

static weft_status broadcast(weft_comm *c, void *buf, int64_t bytes, int root)
{
    (void)c, (void)buf, (void)bytes, (void)root;
    return WEFT_OK;
}

static weft_status barrier(weft_comm *c)
{
    (void)c;
    return WEFT_OK;
}

static weft_status nobody(void)
{
    return weft__fail(WEFT_EARG, "this rank runs alone and has no peer");
}

static weft_status send_bytes(weft_comm *c, const void *buf, int64_t bytes, int to, int tag)
{
    (void)c, (void)buf, (void)bytes, (void)to, (void)tag;
    return nobody();
}

static weft_status recv_bytes(weft_comm *c, void *buf, int64_t bytes, int from, int tag)
{
    (void)c, (void)buf, (void)bytes, (void)from, (void)tag;
    return nobody();
}

static weft_status split(weft_comm *c, int color, int key, weft_comm **out)
{
    (void)key;
    *out = NULL;
    if (color < 0)
        return WEFT_OK;
    WEFT_TRY(weft__comm_self(out));
    (*out)->timeout = c->timeout;
    return WEFT_OK;
}

static void destroy(weft_comm *c)
{
    weft__free(c);
}

static const weft_comm_ops self_ops = {
    .size = sizeof self_ops,
    .name = "self",
    .all_reduce = all_reduce,
    .reduce_scatter = reduce_scatter,
    .all_gather = all_gather,
    .broadcast = broadcast,
    .barrier = barrier,
    .send = send_bytes,
    .recv = recv_bytes,
    .split = split,
    .free = destroy,
};

weft_status weft__comm_self(weft_comm **out)
{
    weft_comm *c = weft__new(1, sizeof *c);
    if (!c)
        return WEFT_ENOMEM;
    c->ops = &self_ops;
    c->world = 1;
    *out = c;
    return WEFT_OK;
}
