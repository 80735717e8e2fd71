/* What memory a rank holds. */
#include "core/log.h"
#include "data/loader.h"
#include "device/device.h"
#include "fabric/facade.h"

weft_memory_report weft_memory(const weft_fabric *f)
{
    weft_memory_report r = {0};
    if (!f || !f->device)
        return r;
    for (int k = 0; k < WEFT_MEMORY_KINDS; k++)
        r.kind[k] = weft__device_use(f->device, k);
    r.device = weft__device_use(f->device, -1);
    for (weft__object *l = weft__object_first(f, WEFT__LOADER); l; l = weft__object_after(l))
        r.loaders += weft__loader_bytes((const weft_loader *)l);
    r.checkpoints = weft__checkpoint_bytes(&f->facade->checkpoint);
    return r;
}

void weft_memory_reset_peak(weft_fabric *f)
{
    if (f && f->device)
        weft__device_forget_peak(f->device);
}

void weft__memory_say(const weft_fabric *f)
{
    char text[240];
    if (f->device)
        weft__say(WEFT_LOG_DEBUG, "rank %d: memory of device %s %d was at most %s", f->rank,
                  f->device->ops->name, f->device->index,
                  weft__device_text(f->device, true, text, sizeof text));
}
