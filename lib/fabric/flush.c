/* Logged values, fetched and combined over ranks once an interval, then handed to the loggers of
 * rank 0. */
#include "core/hash.h"
#include "data/loader.h"
#include "device/device.h"
#include "fabric/metrics.h"
#include "logger/logger.h"

#include <math.h>
#include <string.h>

/* The epoch of the batch that was handed out last. */
static int64_t epoch_of(const weft_fabric *f)
{
    return f->facade->loader ? weft__loader_epoch(f->facade->loader) : 0;
}

static double wall_of(const weft_fabric *f)
{
    return f->facade->wall_before + weft__now() - f->facade->opened;
}

/* The row's step is the number of steps taken when it is complete. */
static void complete(weft_fabric *f)
{
    weft__metrics *m = f->facade->metrics;
    if (!m->open)
        return;
    weft__logged *r = weft__logged_at(m, m->rows - 1);
    r->step = f->step;
    r->epoch = epoch_of(f);
    r->wall = wall_of(f);
    m->open = false;
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

/* Name c's weighted value and its weight, of n parts that follow each other. */
static void fold(const weft__metrics *m, const weft__logged *r, int c, int n, double s[2])
{
    double upper[2];
    if (n > 1) {
        fold(m, r, c, n / 2, s);
        fold(m, r + n / 2, c, n / 2, upper);
        s[0] += upper[0];
        s[1] += upper[1];
        return;
    }
    double v = r->plain[c] ? r->value[c] : m->fetched[(r - m->row) * WEFT__NAMES + c];
    s[0] = r->weight[c] > 0 ? r->weight[c] * v : 0;
    s[1] = r->given[c] ? r->weight[c] : 0;
}

static void gather(weft__metrics *m)
{
    for (int i = 0; i < m->rows; i++)
        for (int c = 0; c < m->names; c++)
            fold(m, weft__logged_at(m, i), c, m->parts, &m->sums[2 * (i * m->names + c)]);
}

/* Whether, and how, the step's parts have given name c. */
static bool is_given(const weft__metrics *m, const weft__logged *r, int c, bool *sum)
{
    bool given = false;
    for (int i = 0; i < m->parts; i++) {
        given |= r[i].given[c];
        *sum |= r[i].given[c] && r[i].sum[c];
    }
    return given;
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
    const char *name[WEFT__NAMES];
    double value[WEFT__NAMES];
    for (int i = 0; i < m->rows; i++) {
        const weft__logged *w = weft__logged_at(m, i);
        weft_record r = placed(f);
        r.step = w->step;
        r.epoch = w->epoch;
        r.wall_s = w->wall;
        r.name = name;
        r.value = value;
        for (int c = 0; c < m->names; c++) {
            const double *s = &m->sums[2 * (i * m->names + c)];
            bool sum = false;
            if (!is_given(m, w, c, &sum))
                continue;
            name[r.n] = m->name[c];
            value[r.n++] = sum ? s[0] : s[1] > 0 ? s[0] / s[1] : NAN;
        }
        for (weft__object *o = weft__object_first(f, WEFT__LOGGER); o; o = weft__object_after(o)) {
            weft_status s = weft__logger_record((weft_logger *)o, &r);
            if (s < 0)
                weft__metrics_complain(f, s);
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
                          (long long)weft__logged_at(m, 0)->step);
    if (!m->rows)
        return WEFT_OK;
    /* A rank that cannot fetch its values takes part in the sum all the same. */
    weft_status s =
        f->device->ops->download(f->stream, m->fetched, m->ring,
                                 (size_t)(m->rows * m->parts) * WEFT__NAMES * sizeof(double));
    gather(m);
    const int64_t n = 2 * (int64_t)m->rows * m->names;
    WEFT_TRY(f->leaves
                 ? weft__all_reduce_tree(f->comm, "metrics", m->sums, n, WEFT_F64)
                 : weft__all_reduce(f->comm, "metrics", m->sums, n, WEFT_F64, WEFT_REDUCE_SUM));
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
    return s < 0 ? weft__metrics_complain(f, s) : WEFT_OK;
}

void weft__metrics_progress(weft_fabric *f)
{
    if (f->rank != 0)
        return;
    weft_record r = placed(f);
    for (weft__object *o = weft__object_first(f, WEFT__LOGGER); o; o = weft__object_after(o)) {
        weft_status s = weft__logger_progress((weft_logger *)o, &r);
        if (s < 0)
            weft__metrics_complain(f, s);
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
            weft__metrics_complain(f, s);
    }
}
