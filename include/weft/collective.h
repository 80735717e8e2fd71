/* Collectives on tensors and on plain values, for metrics and decisions of the program's own; what
 * gradients need, weft_backward does.
 *
 * All are collective: every rank takes part, also with a NULL tensor where an error has stuck. What
 * ranks must give alike (shape, type, op, src) is compared first, in one small message: WEFT_ECONFIG
 * on all ranks, and nobody waits. Errors stick on all ranks alike; then tensors are NULL and outputs
 * as before. Results are new tensors without history, which live until the edge: no gradient flows
 * through them (Fabric's sync_grads is not there). */
#ifndef WEFT_COLLECTIVE_H
#define WEFT_COLLECTIVE_H
#include <weft/base.h>
#include <weft/status.h>
#include <weft/tensor.h>
WEFT_BEGIN

/* The ranks' tensors of one shape and type, stacked: (...) -> (world, ...), for every number of ranks,
 * one too. Any type. */
WEFT_API weft_tensor *weft_all_gather(weft_fabric *f, weft_tensor *x);
/* The same joined along dimension 0, of which each rank may have another number of rows, also none:
 * (rows, ...) -> (sum of rows, ...). */
WEFT_API weft_tensor *weft_all_gather_rows(weft_fabric *f, weft_tensor *x);
/* Combines elementwise over ranks: op is "mean" (NULL too), "avg" (the same), "sum", "min" or "max".
 * Integers do not overflow or lose their fraction: the sum of u8 and i32 is i64, the mean of any is
 * f64; else the type stays. f16 and bf16 must be cast first (WEFT_EDTYPE). Of NaN, min and max may
 * give anything. x is not changed. */
WEFT_API weft_tensor *weft_all_reduce(weft_fabric *f, weft_tensor *x, const char *op);
/* Rank src's tensor; what the others give is not looked at and may be NULL. */
WEFT_API weft_tensor *weft_broadcast(weft_fabric *f, weft_tensor *x, int src);

/* Rank src's bytes, into all ranks' data. */
WEFT_API weft_status weft_broadcast_bytes(weft_fabric *f, void *data, size_t bytes, int src);
/* Rank src's text, into all ranks' buffers of `capacity` bytes, which may differ; WEFT_EARG on all
 * ranks if one is too small for it. */
WEFT_API weft_status weft_broadcast_text(weft_fabric *f, char *text, size_t capacity, int src);
/* Whether all ranks, or with all false any of them, say yes: to stop early, for one. False after an
 * error. */
WEFT_API bool weft_reduce_boolean_decision(weft_fabric *f, bool decision, bool all);
/* Sums values[0..n) over all ranks, in place, in f64; n is compared first. */
WEFT_API weft_status weft_sum_over_ranks(weft_fabric *f, double *values, int64_t n);
/* Waits for all ranks. With a name (NULL: none), ranks that wait at different ones are told so. */
WEFT_API weft_status weft_barrier(weft_fabric *f);
WEFT_API weft_status weft_barrier_named(weft_fabric *f, const char *name);

/* Code between begin and end runs on rank 0 first (local: on the first rank of each node), then on
 * the others: downloads and caches. It must call nothing collective.
 *     if (!weft_rank_zero_first_begin(f, false))
 *         prepare(f);
 *     weft_rank_zero_first_end(f);
 * begin is 0 where the body is to run: not where rank 0's has failed (weft_fail), which all ranks
 * learn there. Waits are as long as those of any collective: see `timeout` of weft_open. Both are
 * collective. WEFT_ESTATE: begin inside the scope, end outside of it. */
WEFT_API weft_status weft_rank_zero_first_begin(weft_fabric *f, bool local);
WEFT_API weft_status weft_rank_zero_first_end(weft_fabric *f);

WEFT_END
#endif
