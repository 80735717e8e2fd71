/* The user's collectives. First all ranks meet: whether anyone brings an error, and whether all mean
 * the same call; then data travels. */
#include "core/env.h"
#include "core/hash.h"
#include "core/shape.h"
#include "device/device.h"
#include "fabric/facade.h"

#include <stdio.h>
#include <string.h>
#include <weft/collective.h>

weft_status weft__reach(weft_fabric *f, const char *call, weft_tensor *x, weft_view *v)
{
    weft_fabric *home = NULL;
    *v = (weft_view){0};
    if (weft__stuck(f))
        return WEFT_OK; /* nothing to give but the error */
    const weft__tensor *t = weft__tensor_for(call, x, &home);
    if (!t)
        return x ? WEFT_EHANDLE : weft__fail(WEFT_EARG, "%s: the tensor is NULL", call);
    if (home != f)
        return weft__fail(WEFT_EHANDLE, "%s: the tensor belongs to another fabric", call);
    if (!t->view.data.addr && t->view.numel)
        return weft__fail(WEFT_ESTATE, "%s: the parameter has no memory before weft_setup", call);
    WEFT_TRY(weft__view_packed(f, &t->view, v));
    return !v->numel || weft__comm_reach(f->comm, f->device, v->data) ? WEFT_OK : WEFT_ENOTSUP;
}

weft_status weft__agree_on(weft_fabric *f, const char *what, const char *text)
{
    weft_status s = weft__agree_text(f->comm, "arguments", what, text);
    if (s < 0) {
        weft__sticky_set(&f->error, s, weft__why());
        f->facade->agreed = s;
    }
    return s;
}

weft_status weft__meet(weft_fabric *f, weft_status mine, const char *what, const char *text)
{
    if (mine < 0)
        weft__stick(f, mine);
    if (f->facade->agreed || f->comm->lost)
        return f->facade->agreed ? f->facade->agreed : WEFT_EPEER;
    const int64_t h = (int64_t)(weft__hash_text(WEFT__HASH, text) >> 1);
    int64_t v[3] = {weft__stuck(f) ? -1 : 0, h, -h};
    weft_status s = weft__all_reduce(f->comm, "arguments", v, 3, WEFT_I64, WEFT_REDUCE_MIN);
    if (s < 0)
        return weft__stick(f, s);
    if (v[0] < 0)
        return weft__agree_on_errors(f);
    return v[1] == -v[2] ? WEFT_OK : weft__agree_on(f, what, text);
}

static void describe(const weft_view *v, int from, char *out, size_t size)
{
    char shape[WEFT__SHAPE_TEXT];
    snprintf(out, size, "%s %s%s", weft_dtype_name(v->dtype), from ? "rows of " : "",
             weft__shape_text(v->rank - from, v->shape + from, shape));
}

/* A new tensor of v, which is filled. */
static weft_tensor *finish(weft_fabric *f, weft_status s, const weft_view *v)
{
    if (s < 0) {
        if (!weft__stuck(f))
            weft__stick(f, s);
        return NULL;
    }
    return weft__tensor_new(f, v, true, NULL);
}

static void *host_of(const weft_fabric *f, weft_dev p)
{
    return weft__comm_reach(f->comm, f->device, p);
}

/* What each rank gives in bytes, one after the other, into out: from its place there, so that what
 * travels is of one kind of memory on all ranks. */
static weft_status gather(weft_fabric *f, const weft_view *v, const int64_t *bytes, weft_view *out)
{
    int64_t before = 0;
    for (int r = 0; r < f->rank; r++)
        before += bytes[r];
    if (v->numel)
        WEFT_TRY(f->device->ops->move(f->stream, weft__at(out->data, before), v->data,
                                      (size_t)bytes[f->rank]));
    WEFT_TRY(f->device->ops->sync(f->stream));
    char *at = host_of(f, out->data);
    return weft__all_gather(f->comm, "all_gather", at, bytes, at ? at + before : NULL, WEFT_U8);
}

/* Leaves room for the result before the ranks meet: afterwards nothing may fail on one alone. */
static weft_status prepare_stack(weft_fabric *f, weft_tensor *x, weft_view *v, weft_view *out,
                                 int64_t **bytes)
{
    WEFT_TRY(weft__reach(f, "weft_all_gather", x, v));
    if (weft__stuck(f))
        return WEFT_OK;
    if (v->rank == WEFT_MAX_RANK)
        return weft__fail(WEFT_ESHAPE,
                          "weft_all_gather: the tensor has %d dimensions, and the "
                          "result would have one more",
                          v->rank);
    *out = (weft_view){.dtype = v->dtype, .rank = v->rank + 1, .shape = {f->world}};
    memcpy(out->shape + 1, v->shape, (size_t)v->rank * sizeof *v->shape);
    WEFT_TRY(weft__scratch_view(f, out));
    *bytes = f->facade->counts;
    for (int r = 0; r < f->world; r++)
        (*bytes)[r] = (int64_t)weft__view_bytes(v);
    return WEFT_OK;
}

weft_tensor *weft_all_gather(weft_fabric *f, weft_tensor *x)
{
    weft_view v, out;
    int64_t *bytes = NULL;
    char text[160];
    if (!weft__opened(f))
        return NULL;
    weft_status s = prepare_stack(f, x, &v, &out, &bytes);
    describe(&v, 0, text, sizeof text);
    s = weft__meet(f, s, "the tensor given to weft_all_gather", text);
    return finish(f, s < 0 ? s : gather(f, &v, bytes, &out), &out);
}

static weft_status has_rows(const weft_fabric *f, const weft_view *v)
{
    return weft__stuck(f) || v->rank > 0
               ? WEFT_OK
               : weft__fail(WEFT_ESHAPE, "weft_all_gather_rows: the tensor has no dimension 0");
}

/* Room for all rows, whose number is known once the ranks have met. */
static weft_status prepare_rows(weft_fabric *f, const weft_view *v, int64_t *bytes, weft_view *out)
{
    const int64_t *rows = bytes;
    int64_t width = (int64_t)weft_dtype_size(v->dtype);
    *out = *v;
    out->shape[0] = 0;
    for (int d = 1; d < v->rank; d++)
        width *= v->shape[d];
    for (int r = 0; r < f->world; r++) {
        out->shape[0] += rows[r];
        bytes[r] = rows[r] * width;
    }
    return weft__scratch_view(f, out);
}

weft_tensor *weft_all_gather_rows(weft_fabric *f, weft_tensor *x)
{
    weft_view v, out;
    int64_t *bytes;
    char text[160];
    if (!weft__opened(f))
        return NULL;
    bytes = f->facade->counts;
    weft_status s = weft__reach(f, "weft_all_gather_rows", x, &v);
    s = s < 0 ? s : has_rows(f, &v);
    describe(&v, v.rank > 0, text, sizeof text);
    s = weft__meet(f, s, "the tensor given to weft_all_gather_rows", text);
    if (s < 0)
        return NULL;
    bytes[f->rank] = v.shape[0];
    int64_t *each = bytes + f->world;
    for (int r = 0; r < f->world; r++)
        each[r] = 1;
    s = weft__all_gather(f->comm, "rows", bytes, each, &bytes[f->rank], WEFT_I64);
    s = s < 0 ? s : weft__meet(f, prepare_rows(f, &v, bytes, &out), "rows", "");
    return finish(f, s < 0 ? s : gather(f, &v, bytes, &out), &out);
}

enum { MEAN, AVG, SUM, MIN, MAX, OPS };
static const char *const op_name[OPS] = {"mean", "avg", "sum", "min", "max"};

/* The type that keeps what op makes of t. */
static weft_dtype result_type(weft_dtype t, int op)
{
    if (t == WEFT_F32 || t == WEFT_F64 || op == MIN || op == MAX)
        return t;
    return op == SUM ? WEFT_I64 : WEFT_F64;
}

static weft_status prepare_reduce(weft_fabric *f, weft_tensor *x, int op, weft_view *out)
{
    weft_view v;
    *out = (weft_view){0};
    if (op < 0)
        return WEFT_EARG; /* said by weft__parse_choice */
    WEFT_TRY(weft__reach(f, "weft_all_reduce", x, &v));
    if (weft__stuck(f))
        return WEFT_OK;
    if (v.dtype == WEFT_F16 || v.dtype == WEFT_BF16)
        return weft__fail(WEFT_EDTYPE, "weft_all_reduce: %s is not summed; use weft_cast to f32",
                          weft_dtype_name(v.dtype));
    *out = v;
    out->dtype = result_type(v.dtype, op);
    WEFT_TRY(weft__scratch_view(f, out));
    return f->device->ops->kernels->copy(f->stream, out->data, out->dtype, out->stride, v.data,
                                         v.dtype, v.stride, v.rank, v.shape);
}

weft_tensor *weft_all_reduce(weft_fabric *f, weft_tensor *x, const char *name)
{
    static const weft_reduce reduce[OPS] = {[MIN] = WEFT_REDUCE_MIN, [MAX] = WEFT_REDUCE_MAX};
    weft_view out;
    char text[160], line[176];
    if (!weft__opened(f))
        return NULL;
    int op = name ? weft__parse_choice("weft_all_reduce: op", name, op_name, OPS) : MEAN;
    weft_status s = prepare_reduce(f, x, op, &out);
    op = op == AVG ? MEAN : op;
    describe(&out, 0, text, sizeof text);
    snprintf(line, sizeof line, "%s of %s", op < 0 ? "?" : op_name[op], text);
    if (weft__meet(f, s, "what is given to weft_all_reduce", line) < 0)
        return NULL;
    s = f->device->ops->sync(f->stream);
    s = s < 0 ? s
              : weft__all_reduce(f->comm, "all_reduce", host_of(f, out.data), out.numel, out.dtype,
                                 reduce[op]);
    if (s >= 0 && op == MEAN)
        s = f->device->ops->kernels->scale(f->stream, out.data, 1.0 / f->world, out.data, out.numel,
                                           out.dtype);
    return finish(f, s, &out);
}
