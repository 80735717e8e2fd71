/* Bad numbers in integer inputs. Kernels leave 1 + the place of the first one, and that number, in a flag.
 * It is read at once where they are done when they return; else, so that nothing waits, when somebody
 * waits anyhow or at the step's edge, with what was known of the input. */
#include "core/alloc.h"
#include "device/device.h"
#include "tensor/tensor.h"

#include <stdio.h>

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

weft_status weft__late_read(weft_fabric *f)
{
    weft__engine *e = f->engine;
    int64_t bad[MOST][2];
    const size_t n = e->lates;
    e->lates = 0;
    if (!n || weft__stuck(f))
        return WEFT_OK;
    weft_status s = f->device->ops->download(f->stream, bad, e->flags, n * FLAG);
    for (size_t i = 0; i < n && s >= 0; i++)
        s = verdict(&e->late[i], bad[i]);
    return s < 0 ? weft__stick(f, s) : WEFT_OK;
}

void weft__late_close(weft_fabric *f)
{
    weft__engine *e = f->engine;
    if (e->flags.addr)
        weft_device_free(f->device, e->flags, MOST * FLAG, WEFT_MEMORY_OTHER);
    weft__free(e->late);
}
