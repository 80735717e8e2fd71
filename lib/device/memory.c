/* Who holds how much of a device: bytes by kind, now and at most. */
#include "core/alloc.h"
#include "core/error.h"
#include "device/device.h"

#include <stdatomic.h>
#include <stdio.h>

typedef struct account {
    atomic_llong now, peak;
} account;

struct weft__ledger {
    account kind[WEFT_MEMORY_KINDS], total;
};

static const char *const name[] = {"params", "grads", "moments", "compute",
                                   "arena",  "data",  "other"};
_Static_assert(sizeof name / sizeof name[0] == WEFT_MEMORY_KINDS, "a name for each kind");

const char *weft_memory_name(weft_memory_kind kind)
{
    return (unsigned)kind < WEFT_MEMORY_KINDS ? name[kind] : "?";
}

static void add(account *a, long long bytes)
{
    long long now = atomic_fetch_add(&a->now, bytes) + bytes, peak = atomic_load(&a->peak);
    while (now > peak && !atomic_compare_exchange_weak(&a->peak, &peak, now))
        continue;
}

void weft__device_count(weft_device *d, int64_t bytes, weft_memory_kind kind)
{
    add(&d->ledger->kind[kind], bytes);
    add(&d->ledger->total, bytes);
}

weft_memory_use weft__device_use(const weft_device *d, int kind)
{
    account *a = kind < 0 ? &d->ledger->total : &d->ledger->kind[kind];
    return (weft_memory_use){.now = atomic_load(&a->now), .peak = atomic_load(&a->peak)};
}

void weft__device_forget_peak(weft_device *d)
{
    for (int k = 0; k < WEFT_MEMORY_KINDS; k++)
        atomic_store(&d->ledger->kind[k].peak, atomic_load(&d->ledger->kind[k].now));
    atomic_store(&d->ledger->total.peak, atomic_load(&d->ledger->total.now));
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

static weft_status full(const weft_device *d, size_t bytes, weft_memory_kind kind)
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

weft_status weft__device_account(weft_device *d, weft_status s, size_t bytes, weft_memory_kind kind)
{
    if (s == WEFT_ENOMEM)
        return full(d, bytes, kind);
    WEFT_TRY(s);
    weft__device_count(d, (int64_t)bytes, kind);
    return WEFT_OK;
}

weft_status weft_device_alloc(weft_device *d, size_t bytes, weft_memory_kind kind, weft_dev *out)
{
    return weft__device_account(d, d->ops->alloc(d, bytes, out), bytes, kind);
}

void weft_device_free(weft_device *d, weft_dev p, size_t bytes, weft_memory_kind kind)
{
    d->ops->free(d, p, bytes);
    weft__device_count(d, -(int64_t)bytes, kind);
}

weft_status weft__ledger_open(weft_device *d)
{
    return (d->ledger = weft__new(1, sizeof *d->ledger)) ? WEFT_OK : WEFT_ENOMEM;
}
