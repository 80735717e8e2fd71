/* y = m(x) between the program's own arrays, with nothing recorded and nothing left behind. */
#include "autograd/tape.h"
#include "core/shape.h"
#include "device/device.h"
#include "fabric/facade.h"
#include "nn/module.h"

typedef struct room {
    void *data;
    int64_t numel;
    weft_dtype dtype;
} room;

/* Whether kernels compute as well in the host's memory as in their own. */
static weft_status is_near(weft_fabric *f, bool *near)
{
    weft_dev probe;
    WEFT_TRY(weft__scratch(f, 1, &probe));
    *near = f->device->ops->import && weft__device_host(f->device, probe);
    return WEFT_OK;
}

/* x where it is, or a copy of it on a device that would reach it, if at all, over a bus and after a call
 * of its driver for its pages. *imported: bytes to give back. */
static weft_status take_in(weft_fabric *f, const void *x, weft_view *v, size_t *imported)
{
    const size_t bytes = weft__view_bytes(v);
    if (!x && bytes)
        return weft__fail(WEFT_EARG, "weft_infer: x is NULL");
    bool near = false;
    WEFT_TRY(is_near(f, &near));
    if (bytes && near) {
        WEFT_TRY(weft__device_import(f->device, (void *)(uintptr_t)x, bytes, &v->data));
        *imported = bytes;
        return WEFT_OK;
    }
    WEFT_TRY(weft__scratch(f, bytes, &v->data));
    weft__count_copy(f, v);
    return bytes ? f->device->ops->upload(f->stream, v->data, x, bytes) : WEFT_OK;
}

static weft_status fits(const weft_view *v, const room *y)
{
    char text[WEFT__SHAPE_TEXT];
    if (v->numel != y->numel)
        return weft__fail(WEFT_ESHAPE, "weft_infer: y has room for %lld elements, the result is %s",
                          (long long)y->numel, weft__shape_text(v->rank, v->shape, text));
    if (v->numel && !y->data)
        return weft__fail(WEFT_EARG, "weft_infer: y is NULL");
    if (v->dtype == y->dtype || (weft__is_float(v->dtype) && weft__is_float(y->dtype)))
        return WEFT_OK;
    return weft__fail(WEFT_EDTYPE, "weft_infer: the result is of %s, y of %s",
                      weft_dtype_name(v->dtype), weft_dtype_name(y->dtype));
}

static weft_status put_out(weft_fabric *f, const weft_view *v, const room *y)
{
    weft_view host = *v;
    WEFT_TRY(fits(v, y));
    host.dtype = y->dtype;
    if (v->dtype == y->dtype && weft__view_is_packed(v)) {
        host.data = v->data;
    } else {
        WEFT_TRY(weft__scratch_view(f, &host));
        WEFT_TRY(f->device->ops->kernels->copy(f->stream, host.data, host.dtype, host.stride,
                                               v->data, v->dtype, v->stride, v->rank, v->shape));
    }
    WEFT_TRY(f->device->ops->sync(f->stream));
    WEFT_TRY(weft__late_read(f)); /* before y is written */
    weft__count_copy(f, &host);
    return host.numel
               ? f->device->ops->download(f->stream, y->data, host.data, weft__view_bytes(&host))
               : WEFT_OK;
}

static weft_status run(weft_module *m, const weft_view *x, const room *y)
{
    weft_fabric *f = m->object.fabric;
    weft_tensor *in = weft__tensor_new(f, x, true, NULL), *result = in ? weft_forward(m, in) : NULL;
    const weft__tensor *out = weft__tensor_at(result, NULL);
    if (out)
        return put_out(f, &out->view, y);
    WEFT_TRY(weft__stuck(f));
    return weft__fail(WEFT_EARG, "weft_infer: module %s gave no result", m->ops->name);
}

static weft_status infer(weft_module *m, const void *x, weft_view *v, const room *y)
{
    weft_fabric *f = m->object.fabric;
    const weft__mark mark = weft__engine_mark(f);
    size_t imported = 0;
    if (f->tape->eval++ == 0)
        f->tape->eval_mark = mark;
    weft_status s = weft__view_pack(v);
    if (!s)
        s = take_in(f, x, v, &imported);
    if (!s)
        s = run(m, v, y);
    if (imported) {
        f->device->ops->sync(f->stream); /* after an error kernels may still be on their way */
        weft__device_unimport(f->device, v->data, imported);
    }
    f->tape->eval--;
    weft__engine_rewind(f, mark);
    return s;
}

weft_status weft_infer(weft_module *m, const void *x, int rank, const int64_t *shape,
                       weft_dtype xtype, void *y, int64_t numel, weft_dtype ytype)
{
    if (!m)
        return WEFT_EARG;
    weft_fabric *f = m->object.fabric;
    weft_view v = {.dtype = xtype == WEFT_DEFAULT ? f->dtype : xtype, .rank = rank};
    const room to = {y, numel, ytype == WEFT_DEFAULT ? f->dtype : ytype};
    if (!weft__opened(f) || weft__stuck(f))
        return weft__stuck(f);
    if (rank > 0 && !shape)
        return weft__stick(f, weft__fail(WEFT_EARG, "weft_infer: the shape of x is NULL"));
    if (!weft_dtype_size(v.dtype) || !weft_dtype_size(to.dtype))
        return weft__stick(f, weft__fail(WEFT_EDTYPE, "weft_infer: types %d and %d; one is none",
                                         (int)xtype, (int)ytype));
    for (int d = 0; d < rank && d < WEFT_MAX_RANK; d++)
        v.shape[d] = shape[d];
    pthread_mutex_lock(&f->facade->inferring);
    weft_status s = weft__graph_edge(f->device); /* of a step of another thread's */
    s = s < 0 ? s : infer(m, x, &v, &to);
    pthread_mutex_unlock(&f->facade->inferring);
    return s < 0 && !weft__stuck(f) ? weft__stick(f, s) : s;
}
