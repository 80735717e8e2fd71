/* Pinned batches. What a batch is copied from stays until its copies are over, which the host looks at when
 * the next batch is asked for: the device is then behind by a step at most, and the host did not move
 * a byte. Pages are pinned once, as the program's own are (weft_wrap). */
#include "data/pinned.h"

#include "core/error.h"
#include "device/device.h"

void weft__pinned_open(weft__pinned *p, weft_device *d, void *memory, size_t bytes)
{
    *p = (weft__pinned){.memory = memory, .bytes = bytes};
    if (!d || d->ops->immediate || !d->ops->import || !bytes)
        return;
    if (d->ops->event_new(d, &p->copied))
        return;
    if (d->ops->import(d, memory, bytes, &p->at))
        d->ops->event_free(p->copied);
    else
        p->device = d;
}

void weft__pinned_close(weft__pinned *p)
{
    if (p->device) {
        weft__pinned_wait(p);
        weft__device_unimport(p->device, p->at, p->bytes);
        p->device->ops->event_free(p->copied);
    }
    *p = (weft__pinned){.device = NULL};
}

weft_dev weft__pinned_at(const weft__pinned *p, const void *from)
{
    const weft_dev none = {0};
    return p->device ? weft__at(p->at, (const char *)from - p->memory) : none;
}

weft_status weft__pinned_read(weft__pinned *p, weft_stream *s)
{
    if (!p->device)
        return WEFT_OK;
    p->busy = true;
    return p->device->ops->event_record(p->copied, s);
}

weft_status weft__pinned_wait(weft__pinned *p)
{
    const bool busy = p->busy;
    p->busy = false;
    return busy ? p->device->ops->event_sync(p->copied) : WEFT_OK;
}
