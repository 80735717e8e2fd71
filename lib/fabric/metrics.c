/* Logged values: copied where they are on the device, fetched and combined over ranks once an
 * interval, then handed to the loggers of rank 0. */
#include "core/alloc.h"
#include "core/hash.h"
#include "data/loader.h"
#include "device/device.h"
#include "fabric/facade.h"
#include "logger/logger.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define NAMES 64  /* distinct metrics */
#define NAME 64   /* bytes of a name */
#define ROWS 1024 /* steps that wait at most */

/* The values of one step on this rank. */
typedef struct row {
    int64_t step, epoch;
    double wall;
    bool given[NAMES], sum[NAMES];
    double weight[NAMES];
    bool plain[NAMES]; /* value is here, else on the device */
    double value[NAMES];
} row;

struct weft__metrics {
    char name[NAMES][NAME];
    int names;
    int limit; /* rows before a flush */
    int rows;
    bool open; /* the last row is not complete */
    int edges; /* since the last flush: alike on all ranks, where rows may not be */
    row *row;
    weft_dev ring; /* limit x NAMES doubles */
    double *fetched, *sums;
    double timing_at[WEFT__PARTS];
    int64_t timing_step;
    bool complained;
};

static size_t ring_bytes(const weft__metrics *m)
{
    return (size_t)m->limit * NAMES * sizeof(double);
}

weft_status weft__metrics_open(weft_fabric *f)
{
    weft__metrics *m = weft__new(1, sizeof *m);
    int every = f->facade->settings.o.log_every;
    if (!m)
        return WEFT_ENOMEM;
    f->facade->metrics = m;
    m->limit = every < ROWS ? every : ROWS;
    m->row = weft__new((size_t)m->limit, sizeof *m->row);
    m->fetched = weft__new((size_t)m->limit * NAMES, sizeof(double));
    m->sums = weft__new((size_t)m->limit * NAMES * 2, sizeof(double));
    if (!m->row || !m->fetched || !m->sums)
        return WEFT_ENOMEM;
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
    for (int i = 0; i < m->names; i++)
        if (strncmp(m->name[i], name, NAME - 1) == 0) {
            *out = i;
            return WEFT_OK;
        }
    if (m->names == NAMES)
        return weft__fail(WEFT_EARG, "weft_log: more than %d metrics; \"%.60s\" is left out", NAMES,
                          name);
    snprintf(m->name[m->names], NAME, "%s", name);
    *out = m->names++;
    return WEFT_OK;
}

/* The epoch of the batch that was handed out last. */
static int64_t epoch_of(const weft_fabric *f)
{
    return f->facade->loader ? weft__loader_epoch(f->facade->loader) : 0;
}

static double wall_of(const weft_fabric *f)
{
    return f->facade->wall_before + weft__now() - f->facade->opened;
}

/* The row of what is logged between two edges, begun if need be. Where no edge comes to flush full
 * rows, the last one is reused. */
static row *current(weft_fabric *f)
{
    weft__metrics *m = f->facade->metrics;
    if (!m->open) {
        m->rows += m->rows < m->limit;
        memset(&m->row[m->rows - 1], 0, sizeof *m->row);
    }
    m->open = true;
    return &m->row[m->rows - 1];
}

/* The row's step is the number of steps taken when it is complete. */
static void complete(weft_fabric *f)
{
    weft__metrics *m = f->facade->metrics;
    if (!m->open)
        return;
    row *r = &m->row[m->rows - 1];
    r->step = f->step;
    r->epoch = epoch_of(f);
    r->wall = wall_of(f);
    m->open = false;
}

static weft_status complain(weft_fabric *f, weft_status s)
{
    weft__metrics *m = f->facade->metrics;
    if (!m->complained)
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
static weft_status keep(weft_fabric *f, int c, const weft__tensor *t, row *r)
{
    weft__metrics *m = f->facade->metrics;
    const int64_t one = 1;
    const bool sum = t->reduction == WEFT__SUM;
    size_t at = ((size_t)(r - m->row) * NAMES + (size_t)c) * sizeof(double);
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
    row *r = s ? NULL : current(f);
    if (s)
        return complain(f, s);
    r->weight[c] = r->given[c] ? r->weight[c] : 0;
    r->given[c] = true;
    if (!value) /* an error has stuck on this rank: it weighs nothing */
        return WEFT_OK;
    const weft__tensor *t = weft__tensor_at(value, NULL);
    s = t ? keep(f, c, t, r) : WEFT_EHANDLE;
    return s ? complain(f, s) : WEFT_OK;
}

weft_status weft_log_value(weft_fabric *f, const char *name, double value)
{
    int c;
    if (!weft__opened(f))
        return weft__stuck(f);
    weft_status s = column(f->facade->metrics, name, &c);
    if (s)
        return complain(f, s);
    row *r = current(f);
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

/* Ranks that logged different things cannot be combined: their rows are dropped, and it is said. */
static weft_status alike(weft_fabric *f, bool *same)
{
    const weft__metrics *m = f->facade->metrics;
    uint64_t hash = WEFT__HASH;
    for (int i = 0; i < m->names; i++)
        hash = weft__hash(hash, m->name[i], strlen(m->name[i]) + 1);
    int64_t names = (int64_t)(hash >> 1), v[4] = {m->rows, names, -m->rows, -names};
    WEFT_TRY(weft__all_reduce(f->comm, "shape of the metrics", v, 4, WEFT_I64, WEFT_REDUCE_MIN));
    *same = v[0] == -v[2] && v[1] == -v[3];
    return WEFT_OK;
}

static void gather(weft__metrics *m)
{
    for (int i = 0; i < m->rows; i++)
        for (int c = 0; c < m->names; c++) {
            const row *r = &m->row[i];
            double *s = &m->sums[2 * (i * m->names + c)];
            double v = r->plain[c] ? r->value[c] : m->fetched[i * NAMES + c];
            s[0] = r->weight[c] > 0 ? r->weight[c] * v : 0;
            s[1] = r->given[c] ? r->weight[c] : 0;
        }
}

static weft_record placed(const weft_fabric *f)
{
    const weft_loader *l = f->facade->loader;
    weft_record r = {.step = f->step, .epoch = epoch_of(f), .wall_s = wall_of(f)};
    if (l) {
        r.batches = weft_loader_position(l);
        r.epochs = weft_loader_epochs(l);
        r.batches_total = weft_loader_batches(l) * r.epochs;
        r.global_batch = weft__loader_global_batch(l);
    }
    return r;
}

static void hand_over(weft_fabric *f)
{
    weft__metrics *m = f->facade->metrics;
    const char *name[NAMES];
    double value[NAMES];
    for (int i = 0; i < m->rows; i++) {
        const row *w = &m->row[i];
        weft_record r = placed(f);
        r.step = w->step;
        r.epoch = w->epoch;
        r.wall_s = w->wall;
        r.name = name;
        r.value = value;
        for (int c = 0; c < m->names; c++) {
            const double *s = &m->sums[2 * (i * m->names + c)];
            if (!w->given[c])
                continue;
            name[r.n] = m->name[c];
            value[r.n++] = w->sum[c] ? s[0] : s[1] > 0 ? s[0] / s[1] : NAN;
        }
        for (weft__object *o = weft__object_first(f, WEFT__LOGGER); o; o = weft__object_after(o)) {
            weft_status s = weft__logger_record((weft_logger *)o, &r);
            if (s < 0)
                complain(f, s);
        }
    }
}

static weft_status combine(weft_fabric *f)
{
    weft__metrics *m = f->facade->metrics;
    bool same = true;
    WEFT_TRY(alike(f, &same));
    if (!same)
        return weft__fail(WEFT_ECONFIG,
                          "weft_log: ranks logged different metrics; call it on all "
                          "ranks alike. The values since step %lld are left out",
                          (long long)m->row[0].step);
    if (!m->rows)
        return WEFT_OK;
    /* A rank that cannot fetch its values takes part in the sum all the same. */
    weft_status s = f->device->ops->download(f->stream, m->fetched, m->ring,
                                             (size_t)m->rows * NAMES * sizeof(double));
    gather(m);
    WEFT_TRY(weft__all_reduce(f->comm, "metrics", m->sums, 2 * (int64_t)m->rows * m->names,
                              WEFT_F64, WEFT_REDUCE_SUM));
    if (f->rank == 0)
        hand_over(f);
    return s;
}

weft_status weft__metrics_flush(weft_fabric *f, bool force)
{
    weft__metrics *m = f->facade->metrics;
    if (!force && f->facade->held) /* the step's row is not complete */
        return WEFT_OK;
    complete(f);
    if (!force && ++m->edges < m->limit)
        return WEFT_OK;
    m->edges = 0;
    weft_status s = combine(f);
    m->rows = 0;
    return s < 0 ? complain(f, s) : WEFT_OK;
}

void weft__metrics_progress(weft_fabric *f)
{
    if (f->rank != 0)
        return;
    weft_record r = placed(f);
    for (weft__object *o = weft__object_first(f, WEFT__LOGGER); o; o = weft__object_after(o)) {
        weft_status s = weft__logger_progress((weft_logger *)o, &r);
        if (s < 0)
            complain(f, s);
    }
}

void weft__metrics_finish(weft_fabric *f)
{
    for (weft__object *o = weft__object_first(f, WEFT__LOGGER); o && f->rank == 0;
         o = weft__object_after(o))
        weft__logger_finish((weft_logger *)o);
}

void weft__metrics_resume(weft_fabric *f)
{
    f->facade->metrics->rows = 0;
    f->facade->metrics->open = false;
    f->facade->metrics->edges = 0;
    f->facade->metrics->timing_step = f->step;
    for (weft__object *o = weft__object_first(f, WEFT__LOGGER); o && f->rank == 0;
         o = weft__object_after(o)) {
        weft_status s = weft__logger_resume((weft_logger *)o, f->step);
        if (s < 0)
            complain(f, s);
    }
}
