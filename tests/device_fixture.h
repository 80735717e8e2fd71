/* The device that tests run on, the one that WEFT_ACCELERATOR names, and its kernels as functions of
 * host addresses: each call imports what it is given, waits, and returns what went wrong then too. */
#ifndef TESTS_DEVICE_FIXTURE_H
#define TESTS_DEVICE_FIXTURE_H
#include "core/error.h"
#include "device/device.h"

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

typedef struct device_imports {
    weft_dev p[DEVICE_ADDRESSES];
    int n;
    weft_xent_terms xent;
    weft_loss_terms loss;
} device_imports;

static inline weft_status device_take(weft_stream *s, device_imports *i, weft_dev *p)
{
    if (!p->addr)
        return WEFT_OK;
    void *host;
    memcpy(&host, p, sizeof host);
    WEFT_TRY(weft__device_import(s->device, host, DEVICE_BYTES, p));
    i->p[i->n++] = *p;
    return WEFT_OK;
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
    for (int k = 0; k < i->n; k++)
        weft__device_unimport(s->device, i->p[k], DEVICE_BYTES);
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
