/* Small calls: printing, seeding, moving, logging several values. */
#include "core/alloc.h"
#include "device/device.h"
#include "fabric/facade.h"

#include <stdarg.h>
#include <stdio.h>
#include <weft/logger.h>

void weft_print(weft_fabric *f, const char *format, ...)
{
    va_list args;
    if (!f || f->rank != 0 || !format)
        return;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

weft_status weft_seed_everything(weft_fabric *f, uint64_t seed)
{
    char text[32];
    if (!weft__opened(f))
        return weft__stuck(f);
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    WEFT_TRY(weft__meet(f, WEFT_OK, "the seed given to weft_seed_everything", text));
    f->seed = seed;
    return WEFT_OK;
}

/* By way of the host, which every device reaches. */
static weft_status carry(weft_fabric *f, weft_fabric *from, const weft_view *v, weft_view *out)
{
    weft_view packed;
    size_t bytes = weft__view_bytes(v);
    void *host = weft__new(bytes ? bytes : 1, 1);
    weft_status s = host ? weft__view_packed(from, v, &packed) : WEFT_ENOMEM;
    *out = *v;
    if (!s)
        s = weft__scratch_view(f, out);
    if (!s)
        s = from->device->ops->download(from->stream, host, packed.data, bytes);
    if (!s)
        s = f->device->ops->upload(f->stream, out->data, host, bytes);
    weft__free(host);
    return s;
}

weft_tensor *weft_to_device(weft_fabric *f, weft_tensor *x)
{
    weft_fabric *from = NULL;
    weft_view out;
    const weft__tensor *t = weft__tensor_for("weft_to_device", x, &from);
    if (!t || from == f || !weft__opened(f))
        return t && from == f ? x : NULL;
    weft_status s = t->view.data.addr || !t->view.numel
                        ? carry(f, from, &t->view, &out)
                        : weft__fail(WEFT_ESTATE, "weft_to_device: the parameter has no memory "
                                                  "before weft_setup");
    if (!s)
        return weft__tensor_new(f, &out, true, NULL);
    weft__stick(f, s);
    return NULL;
}

weft_batch weft_batch_to_device(weft_fabric *f, weft_batch b)
{
    weft_tensor *x = weft_to_device(f, b.x), *y = weft_to_device(f, b.y);
    if (x == b.x && y == b.y)
        return b;
    weft_batch moved = weft_batch_of(f, x, y, b.base, b.global_rows);
    weft__tensor *first = weft__tensor_at(moved.x, NULL);
    moved.epoch = b.epoch;
    moved.index = b.index;
    moved.sample = b.sample;
    for (int k = 2; k < b.fields && first; k++) {
        moved.field[k] = weft_to_device(f, b.field[k]);
        weft__set_rows(moved.field[k], &first->rows);
    }
    moved.fields = b.fields;
    moved.name = b.name;
    return moved;
}

weft_status weft_log_dict_n(weft_fabric *f, size_t n, const weft_named *metrics)
{
    weft_status first =
        n && !metrics ? weft__fail(WEFT_EARG, "weft_log_dict: no metrics") : WEFT_OK;
    if (first)
        return weft__opened(f) ? weft__note(f, first) : first;
    for (size_t i = 0; i < n; i++) {
        weft_status s = weft_log(f, metrics[i].name, metrics[i].value);
        first = first ? first : s;
    }
    return first;
}
