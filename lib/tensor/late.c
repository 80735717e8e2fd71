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
#define ALL ((MOST + 1) * FLAG) /* with the gate, which comes first */

static weft_dev flag_at(const weft__engine *e, size_t i)
{
    return weft__at(e->flags, (int64_t)((i + 1) * FLAG));
}

static weft_status open_flags(weft_fabric *f)
{
    weft__engine *e = f->engine;
    if (e->flags.addr)
        return WEFT_OK;
    WEFT_TRY(weft_device_alloc(f->device, ALL, WEFT_MEMORY_OTHER, &e->flags));
    return f->device->ops->zero(f->stream, e->flags, FLAG);
}

weft_status weft__late_gate(weft_fabric *f, weft_dev *gate)
{
    weft__engine *e = f->engine;
    WEFT_TRY(open_flags(f));
    e->gate_asked = e->gate_heeded = true;
    e->gate_step = f->step;
    *gate = e->flags;
    return WEFT_OK;
}

weft_dev weft__late_gate_at(const weft_fabric *f)
{
    const weft_dev none = {0};
    return f->engine->gate_heeded ? f->engine->flags : none;
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
    WEFT_TRY(open_flags(f));
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

/* What flags say, behind the gate's. A bad number explains gradients that are not finite. */
static weft_status all_verdicts(weft_fabric *f, const weft__late *late, size_t n, bool gated,
                                bool sent, const int64_t (*bad)[2], int64_t step)
{
    weft_status s = gated ? f->engine->gate(f, bad[0], step, sent) : WEFT_OK;
    for (size_t i = 0; i < n; i++) {
        const weft_status v = verdict(&late[i], bad[i + 1]);
        if (v < 0)
            return v;
    }
    return s;
}

/* Of those that were sent. */
static weft_status settle(weft_fabric *f)
{
    weft__due *d = &f->engine->due;
    if (!d->sent)
        return WEFT_OK;
    d->sent = false;
    WEFT_TRY(f->device->ops->event_sync(d->event));
    return all_verdicts(f, d->late, d->n, d->gated, true, (const int64_t(*)[2])d->bad, d->step);
}

static weft_status read_now(weft_fabric *f)
{
    weft__engine *e = f->engine;
    int64_t bad[MOST + 1][2];
    const size_t n = e->lates;
    const bool gated = e->gate_asked;
    e->lates = 0;
    e->gate_asked = false;
    if (!n && !gated)
        return WEFT_OK;
    WEFT_TRY(f->device->ops->download(f->stream, bad, e->flags, (n + 1) * FLAG));
    return all_verdicts(f, e->late, n, gated, false, (const int64_t(*)[2])bad, e->gate_step);
}

void weft__late_drop(weft_fabric *f)
{
    weft__engine *e = f->engine;
    if (e->due.sent)
        f->device->ops->event_sync(e->due.event);
    if (e->flags.addr)
        f->device->ops->zero(f->stream, e->flags, FLAG);
    e->lates = 0;
    e->due.sent = e->gate_asked = e->gate_heeded = false;
}

weft_status weft__late_read(weft_fabric *f)
{
    if (weft__stuck(f)) { /* what came of it is worth nothing */
        f->engine->lates = 0;
        f->engine->gate_asked = false;
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
    if (!d->bad && !(d->bad = weft__new(MOST + 1, sizeof *d->bad)))
        return WEFT_ENOMEM;
    return d->at.addr ? WEFT_OK : weft__device_import(f->device, d->bad, ALL, &d->at);
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
    if (e->lates) /* else there is a gate alone */
        memcpy(d->late, e->late, e->lates * sizeof *d->late);
    d->n = e->lates;
    WEFT_TRY(keep_samples(d));
    WEFT_TRY(f->device->ops->move(f->stream, d->at, e->flags, (d->n + 1) * FLAG));
    WEFT_TRY(f->device->ops->event_record(d->event, f->stream));
    d->sent = true;
    d->gated = e->gate_asked;
    d->step = e->gate_step;
    e->lates = 0;
    e->gate_asked = false;
    return WEFT_OK;
}

weft_status weft__late_edge(weft_fabric *f)
{
    if (weft__stuck(f) || !f->device->ops->import)
        return weft__late_read(f);
    weft_status s = settle(f);
    if (s >= 0 && (f->engine->lates || f->engine->gate_asked)) {
        if (open_due(f) < 0) /* a device that does not reach the host's memory */
            return weft__late_read(f);
        s = send(f);
    }
    return s < 0 ? weft__stick(f, s) : WEFT_OK;
}

void weft__late_close(weft_fabric *f)
{
    weft__engine *e = f->engine;
    weft__due *d = &e->due;
    if (d->sent)
        f->device->ops->event_sync(d->event);
    if (d->at.addr)
        weft__device_unimport(f->device, d->at, ALL);
    if (d->event)
        f->device->ops->event_free(d->event);
    weft__free(d->bad);
    weft__free(d->late);
    weft__free(d->sample);
    if (e->flags.addr)
        weft_device_free(f->device, e->flags, ALL, WEFT_MEMORY_OTHER);
    weft__free(e->late);
}
