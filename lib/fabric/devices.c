/* The devices that a program asks for, and the one that this rank takes. */
#include "device/device.h"
#include "fabric/facade.h"

weft_status weft__devices_wanted(weft_fabric *f, int *devices)
{
    const weft_open_options *o = &f->facade->settings.o;
    weft__devices *d = &f->facade->devices;
    const weft_device_ops *device;
    int n;
    WEFT_TRY(weft__device_find(o->accelerator, &device));
    *devices = 0;
    if (!device->count)
        return o->devices ? weft__devices_of_host(device->name, o->devices, devices) : WEFT_OK;
    WEFT_TRY(device->count(&n));
    WEFT_TRY(weft__devices_of_node(device->name, o->devices, n, d));
    *devices = d->kind == WEFT__DEVICES_AUTO ? 0 : d->n;
    return WEFT_OK;
}

/* Where devices have no numbers, all ranks compute on the same one. */
weft_status weft__devices_open(weft_fabric *f)
{
    const weft_open_options *o = &f->facade->settings.o;
    const weft__devices *d = &f->facade->devices;
    int index = f->local_rank;
    if (d->n)
        WEFT_TRY(weft__devices_index(o->accelerator, d, f->local_rank, f->local_size,
                                     o->share_devices, &index));
    WEFT_TRY(weft__device_open(&f->device, o->accelerator, index, f->threads));
    return f->device->ops->stream_new(f->device, &f->stream);
}
