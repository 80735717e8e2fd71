/* What is said of a device's memory. */
#include "core/error.h"
#include "device/device.h"

#include <stdio.h>

static const char *const name[] = {"params", "grads", "moments", "compute",
                                   "arena",  "data",  "other",   "buffers"};
_Static_assert(sizeof name / sizeof name[0] == WEFT_MEMORY_KINDS, "a name for each kind");

const char *weft_memory_name(weft_memory_kind kind)
{
    return (unsigned)kind < WEFT_MEMORY_KINDS ? name[kind] : "?";
}

const char *weft__size_text(double bytes, char text[WEFT__SIZE_TEXT])
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    int u = 0;
    for (; bytes >= 1024 && u < 4; u++)
        bytes /= 1024;
    snprintf(text, WEFT__SIZE_TEXT, u ? "%.1f %s" : "%.0f %s", bytes, unit[u]);
    return text;
}

static int64_t bytes_of(const weft_device *d, int kind, bool peak)
{
    const weft_memory_use use = weft__device_use(d, kind);
    return peak ? use.peak : use.now;
}

const char *weft__device_text(const weft_device *d, bool peak, char *text, size_t size)
{
    char one[WEFT__SIZE_TEXT];
    const char *before = " (";
    int at = snprintf(text, size, "%s", weft__size_text((double)bytes_of(d, -1, peak), one));
    for (int k = 0; k < WEFT_MEMORY_KINDS; k++) {
        const int64_t bytes = bytes_of(d, k, peak);
        if (!bytes)
            continue;
        at += snprintf(text + at, size - (size_t)at, "%s%s %s", before, name[k],
                       weft__size_text((double)bytes, one));
        before = ", ";
    }
    if (*before == ',')
        snprintf(text + at, size - (size_t)at, ")");
    return text;
}

weft_status weft__device_full(const weft_device *d, size_t bytes, weft_memory_kind kind)
{
    char want[WEFT__SIZE_TEXT], held[240], why[WEFT__TEXT];
    snprintf(why, sizeof why, "%s", weft__why());
    return weft__fail(WEFT_ENOMEM,
                      "%s%sno memory for %s of %s on device %s %d, which holds %s; take a smaller "
                      "model or batch, or a strategy that shards: %.120s",
                      d->who ? d->who : "", d->who ? ": " : "",
                      weft__size_text((double)bytes, want), name[kind], d->ops->name, d->index,
                      weft__device_text(d, false, held, sizeof held), why);
}
