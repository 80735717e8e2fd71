/* Memory that the ranks of a communicator share, which must be on one node. It has no name that
 * could be left behind: the kernel takes it back when the last of the processes has ended. */
#ifndef COMM_SHARED_H
#define COMM_SHARED_H
#include <weft/sys/comm.h>

typedef struct weft__shared {
    char *base;
    size_t each, all; /* bytes of a rank, of all ranks; multiples of pages */
    int rank;
} weft__shared;

/* Zeroed memory, `bytes` for each rank, the same on all, reserved to the last page. Collective over
 * c. WEFT_ENOMEM, WEFT_EIO or WEFT_ENOTSUP, alike on all ranks, and what = "gradients" in its
 * message. */
weft_status weft__shared_new(weft_comm *c, size_t bytes, const char *what, weft__shared *out);
/* Not collective. */
void weft__shared_free(weft__shared *m);

/* Rank r's part. */
static inline void *weft__shared_of(const weft__shared *m, int r)
{
    return m->base + m->each * (size_t)r;
}
#endif
