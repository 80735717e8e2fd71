/* The public face of tensors. */
#include "tensor/tensor.h"

#include "device/device.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

static weft_dtype chosen(const weft_fabric *f, weft_dtype t)
{
    return t == WEFT_DEFAULT && f ? f->dtype : t;
}

static weft_status shaped(weft_fabric *f, weft_view *v, int rank, const int64_t *shape,
                          weft_dtype dtype)
{
    *v = (weft_view){.dtype = chosen(f, dtype), .rank = rank};
    if (!f || f->shut)
        return weft__fail(f ? WEFT_ESTATE : WEFT_EARG, "the fabric is not open");
    if (rank > 0 && !shape)
        return weft__fail(WEFT_EARG, "the shape of %d dimensions is NULL", rank);
    if (!weft_dtype_size(v->dtype))
        return weft__fail(WEFT_EDTYPE, "%d is no element type", (int)dtype);
    if (rank > 0 && rank <= WEFT_MAX_RANK)
        memcpy(v->shape, shape, (size_t)rank * sizeof *shape);
    return weft__view_pack(v);
}

/* Every maker ends here: NULL once something has stuck. */
static weft_tensor *made(weft_fabric *f, weft_status s, const weft_view *v)
{
    if (s) {
        weft__stick(f, s);
        return NULL;
    }
    return weft__tensor_new(f, v, true, NULL);
}

weft_tensor *weft__tensor_of(weft_fabric *f, const void *data, weft_dev near, int rank,
                             const int64_t *shape, weft_dtype dtype)
{
    weft_view v;
    weft_status s = shaped(f, &v, rank, shape, dtype);
    const size_t bytes = s ? 0 : weft__view_bytes(&v);
    if (!s)
        s = weft__scratch(f, bytes, &v.data);
    if (!s && data && !near.addr)
        near = weft__pin_near(f, data, bytes);
    if (!s)
        s = !data       ? f->device->ops->zero(f->stream, v.data, bytes)
            : near.addr ? f->device->ops->move(f->stream, v.data, near, bytes)
                        : f->device->ops->upload(f->stream, v.data, data, bytes);
    if (!s && data)
        weft__count_copy(f, &v);
    return made(f, s, &v);
}

weft_tensor *weft_tensor_of(weft_fabric *f, const void *data, int rank, const int64_t *shape,
                            weft_dtype dtype)
{
    return weft__tensor_of(f, data, (weft_dev){0}, rank, shape, dtype);
}

weft_tensor *weft_full(weft_fabric *f, double value, int rank, const int64_t *shape,
                       weft_dtype dtype)
{
    weft_view v;
    weft_status s = shaped(f, &v, rank, shape, dtype);
    if (!s)
        s = weft__scratch(f, weft__view_bytes(&v), &v.data);
    if (!s)
        s = f->device->ops->kernels->fill(f->stream, v.data, v.numel, value, v.dtype);
    return made(f, s, &v);
}

weft_tensor *weft_wrap(weft_fabric *f, void *ptr, int rank, const int64_t *shape, weft_dtype dtype)
{
    weft__tensor *x;
    weft_view v;
    weft_status s = shaped(f, &v, rank, shape, dtype);
    size_t bytes = s ? 0 : weft__view_bytes(&v);
    if (!s && !ptr && v.numel)
        s = weft__fail(WEFT_EARG, "weft_wrap: the address is NULL");
    if (!s && bytes) {
        s = weft__device_import(f->device, ptr, bytes, &v.data);
        if (s)
            weft__fail(s, "weft_wrap: %s; copy with weft_tensor_of", weft__why());
    }
    if (s) {
        weft__stick(f, s);
        return NULL;
    }
    weft_tensor *out = weft__tensor_new(f, &v, true, &x);
    if (out)
        x->imported = bytes;
    else if (bytes)
        weft__device_unimport(f->device, v.data, bytes);
    return out;
}

/* A parameter is an address only from setup on. */
static weft_status has_memory(const weft__tensor *x, const char *who)
{
    if (x->view.data.addr || !x->view.numel)
        return WEFT_OK;
    return weft__fail(WEFT_ESTATE,
                      "%s: the parameter has no memory before weft_setup or the first weft_forward",
                      who);
}

weft_tensor *weft_retain(weft_tensor *t)
{
    weft_fabric *f = NULL;
    weft__tensor *x = weft__tensor_at(t, &f), *kept;
    weft_tensor *out;
    if (!x)
        return NULL;
    weft_view v = x->view;
    weft_status s = has_memory(x, "weft_retain");
    if (!s)
        s = weft__view_pack(&v);
    size_t bytes = weft__view_bytes(&v) ? weft__view_bytes(&v) : 1;
    f->device->who = "weft_retain";
    if (!s)
        s = weft_device_alloc(f->device, bytes, WEFT_MEMORY_DATA, &v.data);
    f->device->who = NULL;
    if (!s && v.numel) {
        s = f->device->ops->kernels->copy(f->stream, v.data, v.dtype, v.stride, x->view.data,
                                          v.dtype, x->view.stride, v.rank, v.shape);
        if (s)
            weft_device_free(f->device, v.data, bytes, WEFT_MEMORY_DATA);
    }
    if (s) {
        weft__stick(f, s);
        return NULL;
    }
    if (!(out = weft__tensor_new(f, &v, false, &kept))) {
        weft_device_free(f->device, v.data, bytes, WEFT_MEMORY_DATA);
        return NULL;
    }
    kept->owned = bytes;
    weft__count_copy(f, &v);
    return out;
}

void weft_release(weft_tensor *t)
{
    weft_fabric *f = NULL;
    weft__tensor *x = weft__tensor_at(t, &f);
    if (x && !x->segment)
        weft__tensor_free(f, t);
}

weft_tensor *weft_detach(weft_tensor *t)
{
    weft_fabric *f = NULL;
    weft__tensor *x = weft__tensor_at(t, &f), *y;
    weft_tensor *out;
    if (!x)
        return NULL;
    if (has_memory(x, "weft_detach")) {
        weft__stick(f, WEFT_ESTATE);
        return NULL;
    }
    if (!(out = weft__tensor_new(f, &x->view, true, &y)))
        return NULL;
    y->rows = x->rows;
    y->reduction = x->reduction == WEFT__LOCAL ? WEFT__NONE : x->reduction; /* it is a constant */
    y->weight = x->weight;
    return out;
}

int weft_rank_of(weft_tensor *t)
{
    weft__tensor *x = weft__tensor_at(t, NULL);
    return x ? x->view.rank : 0;
}

int64_t weft_dim(weft_tensor *t, int d)
{
    weft__tensor *x = weft__tensor_at(t, NULL);
    if (!x)
        return -1;
    d += d < 0 ? x->view.rank : 0;
    return d >= 0 && d < x->view.rank ? x->view.shape[d] : -1;
}

int64_t weft_numel(weft_tensor *t)
{
    weft__tensor *x = weft__tensor_at(t, NULL);
    return x ? x->view.numel : -1;
}

weft_dtype weft_dtype_of(weft_tensor *t)
{
    weft__tensor *x = weft__tensor_at(t, NULL);
    return x ? x->view.dtype : WEFT_DEFAULT;
}

/* Both copies need memory behind the tensor and the right number of bytes. */
static weft_status copyable(weft_fabric *f, const weft__tensor *x, const char *what,
                            const void *host, size_t bytes)
{
    if (!host && bytes)
        return weft__stick(f, weft__fail(WEFT_EARG, "%s: the host's address is NULL", what));
    if (bytes != weft__view_bytes(&x->view))
        return weft__stick(f, weft__fail(WEFT_EARG, "%s: %zu bytes given, the tensor has %zu", what,
                                         bytes, weft__view_bytes(&x->view)));
    return has_memory(x, what) ? weft__stick(f, WEFT_ESTATE) : WEFT_OK;
}

weft_status weft_copy_out(weft_tensor *t, void *host, size_t bytes)
{
    weft_fabric *f = NULL;
    weft__tensor *x = weft__tensor_at(t, &f);
    weft_view v;
    if (!x)
        return WEFT_EHANDLE;
    WEFT_TRY(copyable(f, x, "weft_copy_out", host, bytes));
    weft_status s = weft__view_packed(f, &x->view, &v);
    if (!s && bytes)
        s = f->device->ops->download(f->stream, host, v.data, bytes);
    if (!s)
        weft__count_copy(f, &v);
    return s ? weft__stick(f, s) : weft__late_read(f);
}

weft_status weft_copy_in(weft_tensor *t, const void *host, size_t bytes)
{
    weft_fabric *f = NULL;
    weft__tensor *x = weft__tensor_at(t, &f);
    if (!x)
        return WEFT_EHANDLE;
    WEFT_TRY(copyable(f, x, "weft_copy_in", host, bytes));
    weft_view fresh = x->view;
    weft_status s = weft__view_pack(&fresh);
    if (!s && weft__view_is_packed(&x->view)) {
        s = f->device->ops->upload(f->stream, x->view.data, host, bytes);
    } else if (!s && !(s = weft__scratch(f, bytes, &fresh.data)) &&
               !(s = f->device->ops->upload(f->stream, fresh.data, host, bytes))) {
        s = f->device->ops->kernels->copy(f->stream, x->view.data, fresh.dtype, x->view.stride,
                                          fresh.data, fresh.dtype, fresh.stride, fresh.rank,
                                          fresh.shape);
    }
    if (!s)
        weft__count_copy(f, &x->view);
    if (!s && x->changed)
        *x->changed = *x->changed * 31 + XXH3_64bits(host, bytes);
    return s ? weft__stick(f, s) : WEFT_OK;
}

void *weft_data_pointer(weft_tensor *t)
{
    weft_fabric *f = NULL;
    weft__tensor *x = weft__tensor_at(t, &f);
    if (!x || has_memory(x, "weft_data_pointer")) {
        if (x)
            weft__stick(f, WEFT_ESTATE);
        return NULL;
    }
    weft_status s = f->device->ops->sync(f->stream);
    if (s)
        weft__stick(f, s);
    return s || weft__late_read(f) ? NULL : weft__device_host(f->device, x->view.data);
}

double weft_item(weft_tensor *t)
{
    weft_fabric *f = NULL;
    weft__tensor *x = weft__tensor_at(t, &f);
    weft_dev value;
    double out = NAN;
    const int64_t one = 1;
    if (!x)
        return NAN;
    weft_status s = x->view.numel == 1 ? WEFT_OK
                                       : weft__fail(WEFT_ESHAPE,
                                                    "weft_item: the tensor has %lld elements, not "
                                                    "one",
                                                    (long long)x->view.numel);
    if (!s)
        s = has_memory(x, "weft_item");
    if (!s)
        s = weft__scratch(f, sizeof out, &value);
    if (!s)
        s = f->device->ops->kernels->copy(f->stream, value, WEFT_F64, &one, x->view.data,
                                          x->view.dtype, &one, 1, &one);
    if (!s)
        s = f->device->ops->download(f->stream, &out, value, sizeof out);
    if (s)
        weft__stick(f, s);
    else
        weft__late_read(f);
    return out;
}
