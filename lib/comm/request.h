/* Collectives that go on while their caller computes: started, and waited for later. They are
 * counted and named like the others, when they start, alike on all ranks. */
#ifndef COMM_REQUEST_H
#define COMM_REQUEST_H
#include <weft/sys/comm.h>

/* *r is overwritten, and stays where it is until it was waited for, with what the arguments point to.
 * Where c can do nothing beside its caller, the call is over when this returns. After a failure
 * nothing goes on. Collective, as is the call. */
weft_status weft__start_all_reduce(weft_comm *c, weft_request *r, const char *name, void *buf,
                                   int64_t n, weft_dtype t, weft_reduce op);
weft_status weft__start_reduce_scatter(weft_comm *c, weft_request *r, const char *name, void *out,
                                       const void *in, const int64_t *counts, weft_dtype t);
weft_status weft__start_all_gather(weft_comm *c, weft_request *r, const char *name, void *out,
                                   const int64_t *counts, const void *in, weft_dtype t);
/* Ends r, which may have been waited for or not have started (zeroed). */
weft_status weft__await(weft_comm *c, weft_request *r);
/* Brings forward what goes on, where no thread does. Cheap; no failure is told, as wait does. */
void weft__advance(weft_comm *c);
/* Ends all that goes on, whatever comes of it. */
void weft__settle(weft_comm *c);

/* Calls in the form of requests, and the blocking call that r describes. */
weft_request weft__request_all_reduce(void *buf, int64_t n, weft_dtype t, weft_reduce op);
weft_request weft__request_reduce_scatter(void *out, const void *in, const int64_t *counts,
                                          weft_dtype t);
weft_request weft__request_all_gather(void *out, const int64_t *counts, const void *in,
                                      weft_dtype t);
weft_status weft__request_run(weft_comm *c, const weft_request *r);
#endif
