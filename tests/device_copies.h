/* Copies of the host's memory for a device that does not reach it. How long an array is no kernel says: it
 * gets what lies from there up to the end of an array that the test made known, 64 KiB at least, as far
 * as there is memory. Behind the call the bytes that the device changed go back, and no others: between
 * the arrays lies what belongs to somebody else. */
#ifndef TESTS_DEVICE_COPIES_H
#define TESTS_DEVICE_COPIES_H
#include "core/error.h"
#include "device/device.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEVICE_KNOWN 256
#define DEVICE_LEAST ((uintptr_t)1 << 16)
#define DEVICE_ALIGN ((uintptr_t)256) /* so that an address is as aligned there as here */

static struct {
    uintptr_t from, to;
} device_known[DEVICE_KNOWN];
static unsigned device_known_n;

/* An array that kernels will be given. @return p. */
static inline void *device_know(void *p, size_t bytes)
{
    const unsigned i = device_known_n++ % DEVICE_KNOWN;
    device_known[i].from = (uintptr_t)p;
    device_known[i].to = (uintptr_t)p + bytes;
    return p;
}

static inline void *device_calloc(size_t n, size_t size)
{
    return device_know(calloc(n, size), n * size);
}

static inline uintptr_t device_end(uintptr_t at)
{
    uintptr_t end = at + DEVICE_LEAST;
    for (int i = 0; i < DEVICE_KNOWN; i++)
        if (device_known[i].from <= at && at < device_known[i].to && device_known[i].to > end)
            end = device_known[i].to;
    return end;
}

/* What lies at `from`, up to where memory ends. @return bytes. */
static inline size_t device_snapshot(unsigned char *to, uintptr_t from, size_t bytes)
{
    static _Thread_local int file = -1;
    if (file < 0)
        file = memfd_create("snapshot", MFD_CLOEXEC);
    ssize_t n = pwrite(file, (const void *)from, bytes, 0); /* it stops where nothing is mapped */
    n = n > 0 ? pread(file, to, (size_t)n, 0) : 0;
    return n > 0 ? (size_t)n : 0;
}

typedef struct device_copy {
    uintptr_t from, to;
    size_t bytes;
    unsigned char *was;
    weft_dev p;
} device_copy;

/* Sorted, what overlaps as one. @return how many are left. */
static inline int device_join(device_copy *c, int n)
{
    int kept = 0;
    for (int i = 1; i < n; i++)
        for (int k = i; k > 0 && c[k].from < c[k - 1].from; k--) {
            const device_copy swap = c[k];
            c[k] = c[k - 1];
            c[k - 1] = swap;
        }
    for (int i = 1; i < n; i++)
        if (c[i].from <= c[kept].to)
            c[kept].to = c[i].to > c[kept].to ? c[i].to : c[kept].to;
        else
            c[++kept] = c[i];
    return n ? kept + 1 : 0;
}

/* Puts what lies at the addresses on the device, and the addresses there in their place.
 * @return in *copies what device_copies_back takes. */
static inline weft_status device_copies(weft_stream *s, weft_dev **address, int n,
                                        device_copy *copy, int *copies)
{
    const weft_device_ops *ops = s->device->ops;
    for (int i = 0; i < n; i++)
        copy[i] = (device_copy){.from = address[i]->addr / DEVICE_ALIGN * DEVICE_ALIGN,
                                .to = device_end(address[i]->addr)};
    *copies = device_join(copy, n);
    for (int i = 0; i < *copies; i++) {
        device_copy *c = &copy[i];
        c->was = malloc(c->to - c->from);
        c->bytes = device_snapshot(c->was, c->from, c->to - c->from);
        WEFT_TRY(ops->alloc(s->device, c->bytes, &c->p));
        WEFT_TRY(ops->upload(s, c->p, c->was, c->bytes));
    }
    for (int i = 0; i < n; i++) {
        const device_copy *c = copy;
        while (address[i]->addr >= c->to)
            c++;
        *address[i] = weft__at(c->p, (int64_t)(address[i]->addr - c->from));
    }
    return WEFT_OK;
}

static inline weft_status device_copies_back(weft_stream *s, const device_copy *copy, int copies)
{
    const weft_device_ops *ops = s->device->ops;
    weft_status late = ops->sync(s);
    for (int i = 0; i < copies; i++) {
        const device_copy *c = &copy[i];
        unsigned char *is = malloc(c->bytes), *host = (unsigned char *)c->from;
        if (late >= 0)
            late = ops->download(s, is, c->p, c->bytes);
        for (size_t at = 0; at < c->bytes && late >= 0; at += DEVICE_ALIGN) {
            const size_t end = c->bytes - at < DEVICE_ALIGN ? c->bytes : at + DEVICE_ALIGN;
            if (memcmp(is + at, c->was + at, end - at) != 0)
                for (size_t k = at; k < end; k++)
                    if (is[k] != c->was[k])
                        host[k] = is[k];
        }
        ops->free(s->device, c->p, c->bytes);
        free(is);
        free(c->was);
    }
    return late;
}
#endif
