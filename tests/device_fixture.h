/* The device that tests run on, the one that WEFT_ACCELERATOR names, and its kernels as functions of
 * host addresses: each call imports what it is given, or copies it where the device does not reach the
 * host's memory, waits, and returns what went wrong then too. */
#ifndef TESTS_DEVICE_FIXTURE_H
#define TESTS_DEVICE_FIXTURE_H
#include "device_copies.h"

static inline const char *device_name(void)
{
    const char *name = getenv("WEFT_ACCELERATOR");
    return name ? name : "cpu";
}

static inline int device_is(const char *name)
{
    return strcmp(device_name(), name) == 0;
}

/* Imports are of no use where a GPU would read over the bus what it is given, or not at all. */
static inline int device_is_far(void)
{
    const char *far = getenv("WEFT_MOCK_FAR");
    return device_is("cuda") || (device_is("mock") && far && *far != '0');
}

#define DEVICE_ADDRESSES 16
#define DEVICE_BYTES ((size_t)1 << 26) /* more than any array of a test: only addresses */

typedef struct device_args {
    weft_dev *at[DEVICE_ADDRESSES], import[DEVICE_ADDRESSES];
    device_copy copy[DEVICE_ADDRESSES];
    int n, copies, imports;
    weft_xent_terms xent;
    weft_loss_terms loss;
} device_args;

static inline void device_take(device_args *all, weft_dev *p)
{
    if (p->addr)
        all->at[all->n++] = p;
}

static inline void device_in_xent(device_args *i, const weft_xent_terms **o)
{
    i->xent = **o;
    *o = &i->xent;
    device_take(i, &i->xent.weight);
    device_take(i, &i->xent.divisor);
}

static inline void device_in_loss(device_args *i, const weft_loss_terms **o)
{
    i->loss = **o;
    *o = &i->loss;
    device_take(i, &i->loss.weight);
}

static inline void device_in_others(device_args *i, const void *o)
{
    (void)i, (void)o;
}

static inline weft_status device_begin(weft_stream *s, device_args *all)
{
    if (device_is_far())
        return device_copies(s, all->at, all->n, all->copy, &all->copies);
    for (int i = 0; i < all->n; i++) {
        void *host;
        memcpy(&host, all->at[i], sizeof host);
        WEFT_TRY(weft__device_import(s->device, host, DEVICE_BYTES, &all->import[i]));
        *all->at[i] = all->import[i];
        all->imports++;
    }
    return WEFT_OK;
}

static inline weft_status device_finish(weft_stream *s, const device_args *all, weft_status code)
{
    const weft_status late = device_copies_back(s, all->copy, all->copies);
    for (int i = 0; i < all->imports; i++)
        weft__device_unimport(s->device, all->import[i], DEVICE_BYTES);
    return code < 0 ? code : late;
}

/* clang-format off */
#define DEVICE_TAKE_D(name) device_take(&args_, &name);
#define DEVICE_TAKE_V(type, name)
#define DEVICE_TAKE_A(type, name, count)                                                           \
    if (name)                                                                                      \
        _Generic(&name, const weft_xent_terms **: device_in_xent,                                     \
                 const weft_loss_terms **: device_in_loss,                                            \
                 default: device_in_others)(&args_, (void *)&name);
#define DEVICE_PASS_D(name) , name
#define DEVICE_PASS_V(type, name) , name
#define DEVICE_PASS_A(type, name, count) , name
#define DEVICE_KERNEL(kernel)                                                                      \
    static inline weft_status device_run_##kernel(WEFT_KERNEL_ARGS(kernel))                            \
    {                                                                                              \
        device_args args_ = {.n = 0};                                                              \
        WEFT_ARGS_##kernel(DEVICE_TAKE_D, DEVICE_TAKE_V, DEVICE_TAKE_A)                            \
        weft_status code_ = device_begin(s, &args_);                                               \
        if (code_ >= 0)                                                                            \
            code_ = s->device->ops->kernels->kernel(                                               \
                s WEFT_ARGS_##kernel(DEVICE_PASS_D, DEVICE_PASS_V, DEVICE_PASS_A));                \
        return device_finish(s, &args_, code_);                                                    \
    }
/* clang-format on */
WEFT_KERNEL_LIST(DEVICE_KERNEL)

static const weft_kernels device_kernels = {
#define ENTRY(name) .name = device_run_##name,
    WEFT_KERNEL_LIST(ENTRY)
#undef ENTRY
};
#endif
