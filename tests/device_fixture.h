/* The device that tests run on, the one that WEFT_ACCELERATOR names, and its kernels as functions of
 * host addresses: each call imports what it is given, waits, and returns what went wrong then too. How long
 * an array is nobody says here: what a GPU gets is all up to the end of what is mapped there. Memory that
 * may only be read it may refuse; then it gets a copy. */
#ifndef TESTS_DEVICE_FIXTURE_H
#define TESTS_DEVICE_FIXTURE_H
#include "core/error.h"
#include "device/device.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline const char *device_name(void)
{
    const char *name = getenv("WEFT_ACCELERATOR");
    return name ? name : "cpu";
}

static inline int device_is(const char *name)
{
    return strcmp(device_name(), name) == 0;
}

#define DEVICE_ADDRESSES 16
#define DEVICE_BYTES ((size_t)1 << 26) /* more than any array of a test: only addresses */

typedef struct device_import {
    weft_dev p;
    size_t bytes;
    int copy;
} device_import;

typedef struct device_imports {
    device_import at[DEVICE_ADDRESSES];
    int n;
    weft_xent_terms xent;
    weft_loss_terms loss;
} device_imports;

/* Bytes from an address to the end of what is mapped there alike. */
static inline size_t device_extent(uintptr_t at)
{
    char line[512], kind[8], first[8] = "";
    uintptr_t from, to, end = at;
    FILE *in = fopen("/proc/self/maps", "re");
    while (in && fgets(line, sizeof line, in)) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, kind) != 3 || to <= at)
            continue;
        if (from > end || (first[0] && strcmp(kind, first) != 0))
            break;
        strcpy(first, kind);
        end = to;
    }
    if (in)
        fclose(in);
    return end - at < DEVICE_BYTES ? end - at : DEVICE_BYTES;
}

static inline weft_status device_take(weft_stream *s, device_imports *all, weft_dev *p)
{
    device_import *i = &all->at[all->n];
    weft_device *d = s->device;
    void *host;
    if (!p->addr)
        return WEFT_OK;
    memcpy(&host, p, sizeof host);
    i->bytes = device_is("cuda") ? device_extent(p->addr) : DEVICE_BYTES;
    if (weft__device_import(d, host, i->bytes, &i->p)) {
        WEFT_TRY(d->ops->alloc(d, i->bytes, &i->p));
        i->copy = 1;
    }
    all->n++;
    *p = i->p;
    return i->copy ? d->ops->upload(s, *p, host, i->bytes) : WEFT_OK;
}

static inline weft_status device_in_xent(weft_stream *s, device_imports *i,
                                         const weft_xent_terms **o)
{
    i->xent = **o;
    *o = &i->xent;
    WEFT_TRY(device_take(s, i, &i->xent.weight));
    return device_take(s, i, &i->xent.divisor);
}

static inline weft_status device_in_loss(weft_stream *s, device_imports *i,
                                         const weft_loss_terms **o)
{
    i->loss = **o;
    *o = &i->loss;
    return device_take(s, i, &i->loss.weight);
}

static inline weft_status device_in_others(weft_stream *s, device_imports *i, const void *o)
{
    (void)s, (void)i, (void)o;
    return WEFT_OK;
}

static inline weft_status device_finish(weft_stream *s, const device_imports *i, weft_status code)
{
    weft_status late = s->device->ops->sync(s);
    for (int k = 0; k < i->n; k++) {
        const device_import *one = &i->at[k];
        if (one->copy)
            s->device->ops->free(s->device, one->p, one->bytes);
        else
            weft__device_unimport(s->device, one->p, one->bytes);
    }
    return code < 0 ? code : late;
}

/* clang-format off */
#define DEVICE_TAKE_D(name) WEFT_TRY(device_take(s, &imports_, &name));
#define DEVICE_TAKE_V(type, name)
#define DEVICE_TAKE_A(type, name, count)                                                           \
    if (name)                                                                                      \
        WEFT_TRY(_Generic(&name, const weft_xent_terms **: device_in_xent,                            \
                          const weft_loss_terms **: device_in_loss,                                   \
                          default: device_in_others)(s, &imports_, (void *)&name));
#define DEVICE_PASS_D(name) , name
#define DEVICE_PASS_V(type, name) , name
#define DEVICE_PASS_A(type, name, count) , name
#define DEVICE_KERNEL(kernel)                                                                      \
    static inline weft_status device_run_##kernel(WEFT_KERNEL_ARGS(kernel))                            \
    {                                                                                              \
        device_imports imports_ = {.n = 0};                                                        \
        WEFT_ARGS_##kernel(DEVICE_TAKE_D, DEVICE_TAKE_V, DEVICE_TAKE_A)                            \
        return device_finish(s, &imports_, s->device->ops->kernels->kernel(                        \
                             s WEFT_ARGS_##kernel(DEVICE_PASS_D, DEVICE_PASS_V, DEVICE_PASS_A)));  \
    }
/* clang-format on */
WEFT_KERNEL_LIST(DEVICE_KERNEL)

static const weft_kernels device_kernels = {
#define ENTRY(name) .name = device_run_##name,
    WEFT_KERNEL_LIST(ENTRY)
#undef ENTRY
};
#endif
