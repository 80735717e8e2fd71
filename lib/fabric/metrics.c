/* Logging values: they are copied where they are, on the device. */
#include "core/alloc.h"
#include "device/device.h"
#include "fabric/metrics.h"
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>
#include <weft/logger.h>

#define ROWS 1024 /* steps that wait at most */

static size_t ring_bytes(const weft__metrics *m)
{
    return (size_t)(m->limit * m->parts) * WEFT__NAMES * sizeof(double);
}

weft_status weft__metrics_open(weft_fabric *f)
{
    weft__metrics *m = weft__new(1, sizeof *m);
    int every = f->facade->settings.o.log_every;
    if (!m)
        return WEFT_ENOMEM;
    f->facade->metrics = m;
    m->limit = every < ROWS ? every : ROWS;
    m->parts = f->leaves ? f->own_leaves : 1;
    m->row = weft__new((size_t)(m->limit * m->parts), sizeof *m->row);
    m->fetched = weft__new(ring_bytes(m), 1);
    m->sums = weft__new((size_t)m->limit * WEFT__NAMES * 2, sizeof(double));
    if (!m->row || !m->fetched || !m->sums)
        return WEFT_ENOMEM;
    if (f->leaves)
        WEFT_TRY(weft__tree_reserve(f->comm, 2 * (int64_t)m->limit * WEFT__NAMES));
    return weft_device_alloc(f->device, ring_bytes(m), WEFT_MEMORY_OTHER, &m->ring);
}

void weft__metrics_close(weft_fabric *f)
{
    weft__metrics *m = f->facade->metrics;
    if (!m)
        return;
    if (m->ring.addr)
        weft_device_free(f->device, m->ring, ring_bytes(m), WEFT_MEMORY_OTHER);
    weft__free(m->row);
    weft__free(m->fetched);
    weft__free(m->sums);
    weft__free(m);
    f->facade->metrics = NULL;
}

static weft_status column(weft__metrics *m, const char *name, int *out)
{
    if (!name || !*name || strlen(name) >= WEFT__NAME)
        return weft__fail(WEFT_EARG, "weft_log: the name %s%.70s%s; it has 1 to %d bytes",
                          name ? "\"" : "is ", name ? name : "NULL", name ? "\"" : "",
                          WEFT__NAME - 1);
    for (int i = 0; i < m->names; i++)
        if (strcmp(m->name[i], name) == 0) {
            *out = i;
            return WEFT_OK;
        }
    if (m->names == WEFT__NAMES)
        return weft__fail(WEFT_EARG, "weft_log: more than %d metrics; \"%.60s\" is left out",
                          WEFT__NAMES, name);
    snprintf(m->name[m->names], WEFT__NAME, "%s", name);
    *out = m->names++;
    return WEFT_OK;
}

/* The row of what is logged between two edges, begun if need be. Where no edge comes to flush full
 * rows, the last one is reused. */
static weft__logged *current(weft_fabric *f)
{
    weft__metrics *m = f->facade->metrics;
    if (!m->open) {
        m->rows += m->rows < m->limit;
        memset(weft__logged_at(m, m->rows - 1), 0, (size_t)m->parts * sizeof *m->row);
    }
    m->open = true;
    return weft__logged_at(m, m->rows - 1) + (f->leaves ? f->facade->micro.taken : 0);
}

weft_status weft__metrics_complain(weft_fabric *f, weft_status s)
{
    weft__metrics *m = f->facade->metrics;
    if (m->complained)
        snprintf(f->noted, sizeof f->noted, "%s", weft__why());
    else
        weft__note(f, s);
    m->complained = true;
    return s;
}

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

/* What is logged again before the step is over joins: sums add up, means weigh. */
static weft_status keep(weft_fabric *f, int c, const weft__tensor *t, weft__logged *r)
{
    weft__metrics *m = f->facade->metrics;
    const int64_t one = 1;
    const bool sum = t->reduction == WEFT__SUM;
    size_t at = ((size_t)(r - m->row) * WEFT__NAMES + (size_t)c) * sizeof(double);
    if (t->view.numel != 1)
        return weft__fail(WEFT_ESHAPE, "weft_log: %s has %lld elements, not one", m->name[c],
                          (long long)t->view.numel);
    double before = r->plain[c] || r->sum[c] != sum ? 0 : r->weight[c], weight = 1;
    if (!sum && (t->rows.batch || t->weight.addr))
        WEFT_TRY(weft__weight_of(f, t, &weight));
    const double all = before + weight;
    r->sum[c] = sum;
    r->plain[c] = false;
    r->weight[c] = sum ? 1 : all;
    if (before > 0 && weight > 0)
        return mix(f, weft__at(m->ring, (int64_t)at), sum ? 1 : before / all,
                   sum ? 1 : weight / all, &t->view);
    if (before > 0)
        return WEFT_OK;
    return f->device->ops->kernels->copy(f->stream, weft__at(m->ring, (int64_t)at), WEFT_F64, &one,
                                         t->view.data, t->view.dtype, &one, 1, &one);
}

weft_status weft_log(weft_fabric *f, const char *name, weft_tensor *value)
{
    weft__metrics *m;
    int c;
    if (!weft__opened(f))
        return weft__stuck(f);
    m = f->facade->metrics;
    weft_status s = column(m, name, &c);
    weft__logged *r = s ? NULL : current(f);
    if (s)
        return weft__metrics_complain(f, s);
    r->weight[c] = r->given[c] ? r->weight[c] : 0;
    r->given[c] = true;
    if (!value) /* an error has stuck on this rank: it weighs nothing */
        return WEFT_OK;
    weft_fabric *home = f;
    const weft__tensor *t = weft__tensor_at(value, &home);
    if (t && home != f)
        s = weft__fail(WEFT_EHANDLE, "weft_log: %s belongs to another fabric", name);
    else
        s = t ? keep(f, c, t, r) : WEFT_EHANDLE;
    return s ? weft__metrics_complain(f, s) : WEFT_OK;
}

weft_status weft_log_value(weft_fabric *f, const char *name, double value)
{
    int c;
    if (!weft__opened(f))
        return weft__stuck(f);
    weft_status s = column(f->facade->metrics, name, &c);
    if (s)
        return weft__metrics_complain(f, s);
    current(f);
    weft__logged *r = weft__logged_at(f->facade->metrics, f->facade->metrics->rows - 1);
    r->given[c] = true;
    r->sum[c] = false;
    r->weight[c] = f->rank == 0 ? 1 : 0;
    r->plain[c] = true;
    r->value[c] = value;
    return WEFT_OK;
}

weft_status weft_log_timing(weft_fabric *f)
{
    static const struct {
        weft__part part;
        const char *name;
    } part[] = {{WEFT__DATA, "time/data"},
                {WEFT__FORWARD, "time/forward"},
                {WEFT__BACKWARD, "time/backward"},
                {WEFT__COMMUNICATION, "time/communication"},
                {WEFT__OPTIMIZER, "time/optimizer"}};
    if (!weft__opened(f))
        return weft__stuck(f);
    weft__metrics *m = f->facade->metrics;
    int64_t steps = f->step - m->timing_step;
    weft__enter(f, f->part); /* brings the clock up to now */
    for (int i = 0; i < 5 && steps > 0; i++) {
        double spent = f->spent[part[i].part] - m->timing_at[part[i].part];
        WEFT_TRY(weft_log_value(f, part[i].name, spent / (double)steps));
    }
    memcpy(m->timing_at, f->spent, sizeof m->timing_at);
    m->timing_step = f->step;
    return WEFT_OK;
}
