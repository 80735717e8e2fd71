/* What the code of an op asks of its call. */
#include "autograd/tape.h"
#include "core/alloc.h"
#include "core/error.h"
#include "device/device.h"

#include <stdarg.h>
#include <stdio.h>
#include <weft/sys/op.h>

weft_status weft_op_fail(const weft_op_call *c, weft_status code, const char *format, ...)
{
    char text[WEFT__TEXT - 64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return weft__fail(code, "%s: %s", c ? c->op->name : "an op", text);
}

/* Bytes from a view's first element to its last. */
static size_t span(const weft_view *v)
{
    int64_t last = 0;
    for (int d = 0; d < v->rank; d++)
        last += (v->shape[d] - 1) * v->stride[d];
    return v->numel ? (size_t)(last + 1) * weft_dtype_size(v->dtype) : 0;
}

static bool is_input(const weft_op_call *c, const weft_view *v)
{
    bool is = v == &c->gout;
    for (int i = 0; i < WEFT_OP_INPUTS && !is; i++)
        is = v == &c->in[i];
    for (int i = 0; i < WEFT_OP_SAVED && !is; i++)
        is = v == &c->gsaved[i];
    return is;
}

static void *lend(const weft_op_call *c, const weft_view *v)
{
    weft__tape *t = c->fabric->tape;
    weft__lent new = {.data = v->data, .bytes = span(v), .changes = !is_input(c, v)};
    for (size_t i = 0; i < t->lents; i++)
        if (t->lent[i].data.addr == v->data.addr && t->lent[i].bytes >= new.bytes) {
            t->lent[i].changes |= new.changes;
            return t->lent[i].host;
        }
    if (weft__grow(&t->lent, &t->lent_room, t->lents + 1, sizeof new) ||
        !(new.host = weft__new(new.bytes, 1)))
        return NULL;
    if (c->device->ops->download(c->stream, new.host, new.data, new.bytes)) {
        weft__free(new.host);
        return NULL;
    }
    t->lent[t->lents++] = new;
    return new.host;
}

void *weft_op_host(const weft_op_call *c, const weft_view *v)
{
    if (!c || !v || c->device->ops->sync(c->stream))
        return NULL;
    void *host = weft__device_host(c->device, v->data);
    return host || !v->data.addr ? host : lend(c, v);
}

weft_status weft__op_return(weft_op_call *c, size_t before, weft_status s)
{
    weft__tape *t = c->fabric->tape;
    while (t->lents > before) {
        weft__lent *l = &t->lent[--t->lents];
        if (s >= 0 && l->changes) {
            const weft_status back = c->device->ops->upload(c->stream, l->data, l->host, l->bytes);
            s = back < 0 ? back : s;
        }
        weft__free(l->host);
    }
    return s;
}
