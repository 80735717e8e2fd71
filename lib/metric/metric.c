/* What all metrics share: the door, numbers that add up, and starting anew. */
#include "metric/metric.h"

#include "core/alloc.h"
#include "device/device.h"

#include <math.h>
#include <string.h>
#include <weft/autograd.h>

static size_t bytes_of(const weft_metric *m)
{
    return (size_t)m->n * sizeof(double);
}

static void destroy(weft__object *o)
{
    weft_metric *m = (weft_metric *)o;
    if (m->ops->destroy && m->self)
        m->ops->destroy(m->self);
    if (m->number.addr)
        weft_device_free(o->fabric->device, m->number, bytes_of(m), WEFT_MEMORY_OTHER);
    weft__free(m->host);
    weft__free(m->self);
}

static weft_metric *stuck(weft_fabric *f, weft_status code)
{
    weft__stick(f, code);
    return NULL;
}

static weft_status clear(weft_metric *m)
{
    static const double start[] = {0, INFINITY, -INFINITY};
    const weft_fabric *f = m->object.fabric;
    m->weight = 0;
    return f->device->ops->kernels->fill(f->stream, m->number, m->n, start[m->ops->reduce],
                                         WEFT_F64);
}

weft_metric *weft_metric_new(weft_fabric *f, const weft_metric_ops *ops, const void *self,
                             size_t bytes, int64_t n)
{
    int64_t room;
    if (!ops || ops->size != sizeof *ops || !ops->name || !ops->update || !ops->value ||
        (unsigned)ops->reduce > WEFT_REDUCE_MAX)
        return stuck(f, weft__fail(WEFT_EARG,
                                   "the table of metric %s is incomplete: update and "
                                   "value are required",
                                   ops && ops->name ? ops->name : "?"));
    if (n < 1 || __builtin_mul_overflow(n, (int64_t)sizeof(double), &room))
        return stuck(f,
                     weft__fail(WEFT_EARG, "metric %s has %lld numbers", ops->name, (long long)n));
    if (bytes && !self)
        return stuck(f, weft__fail(WEFT_EARG, "metric %s has %zu bytes at NULL", ops->name, bytes));
    weft_metric *m = weft__object_new(f, WEFT__METRIC, sizeof *m, destroy);
    if (!m)
        return NULL;
    m->ops = ops;
    m->n = n;
    m->host = weft__new((size_t)n + 1, sizeof *m->host);
    if (!m->host || !(m->self = weft__new(1, bytes ? bytes : 1)))
        return stuck(f, WEFT_ENOMEM); /* freed with the fabric */
    if (bytes)
        memcpy(m->self, self, bytes);
    weft_status s = weft_device_alloc(f->device, (size_t)room, WEFT_MEMORY_OTHER, &m->number);
    if (!s)
        s = clear(m);
    return s ? stuck(f, s) : m;
}

static weft_status update(weft_metric *m, weft_tensor *x, weft_tensor *y)
{
    weft_fabric *home = NULL;
    if (!x)
        return weft__fail(WEFT_EARG, "weft_metric_update: %s got no tensor, and no error has stuck",
                          m->ops->name);
    if (!weft__tensor_at(x, &home))
        return WEFT_EHANDLE;
    if (home != m->object.fabric)
        return weft__fail(WEFT_EHANDLE, "weft_metric_update: the tensor belongs to another fabric");
    return m->ops->update(m, m->self, x, y);
}

weft_status weft_metric_update(weft_metric *m, weft_tensor *x, weft_tensor *y)
{
    if (!m)
        return WEFT_EARG;
    weft_fabric *f = m->object.fabric;
    if (weft__stuck(f))
        return weft__stuck(f);
    weft_eval_begin(f);
    weft_status s = update(m, x, y);
    weft_eval_end(f);
    return s < 0 ? weft__stick(f, s) : WEFT_OK;
}

/* y joined with all of t's elements. */
static weft_status join(const weft_metric *m, weft_dev y, const weft_view *t)
{
    const weft_fabric *f = m->object.fabric;
    const weft_kernels *k = f->device->ops->kernels;
    const int largest = m->ops->reduce == WEFT_REDUCE_MAX;
    weft_dev best;
    if (t->numel == 0)
        return WEFT_OK;
    WEFT_TRY(weft__scratch(m->object.fabric, sizeof(double), &best));
    WEFT_TRY(
        k->extremum(f->stream, best, (weft_dev){0}, t->data, largest, 1, t->numel, 1, WEFT_F64));
    return k->binary(f->stream, largest ? WEFT_MAXIMUM : WEFT_MINIMUM, y, y, NULL, best, NULL, 0,
                     NULL, WEFT_F64);
}

weft_status weft_metric_add(weft_metric *m, int64_t first, weft_tensor *t, double alpha)
{
    const weft__tensor *x = weft__tensor_at(t, NULL);
    if (!m)
        return WEFT_EARG;
    weft_fabric *f = m->object.fabric;
    if (!x)
        return weft__stuck(f) ? weft__stuck(f) : WEFT_EHANDLE;
    const bool sums = m->ops->reduce == WEFT_REDUCE_SUM;
    weft_view wide = x->view;
    wide.dtype = WEFT_F64;
    if (first < 0 || first + (sums ? wide.numel : 1) > m->n)
        return weft__fail(WEFT_EARG,
                          "weft_metric_add: %lld numbers at %lld of metric %s, which has "
                          "%lld",
                          (long long)wide.numel, (long long)first, m->ops->name, (long long)m->n);
    WEFT_TRY(weft__scratch_view(f, &wide));
    WEFT_TRY(f->device->ops->kernels->copy(f->stream, wide.data, WEFT_F64, wide.stride,
                                           x->view.data, x->view.dtype, x->view.stride, wide.rank,
                                           wide.shape));
    const weft_dev y = weft__at(m->number, first * (int64_t)sizeof(double));
    return sums
               ? f->device->ops->kernels->axpy(f->stream, y, alpha, wide.data, wide.numel, WEFT_F64)
               : join(m, y, &wide);
}

void weft_metric_weigh(weft_metric *m, double weight)
{
    if (m)
        m->weight += weight;
}

int64_t weft_metric_rows(weft_tensor *t)
{
    const weft__tensor *x = weft__tensor_at(t, NULL);
    return x && x->rows.batch ? x->rows.local : -1;
}

weft_status weft_metric_reset(weft_metric *m)
{
    if (!m)
        return WEFT_EARG;
    weft_status s = clear(m);
    m->resets++;
    return s ? weft__stick(m->object.fabric, s) : WEFT_OK;
}
