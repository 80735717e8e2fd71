/* Bad numbers in integer inputs. Kernels leave 1 + the place of the first one, and that number, in a flag.
 * It is read at once where they are done when they return. A device that queues is not waited for: at the
 * step's edge flags are sent to memory of the host, with an event behind them, and read at the next edge,
 * when the device has had the step after. Who waits anyhow reads all. */
#include "core/alloc.h"
#include "device/device.h"
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

#define FLAG (2 * sizeof(int64_t))
#define MOST 64

static weft_dev flag_at(const weft__engine *e, size_t i)
{
    return weft__at(e->flags, (int64_t)(i * FLAG));
}

weft_status weft__late_flag(weft_fabric *f, weft_dev *flag)
{
    weft__engine *e = f->engine;
    if (f->device->ops->immediate) {
        WEFT_TRY(weft__scratch(f, FLAG, flag));
        return f->device->ops->zero(f->stream, *flag, FLAG);
    }
    if (e->lates == MOST)
        WEFT_TRY(weft__late_read(f));
    if (!e->flags.addr)
        WEFT_TRY(weft_device_alloc(f->device, MOST * FLAG, WEFT_MEMORY_OTHER, &e->flags));
    WEFT_TRY(weft__grow(&e->late, &e->late_room, MOST, sizeof *e->late));
    *flag = flag_at(e, e->lates);
    return f->device->ops->zero(f->stream, *flag, FLAG);
}

static weft_status verdict(const weft__late *l, const int64_t bad[2])
{
    char sample[48] = "";
    if (bad[0] == 0)
        return WEFT_OK;
    const int64_t row = l->width ? (bad[0] - 1) / l->width : 0;
    if (!l->width)
        return weft__fail(WEFT_EDATA, "%s: element %lld of the %s is %lld, outside 0..%lld", l->op,
                          (long long)bad[0] - 1, l->what, (long long)bad[1],
                          (long long)l->limit - 1);
    if (l->sample)
        snprintf(sample, sizeof sample, "sample %lld of the data set, ", (long long)l->sample[row]);
    return weft__fail(WEFT_EDATA,
                      "%s: %s %lld at %srow %lld of this rank's batch, at step %lld, is outside "
                      "0..%lld; mend the data",
                      l->op, l->what, (long long)bad[1], sample, (long long)row, (long long)l->step,
                      (long long)l->limit - 1);
}

weft_status weft__late_verdict(weft_fabric *f, weft_dev flag, const weft__late *l)
{
    int64_t bad[2];
    WEFT_TRY(f->device->ops->download(f->stream, bad, flag, sizeof bad));
    return verdict(l, bad);
}

weft_status weft__late_judge(weft_fabric *f, weft_dev flag, const weft__late *l)
{
    weft__engine *e = f->engine;
    if (f->device->ops->immediate)
        return weft__late_verdict(f, flag, l);
    e->late[e->lates++] = *l; /* weft__late_flag left room */
    return WEFT_OK;
}

/* Of those that were sent. */
static weft_status settle(weft_fabric *f)
{
    weft__due *d = &f->engine->due;
    const size_t n = d->n;
    if (!n)
        return WEFT_OK;
    d->n = 0;
    weft_status s = f->device->ops->event_sync(d->event);
    for (size_t i = 0; i < n && s >= 0; i++)
        s = verdict(&d->late[i], d->bad[i]);
    return s;
}

static weft_status read_now(weft_fabric *f)
{
    weft__engine *e = f->engine;
    int64_t bad[MOST][2];
    const size_t n = e->lates;
    e->lates = 0;
    weft_status s = n ? f->device->ops->download(f->stream, bad, e->flags, n * FLAG) : WEFT_OK;
    for (size_t i = 0; i < n && s >= 0; i++)
        s = verdict(&e->late[i], bad[i]);
    return s;
}

void weft__late_drop(weft_fabric *f)
{
    f->engine->lates = 0;
    settle(f);
}

weft_status weft__late_read(weft_fabric *f)
{
    if (weft__stuck(f)) {
        weft__late_drop(f);
        return WEFT_OK;
    }
    weft_status s = settle(f);
    s = s < 0 ? s : read_now(f);
    return s < 0 ? weft__stick(f, s) : WEFT_OK;
}

/* Memory of the host that kernels reach. */
static weft_status open_due(weft_fabric *f)
{
    weft__due *d = &f->engine->due;
    WEFT_TRY(weft__grow(&d->late, &d->room, MOST, sizeof *d->late));
    if (!d->event)
        WEFT_TRY(f->device->ops->event_new(f->device, &d->event));
    if (!d->bad && !(d->bad = weft__new(MOST, sizeof *d->bad)))
        return WEFT_ENOMEM;
    return d->at.addr ? WEFT_OK : weft__device_import(f->device, d->bad, MOST * FLAG, &d->at);
}

/* Batches go, indices of samples stay. */
static weft_status keep_samples(weft__due *d)
{
    size_t all = 0;
    for (size_t i = 0; i < d->n; i++)
        all += d->late[i].sample ? (size_t)d->late[i].rows : 0;
    WEFT_TRY(weft__grow(&d->sample, &d->samples, all, sizeof *d->sample));
    int64_t *to = d->sample;
    for (size_t i = 0; i < d->n; i++) {
        const size_t rows = d->late[i].sample ? (size_t)d->late[i].rows : 0;
        if (!rows)
            continue;
        memcpy(to, d->late[i].sample, rows * sizeof *to);
        d->late[i].sample = to;
        to += rows;
    }
    return WEFT_OK;
}

static weft_status send(weft_fabric *f)
{
    weft__engine *e = f->engine;
    weft__due *d = &e->due;
    WEFT_TRY(open_due(f));
    memcpy(d->late, e->late, e->lates * sizeof *d->late);
    d->n = e->lates;
    weft_status s = keep_samples(d);
    s = s < 0 ? s : f->device->ops->move(f->stream, d->at, e->flags, d->n * FLAG);
    s = s < 0 ? s : f->device->ops->event_record(d->event, f->stream);
    if (s < 0)
        d->n = 0;
    else
        e->lates = 0;
    return s;
}

weft_status weft__late_edge(weft_fabric *f)
{
    if (weft__stuck(f) || !f->device->ops->import)
        return weft__late_read(f);
    weft_status s = settle(f);
    if (s >= 0 && f->engine->lates)
        s = send(f);
    return s < 0 ? weft__stick(f, s) : WEFT_OK;
}

void weft__late_close(weft_fabric *f)
{
    weft__engine *e = f->engine;
    weft__due *d = &e->due;
    if (d->n)
        f->device->ops->event_sync(d->event);
    if (d->at.addr)
        weft__device_unimport(f->device, d->at, MOST * FLAG);
    if (d->event)
        f->device->ops->event_free(d->event);
    weft__free(d->bad);
    weft__free(d->late);
    weft__free(d->sample);
    if (e->flags.addr)
        weft_device_free(f->device, e->flags, MOST * FLAG, WEFT_MEMORY_OTHER);
    weft__free(e->late);
}
