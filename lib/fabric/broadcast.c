/* What one rank has, for all; and what all decide together. */
#include "device/device.h"
#include "fabric/facade.h"

#include <stdio.h>
#include <string.h>
#include <weft/collective.h>

/* What a tensor is, as it travels before its elements. */
typedef struct head {
    int64_t dtype, rank, shape[WEFT_MAX_RANK];
} head;

static weft_status is_rank(const weft_fabric *f, const char *call, int src)
{
    return src >= 0 && src < f->world
               ? WEFT_OK
               : weft__fail(WEFT_EARG, "%s: there is no rank %d; there are 0 to %d", call, src,
                            f->world - 1);
}

static weft_status prepare(weft_fabric *f, weft_tensor *x, int src, weft_view *v)
{
    *v = (weft_view){0};
    WEFT_TRY(is_rank(f, "weft_broadcast", src));
    return f->rank == src ? weft__reach(f, "weft_broadcast", x, v) : WEFT_OK;
}

static weft_status tell(weft_fabric *f, int src, const weft_view *v, weft_view *out)
{
    head h = {.dtype = v->dtype, .rank = v->rank};
    memcpy(h.shape, v->shape, sizeof h.shape);
    WEFT_TRY(weft__comm_broadcast(f->comm, "shape", &h, sizeof h, src));
    *out = (weft_view){.dtype = (weft_dtype)h.dtype, .rank = (int)h.rank};
    memcpy(out->shape, h.shape, sizeof h.shape);
    return WEFT_OK;
}

/* Room for it, and on src the elements. */
static weft_status receive(weft_fabric *f, int src, const weft_view *v, weft_view *out)
{
    WEFT_TRY(weft__scratch_view(f, out));
    if (!weft__comm_reach(f->comm, f->device, out->data))
        return WEFT_ENOTSUP;
    if (f->rank == src)
        WEFT_TRY(f->device->ops->move(f->stream, out->data, v->data, weft__view_bytes(v)));
    return f->device->ops->sync(f->stream);
}

weft_tensor *weft_broadcast(weft_fabric *f, weft_tensor *x, int src)
{
    weft_view v, out;
    char text[48];
    if (!weft__opened(f))
        return NULL;
    snprintf(text, sizeof text, "from rank %d", src);
    if (weft__meet(f, prepare(f, x, src, &v), "src of weft_broadcast", text) < 0)
        return NULL;
    weft_status s = tell(f, src, &v, &out);
    if (s >= 0 && weft__meet(f, receive(f, src, &v, &out), "room", "") < 0)
        return NULL;
    if (s >= 0)
        s = weft__comm_broadcast(f->comm, "broadcast",
                                 weft__comm_reach(f->comm, f->device, out.data),
                                 (int64_t)weft__view_bytes(&out), src);
    if (s >= 0)
        return weft__tensor_new(f, &out, true, NULL);
    weft__stick(f, s);
    return NULL;
}

weft_status weft_broadcast_bytes(weft_fabric *f, void *data, size_t bytes, int src)
{
    char text[64];
    if (!weft__opened(f))
        return weft__stuck(f);
    weft_status s = is_rank(f, "weft_broadcast_bytes", src);
    if (!s && ((!data && bytes) || bytes > INT64_MAX))
        s = weft__fail(WEFT_EARG, "weft_broadcast_bytes: %zu bytes at %s", bytes,
                       data ? "an address" : "NULL");
    snprintf(text, sizeof text, "%zu bytes from rank %d", bytes, src);
    WEFT_TRY(weft__meet(f, s, "what is given to weft_broadcast_bytes", text));
    s = weft__comm_broadcast(f->comm, "broadcast", data, (int64_t)bytes, src);
    return s < 0 ? weft__stick(f, s) : WEFT_OK;
}

/* The text of src; -1: it has no end. */
static int64_t length_of(const weft_fabric *f, const char *text, size_t capacity, int src)
{
    const size_t n = f->rank == src ? strnlen(text, capacity) : 0;
    return n < capacity ? (int64_t)n : -1;
}

static weft_status is_text(const weft_fabric *f, const char *text, size_t capacity, int src)
{
    WEFT_TRY(is_rank(f, "weft_broadcast_text", src));
    if (!text || !capacity)
        return weft__fail(WEFT_EARG, "weft_broadcast_text: the buffer is NULL or of 0 bytes");
    return length_of(f, text, capacity, src) < 0
               ? weft__fail(WEFT_EARG, "weft_broadcast_text: the text has no end within %zu bytes",
                            capacity)
               : WEFT_OK;
}

weft_status weft_broadcast_text(weft_fabric *f, char *text, size_t capacity, int src)
{
    char line[48];
    if (!weft__opened(f))
        return weft__stuck(f);
    snprintf(line, sizeof line, "from rank %d", src);
    WEFT_TRY(weft__meet(f, is_text(f, text, capacity, src), "src of weft_broadcast_text", line));
    int64_t n = length_of(f, text, capacity, src);
    weft_status s = weft__comm_broadcast(f->comm, "length", &n, sizeof n, src), fits = WEFT_OK;
    if (s < 0)
        return weft__stick(f, s);
    if ((size_t)n >= capacity)
        fits =
            weft__fail(WEFT_EARG, "weft_broadcast_text: a text of %lld bytes does not fit in %zu",
                       (long long)n, capacity);
    WEFT_TRY(weft__meet(f, fits, "room", ""));
    s = weft__comm_broadcast(f->comm, "broadcast", text, n, src);
    text[n] = '\0';
    return s < 0 ? weft__stick(f, s) : WEFT_OK;
}

bool weft_reduce_boolean_decision(weft_fabric *f, bool decision, bool all)
{
    int32_t yes = decision;
    if (!weft__opened(f) ||
        weft__meet(f, WEFT_OK, "what weft_reduce_boolean_decision asks", all ? "all" : "any") < 0)
        return false;
    weft_status s = weft__all_reduce(f->comm, "decision", &yes, 1, WEFT_I32,
                                     all ? WEFT_REDUCE_MIN : WEFT_REDUCE_MAX);
    if (s < 0)
        weft__stick(f, s);
    return s >= 0 && yes;
}

weft_status weft_barrier(weft_fabric *f)
{
    if (!weft__opened(f))
        return weft__stuck(f);
    weft_status s = weft__barrier(f->comm, "barrier");
    return s < 0 ? weft__stick(f, s) : WEFT_OK;
}

weft_status weft_barrier_named(weft_fabric *f, const char *name)
{
    if (!name || !weft__opened(f))
        return weft_barrier(f);
    return weft__meet(f, WEFT_OK, "the barrier", name);
}
