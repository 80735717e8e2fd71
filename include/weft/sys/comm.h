/* A communicator: ranks that reduce, gather and agree. Buffers are host addresses that the
 * communicator reaches (see reach). All calls are collective over the communicator, except send,
 * recv, release, reserve and reach. */
#ifndef WEFT_SYS_COMM_H
#define WEFT_SYS_COMM_H
#include <weft/sys/device.h>
WEFT_BEGIN

typedef struct weft_comm weft_comm;
typedef enum weft_reduce { WEFT_REDUCE_SUM, WEFT_REDUCE_MIN, WEFT_REDUCE_MAX } weft_reduce;

typedef enum weft_call {
    WEFT_CALL_ALL_REDUCE,
    WEFT_CALL_REDUCE_SCATTER,
    WEFT_CALL_ALL_GATHER
} weft_call;

/* A collective that goes on while its caller computes. It and what it points to stay the caller's,
 * and untouched, until it has ended. */
typedef struct weft_request weft_request;
struct weft_request {
    /* What is asked for, as in the call of that name. */
    weft_call call;
    weft_dtype dtype;
    weft_reduce op;
    void *out; /* all_reduce's buf */
    const void *in;
    int64_t n;
    const int64_t *counts;
    /* Who called. */
    const char *name;
    uint64_t number;
    bool flying;        /* it has begun and was not waited for */
    weft_request *next; /* begun after it */
    /* The communicator's own. */
    int state;
    weft_status status;
    weft_request *link;
    /* Ours: what out and in were, where they are copies of what a device has. */
    void *real_out;
    const void *real_in;
};

/* REQUIRED unless marked. Counts are in elements. Types: f32, f64, i32, i64, u8. */
typedef struct weft_comm_ops {
    size_t size;
    const char *name;
    weft_status (*all_reduce)(weft_comm *c, void *buf, int64_t n, weft_dtype t, weft_reduce op);
    /* out[counts[rank]] = this rank's part of the element-wise sum of in[sum of counts], whose parts
     * follow one another in order of rank. out may be that part of in; in is otherwise left as it
     * is. */
    weft_status (*reduce_scatter)(weft_comm *c, void *out, const void *in, const int64_t *counts,
                                  weft_dtype t);
    /* out[sum of counts] = the ranks' in[counts[rank]] one after the other. out may hold in at its
     * place already. */
    weft_status (*all_gather)(weft_comm *c, void *out, const int64_t *counts, const void *in,
                              weft_dtype t);
    weft_status (*broadcast)(weft_comm *c, void *buf, int64_t bytes, int root);
    weft_status (*barrier)(weft_comm *c);
    weft_status (*send)(weft_comm *c, const void *buf, int64_t bytes, int to, int tag);
    weft_status (*recv)(weft_comm *c, void *buf, int64_t bytes, int from, int tag);
    /* Ranks of equal color form a new communicator, ordered by key, then rank; color < 0: none. */
    weft_status (*split)(weft_comm *c, int color, int key, weft_comm **out);
    void (*free)(weft_comm *c);
    /* OPTIONAL, both or none: memory of device d that is reduced fastest, aligned to 64 bytes, of as
     * many bytes on all ranks. Default: the device's own. */
    weft_status (*alloc)(weft_comm *c, weft_device *d, size_t bytes, weft_dev *out);
    void (*release)(weft_comm *c, weft_device *d, weft_dev p, size_t bytes);
    /* OPTIONAL: the address at which the communicator finds memory of device d; NULL if it cannot.
     * Default: the device's `host`. What it does not find is copied to the host before a call and
     * back behind it. */
    void *(*reach)(weft_comm *c, weft_device *d, weft_dev p);
    /* OPTIONAL, all or none: r begins, goes on beside what the caller does and beside other calls,
     * and has ended, with its status. Requests go in the order in which they were started, alike on
     * all ranks; every one that has started is waited for, also after a failure, when none of them
     * goes on any more. test says whether wait would return at once, and brings r forward where
     * nothing else does. Default: start makes the call itself. */
    weft_status (*start)(weft_comm *c, weft_request *r);
    weft_status (*test)(weft_comm *c, weft_request *r, bool *done);
    weft_status (*wait)(weft_comm *c, weft_request *r);
    /* OPTIONAL: the next call finds in device memory what was enqueued on s so far. Default: s is waited
     * for. */
    weft_status (*after)(weft_comm *c, weft_stream *s);
    /* OPTIONAL, both or none, and with alloc: memory of d, one rank's own affair and released as alloc's, that
     * enlist makes as fast: that all ranks do alike and in one order, whatever each has; where not all can, it
     * stays as it is. Default: the device's own, which needs no more. */
    weft_status (*reserve)(weft_comm *c, weft_device *d, size_t bytes, weft_dev *out);
    weft_status (*enlist)(weft_comm *c, weft_dev p);
} weft_comm_ops;

struct weft_comm {
    const weft_comm_ops *ops;
    void *self;
    int rank, world;
    uint64_t sequence;                 /* collectives begun; every one has a number and a name */
    const char *last;                  /* name of the last one begun */
    double timeout;                    /* seconds a collective may wait */
    bool lost;                         /* a peer is gone: no call may be made any more */
    struct weft__heartbeat *heartbeat; /* ours; NULL: nothing is watched */
    weft_request *flying;              /* the oldest that was not waited for */
    void *room;                        /* ours, for sums by a tree */
    size_t room_bytes;
    struct weft__stage *stage; /* ours, for memory that it does not reach; NULL: there is none */
};

WEFT_END
#endif
