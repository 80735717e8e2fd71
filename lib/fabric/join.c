/* A logged value on its way into its row, where it is: on the device, so that no step waits. */
#include "device/device.h"
#include "fabric/metrics.h"

/* at = a at + b value, in f64. */
static weft_status mix(weft_fabric *f, weft_dev at, double a, double b, const weft_view *value)
{
    const weft_kernels *k = f->device->ops->kernels;
    const int64_t one = 1;
    weft_dev wide;
    WEFT_TRY(weft__scratch(f, sizeof(double), &wide));
    WEFT_TRY(k->copy(f->stream, wide, WEFT_F64, &one, value->data, value->dtype, &one, 1, &one));
    WEFT_TRY(k->scale(f->stream, at, a, at, 1, WEFT_F64));
    return k->axpy(f->stream, at, b, wide, 1, WEFT_F64);
}

/* v = w v, and 0 where w is 0: the mean of nothing is NaN. */
static weft_status weigh(weft_fabric *f, weft_dev v, weft_dev w)
{
    const weft_kernels *k = f->device->ops->kernels;
    const int64_t one = 1;
    weft_dev counts, zero;
    WEFT_TRY(weft__scratch(f, 1, &counts));
    WEFT_TRY(weft__scratch(f, sizeof(double), &zero));
    WEFT_TRY(k->fill(f->stream, zero, 1, 0, WEFT_F64));
    WEFT_TRY(k->compare(f->stream, WEFT_NE, counts, w, &one, zero, &one, 1, &one, WEFT_F64));
    WEFT_TRY(k->binary(f->stream, WEFT_MUL, v, v, &one, w, &one, 1, &one, WEFT_F64));
    return k->where(f->stream, v, counts, &one, v, &one, zero, &one, 1, &one, WEFT_F64);
}

/* The mean of two means whose weights the device knows: at has value and weight. */
static weft_status blend(weft_fabric *f, weft_dev at, weft__row *r, int c, double before,
                         const weft__tensor *t, double rows)
{
    const weft_kernels *k = f->device->ops->kernels;
    const int64_t one = 1;
    weft_dev weight = weft__at(at, sizeof(double)), value, mine = t->weight;
    WEFT_TRY(weft__scratch(f, sizeof(double), &value));
    WEFT_TRY(k->copy(f->stream, value, WEFT_F64, &one, t->view.data, t->view.dtype, &one, 1, &one));
    if (!mine.addr) {
        WEFT_TRY(weft__scratch(f, sizeof(double), &mine));
        WEFT_TRY(k->fill(f->stream, mine, 1, rows, WEFT_F64));
    }
    if (!r->weighed[c])
        WEFT_TRY(k->fill(f->stream, weight, 1, before, WEFT_F64));
    r->weighed[c] = true;
    WEFT_TRY(weigh(f, at, weight));
    WEFT_TRY(weigh(f, value, mine));
    WEFT_TRY(k->axpy(f->stream, at, 1, value, 1, WEFT_F64));
    WEFT_TRY(k->axpy(f->stream, weight, 1, mine, 1, WEFT_F64));
    return k->binary(f->stream, WEFT_DIV, at, at, &one, weight, &one, 1, &one, WEFT_F64);
}

weft_status weft__metrics_keep(weft_fabric *f, int c, const weft__tensor *t, weft__row *r)
{
    weft__metrics *m = f->facade->metrics;
    const weft_kernels *k = f->device->ops->kernels;
    const int64_t one = 1, at = ((r - m->row) * WEFT__METRICS + c) * 2;
    weft_dev to = weft__at(m->ring, at * (int64_t)sizeof(double));
    const bool sum = t->reduction == WEFT__SUM;
    if (t->view.numel != 1)
        return weft__fail(WEFT_ESHAPE, "weft_log: %s has %lld elements, not one", m->name[c],
                          (long long)t->view.numel);
    double before = r->plain[c] || r->sum[c] != sum ? 0 : r->weight[c];
    double rows = !t->rows.batch || sum ? 1 : (double)t->rows.local, all = before + rows;
    r->sum[c] = sum;
    r->plain[c] = false;
    r->weight[c] = sum ? 1 : all;
    if (before > 0 && (r->weighed[c] || (t->weight.addr && !sum)))
        return blend(f, to, r, c, before, t, rows);
    if (before > 0 && rows > 0)
        return mix(f, to, sum ? 1 : before / all, sum ? 1 : rows / all, &t->view);
    if (before > 0)
        return WEFT_OK;
    r->weighed[c] = t->weight.addr && !sum;
    if (r->weighed[c])
        WEFT_TRY(k->copy(f->stream, weft__at(to, sizeof(double)), WEFT_F64, &one, t->weight,
                         WEFT_F64, &one, 1, &one));
    return k->copy(f->stream, to, WEFT_F64, &one, t->view.data, t->view.dtype, &one, 1, &one);
}
