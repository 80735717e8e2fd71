/* What a strategy's author calls. */
#include "comm/request.h"
#include "strategy/strategy.h"

#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>

weft_fabric *weft_strategy_fabric(const weft_strategy *s)
{
    return s->fabric;
}

weft_device *weft_strategy_device(const weft_strategy *s)
{
    return s->fabric->device;
}

weft_stream *weft_strategy_stream(const weft_strategy *s)
{
    return s->fabric->stream;
}

weft_status weft_strategy_fail(const weft_strategy *s, weft_status code, const char *format, ...)
{
    char text[WEFT__TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return weft__fail(code, "strategy %s: %s", s->ops->name, text);
}

weft_status weft_strategy_alloc(weft_strategy *s, size_t bytes, weft_dev *out)
{
    weft_fabric *f = s->fabric;
    WEFT_TRY(weft__comm_alloc(f->comm, f->device, bytes, WEFT_MEMORY_OTHER, out));
    return f->device->ops->zero(f->stream, *out, bytes);
}

void weft_strategy_release(weft_strategy *s, weft_dev p, size_t bytes)
{
    if (p.addr)
        weft__comm_release(s->fabric->comm, s->fabric->device, p, bytes, WEFT_MEMORY_OTHER);
}

/* Addresses that the communicator works on, behind what the device still does; *in may be NULL. */
static weft_status reach(const weft_strategy *s, weft_dev a, weft_dev b, void **at, void **in)
{
    const weft_fabric *f = s->fabric;
    *at = a.addr ? weft__comm_reach(f->comm, f->device, a) : NULL;
    *in = b.addr ? weft__comm_reach(f->comm, f->device, b) : NULL;
    if ((a.addr && !*at) || (b.addr && !*in))
        return WEFT_ENOTSUP;
    return weft__comm_after(f->comm, f->stream);
}

weft_status weft_strategy_start_all_reduce(weft_strategy *s, weft_request *r, const char *name,
                                           weft_dev buf, int64_t n, weft_dtype t, weft_reduce op)
{
    void *at, *in;
    const weft_fabric *f = s->fabric;
    const bool tree = f->leaves && op == WEFT_REDUCE_SUM; /* which nothing goes on beside */
    WEFT_TRY(reach(s, buf, (weft_dev){0}, &at, &in));
    if (tree)
        WEFT_TRY(f->device->ops->sync(f->stream));
    const weft__part part = weft__enter(s->fabric, WEFT__COMMUNICATION);
    weft_comm *c = f->comm;
    *r = (weft_request){0};
    const weft_status code = tree ? weft__all_reduce_tree(c, name, at, n, t)
                                  : weft__start_all_reduce(c, r, name, at, n, t, op);
    weft__enter(s->fabric, part);
    return code;
}

weft_status weft_strategy_start_reduce_scatter(weft_strategy *s, weft_request *r, const char *name,
                                               weft_dev out, weft_dev in, const int64_t *counts,
                                               weft_dtype t)
{
    void *to, *from;
    WEFT_TRY(reach(s, out, in, &to, &from));
    const weft__part part = weft__enter(s->fabric, WEFT__COMMUNICATION);
    const weft_status code =
        weft__start_reduce_scatter(s->fabric->comm, r, name, to, from, counts, t);
    weft__enter(s->fabric, part);
    return code;
}

weft_status weft_strategy_start_all_gather(weft_strategy *s, weft_request *r, const char *name,
                                           weft_dev out, const int64_t *counts, weft_dev in,
                                           weft_dtype t)
{
    void *to, *from;
    WEFT_TRY(reach(s, out, in, &to, &from));
    const weft__part part = weft__enter(s->fabric, WEFT__COMMUNICATION);
    const weft_status code = weft__start_all_gather(s->fabric->comm, r, name, to, counts, from, t);
    weft__enter(s->fabric, part);
    return code;
}

weft_status weft_strategy_await(weft_strategy *s, weft_request *r)
{
    const weft__part part = weft__enter(s->fabric, WEFT__COMMUNICATION);
    const weft_status code = weft__await(s->fabric->comm, r);
    weft__enter(s->fabric, part);
    return code;
}

/* Begun and ended at once, they are what blocking calls are. */
weft_status weft_strategy_all_reduce(weft_strategy *s, const char *name, weft_dev buf, int64_t n,
                                     weft_dtype t, weft_reduce op)
{
    weft_request r;
    WEFT_TRY(weft_strategy_start_all_reduce(s, &r, name, buf, n, t, op));
    return weft_strategy_await(s, &r);
}

weft_status weft_strategy_reduce_scatter(weft_strategy *s, const char *name, weft_dev out,
                                         weft_dev in, const int64_t *counts, weft_dtype t)
{
    weft_request r;
    WEFT_TRY(weft_strategy_start_reduce_scatter(s, &r, name, out, in, counts, t));
    return weft_strategy_await(s, &r);
}

weft_status weft_strategy_all_gather(weft_strategy *s, const char *name, weft_dev out,
                                     const int64_t *counts, weft_dev in, weft_dtype t)
{
    weft_request r;
    WEFT_TRY(weft_strategy_start_all_gather(s, &r, name, out, counts, in, t));
    return weft_strategy_await(s, &r);
}

weft_status weft_strategy_broadcast(weft_strategy *s, const char *name, weft_dev buf, int64_t bytes,
                                    int root)
{
    void *at, *in;
    WEFT_TRY(reach(s, buf, (weft_dev){0}, &at, &in));
    const weft__part part = weft__enter(s->fabric, WEFT__COMMUNICATION);
    const weft_status code = weft__comm_broadcast(s->fabric->comm, name, at, bytes, root);
    weft__enter(s->fabric, part);
    return code;
}
