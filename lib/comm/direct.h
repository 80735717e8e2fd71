/* A communicator whose ranks' device memory is moved by a library that can, such as NCCL: a decorator over
 * the one that works in the host's memory, which does the rest. */
#ifndef COMM_DIRECT_H
#define COMM_DIRECT_H
#include <weft/sys/comm.h>

/* What such a library offers, for buffers that are all the device's. It reads them once `after` has
 * happened (NULL: at once), and what it writes is there when the call was waited for. A call that fails
 * is its last: it has stopped what goes on, and refuses what follows. */
typedef struct weft__direct_ops {
    const char *name;
    /* Collective over c, which speaks for the host's memory. WEFT_ECONFIG, WEFT_ENOTSUP: it does not
     * serve these ranks and GPUs. A failure is alike on all ranks. */
    weft_status (*open)(void **self, weft_comm *c, weft_device *d);
    weft_status (*start)(void *self, const weft_comm *c, weft_request *r, weft_event *after);
    weft_status (*test)(void *self, const weft_comm *c, weft_request *r, bool *done);
    weft_status (*wait)(void *self, const weft_comm *c, weft_request *r);
    weft_status (*broadcast)(void *self, const weft_comm *c, void *buf, int64_t bytes, int root,
                             weft_event *after);
    /* OPTIONAL, all or none: memory that it moves fastest once it was enlisted, which all ranks do or none
     * does: strike undoes it. Local. WEFT_ENOTSUP: it is not of alloc. release: nothing uses it any more.
     * @return whether it was of alloc. */
    weft_status (*alloc)(void *self, size_t bytes, weft_dev *out);
    weft_status (*enlist)(void *self, weft_dev p);
    void (*strike)(void *self, weft_dev p);
    bool (*release)(void *self, weft_dev p);
    /* lost: nothing that goes on may be waited for. */
    void (*free)(void *self, bool lost);
} weft__direct_ops;

/* Decorates *c, which then belongs to the new one. With beside, requests go on beside their caller. A failure
 * is alike on all ranks, and *c is what it was. WEFT_ENOTSUP if d's memory is the host's. Collective. */
weft_status weft__comm_direct(weft_comm **c, weft_device *d, const weft__direct_ops *library,
                              bool beside);
/* The communicator that c decorates, or c. */
weft_comm *weft__direct_under(weft_comm *c);
#endif
