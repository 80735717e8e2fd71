/* Who holds how much of a device: bytes by kind, now and at most. */
#include "core/alloc.h"
#include "core/error.h"
#include "device/device.h"

#include <stdatomic.h>

typedef struct account {
    atomic_llong now, peak;
} account;

struct weft__ledger {
    account kind[WEFT_MEMORY_KINDS], total;
};

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

weft_status weft__device_account(weft_device *d, weft_status s, size_t bytes, weft_memory_kind kind)
{
    if (s == WEFT_ENOMEM)
        return weft__device_full(d, bytes, kind);
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
