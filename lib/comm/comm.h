/* Collectives with a name and a number. Every call checks that no peer is lost, counts, remembers
 * its name for hang reports (the text must live as long as c), and turns a failure into a message
 * with name, number and rank. send and recv are not counted. */
#ifndef COMM_COMM_H
#define COMM_COMM_H
#include <weft/sys/comm.h>

/* One rank, no MPI. */
weft_status weft__comm_self(weft_comm **out);
void weft__comm_free(weft_comm *c);
/* WEFT_EARG, naming what is missing, unless all REQUIRED entries are there. Whoever takes a
 * communicator from outside asks this once. */
weft_status weft__comm_check(const weft_comm_ops *ops);
/* Whether its calls can go on beside their caller. */
bool weft__comm_overlaps(const weft_comm *c);

weft_status weft__all_reduce(weft_comm *c, const char *name, void *buf, int64_t n, weft_dtype t,
                             weft_reduce op);
/* The sum as a binary tree over ranks, whose number is a power of two: the same bits as on half as
 * many ranks that each add up two of these parts. f32 and f64. */
weft_status weft__all_reduce_tree(weft_comm *c, const char *name, void *buf, int64_t n,
                                  weft_dtype t);
/* Makes room for such sums of up to n f64, so that none of them allocates. Local. */
weft_status weft__tree_reserve(weft_comm *c, int64_t n);
weft_status weft__reduce_scatter(weft_comm *c, const char *name, void *out, const void *in,
                                 const int64_t *counts, weft_dtype t);
weft_status weft__all_gather(weft_comm *c, const char *name, void *out, const int64_t *counts,
                             const void *in, weft_dtype t);
weft_status weft__comm_broadcast(weft_comm *c, const char *name, void *buf, int64_t bytes,
                                 int root);
weft_status weft__barrier(weft_comm *c, const char *name);
weft_status weft__send(weft_comm *c, const char *name, const void *buf, int64_t bytes, int to,
                       int tag);
weft_status weft__recv(weft_comm *c, const char *name, void *buf, int64_t bytes, int from, int tag);
weft_status weft__split(weft_comm *c, const char *name, int color, int key, weft_comm **out);
/* Memory of d that c reduces. Collective, with the same bytes on all ranks; a failure may be one
 * rank's own. */
weft_status weft__comm_alloc(weft_comm *c, weft_device *d, size_t bytes, weft_memory_kind kind,
                             weft_dev *out);
/* The same memory before all ranks are there: local, and as any of the device's until it is enlisted. */
weft_status weft__comm_reserve(weft_comm *c, weft_device *d, size_t bytes, weft_memory_kind kind,
                               weft_dev *out);
/* Collective. A failure is c's own; p is good in any case. */
weft_status weft__comm_enlist(weft_comm *c, weft_dev p);
/* Of either. Not collective. */
void weft__comm_release(weft_comm *c, weft_device *d, weft_dev p, size_t bytes,
                        weft_memory_kind kind);
/* The next call finds what was enqueued on s so far; the host may be made to wait for it. Local. */
weft_status weft__comm_after(weft_comm *c, weft_stream *s);
/* The address that c's calls take for d's memory. NULL, and a message, if c does not reach it. */
void *weft__comm_reach(weft_comm *c, weft_device *d, weft_dev p);

/* Around every collective: refuses where a peer is lost, else gives it a number and notes the name;
 * and makes a failure's message of it. */
weft_status weft__comm_begin(weft_comm *c, const char *name);
weft_status weft__comm_end(weft_comm *c, const char *call, const char *name, uint64_t number,
                           weft_status rc);

/* Combines verdicts: 0 if every rank passes 0 (or a notice), else the code of the lowest failing
 * rank, whose message (text, "" uses the thread's last) becomes the thread's last on all ranks. A
 * communication failure is WEFT_EPEER, WEFT_ETIMEOUT or WEFT_EMPI. Collective. */
weft_status weft__agree(weft_comm *c, const char *name, weft_status mine, const char *text);
/* WEFT_ECONFIG on all ranks, naming the first rank that differs from rank 0, unless text is equal
 * everywhere. */
weft_status weft__agree_text(weft_comm *c, const char *name, const char *what, const char *text);
#endif
