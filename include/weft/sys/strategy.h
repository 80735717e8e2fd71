/* A strategy of the user's own: what becomes of gradients over ranks, and who keeps which part of
 * what. weft_open takes it as .strategy_ops; built-in ones use the same door. This is all of ddp but
 * its verdict words:
 *
 *     static weft_status reduce(weft_strategy *s, void *self, const weft_bucket *b)
 *     {
 *         return weft_strategy_all_reduce(s, b->name, b->data, b->count, b->dtype, WEFT_REDUCE_SUM);
 *     }
 *     static const weft_strategy_ops mine = {.size = sizeof mine, .name = "mine", .reduce = reduce};
 *
 * What every strategy needs is done for it: memory of gradients, first parameters alike on all ranks,
 * the schedule (buckets are reduced in one order on all ranks, whichever is ready first; a rank that
 * failed takes part with zeros), the verdict (all ranks take a step or none does), accumulation,
 * skipped steps, clipping and counts of bad numbers over pieces, checkpoints. A callback that fails
 * with a message of weft_strategy_fail makes the error stick; in step with the others it goes on being
 * called, so that no rank waits.
 *
 * Without reduce, each rank's gradients are those of its own rows, and its parameters go their own way
 * until stepped brings them together. Checkpoints take what is not cut to be alike on all ranks: save
 * after steps at which it is. */
#ifndef WEFT_SYS_STRATEGY_H
#define WEFT_SYS_STRATEGY_H
#include <weft/fabric.h>
#include <weft/sys/comm.h>
#include <weft/sys/device.h>
WEFT_BEGIN

typedef struct weft_strategy weft_strategy;
/* The parameters of a module that share (dtype, trainable), one after the other, and what belongs to
 * them: planes over the same elements. */
typedef struct weft_space weft_space;

typedef enum weft_plane {
    WEFT_PLANE_PARAM,
    WEFT_PLANE_GRAD,
    WEFT_PLANE_MOMENT,                         /* the first of WEFT_OPTIM_MOMENTS */
    WEFT_PLANE_COMPUTE = WEFT_PLANE_MOMENT + 3 /* parameters in a lower type, if there is one */
} weft_plane;

/* Gradients that are reduced together: elements [first, first + count) of a space. */
typedef struct weft_bucket {
    weft_space *space;
    int index;            /* of the space's */
    const char *name;     /* for its collective, "gradients 0.3"; lives as long as the space */
    int64_t first, count; /* padding included, which is 0 */
    /* Numbers of the library's behind them, of which the sum over ranks must come to be on all: 0,
     * unless the table says .carries. */
    int64_t words;
    weft_dtype dtype;
    weft_dev data; /* the gradients, count + words elements; addr 0 outside of reduce and wait */
    /* Of a space that is cut: the elements of the ranks' pieces, one after the other, and where this
     * rank's begins, from `first`; else NULL, 0 and count. */
    const int64_t *counts;
    int64_t own, own_count;
    bool updated; /* the optimizer of the step that runs has parameters in it; for stepped */
    weft_request *request; /* of the bucket, for a call that reduce starts and wait awaits */
} weft_bucket;

typedef enum weft_when {
    WEFT_BEFORE_FORWARD,
    WEFT_AFTER_FORWARD,
    WEFT_BEFORE_BACKWARD,
    WEFT_AFTER_BACKWARD
} weft_when;

/* All but size and name are OPTIONAL; with more ranks than one there is reduce or stepped. Unless it
 * says otherwise a callback is called on all ranks in the same order. self: .strategy_self. */
typedef struct weft_strategy_ops {
    size_t size;
    const char *name; /* weft_strategy_name */
    /* reduce sums count + words elements on every rank: so the verdict rides with the last bucket. If
     * not, and for spaces that are cut, it takes a small collective of its own. */
    bool carries;
    weft_status (*open)(weft_strategy *s, void *self);
    void (*close)(weft_strategy *s, void *self);
    /* A space comes under the strategy: the place for weft_space_cut and weft_space_shard. */
    weft_status (*setup)(weft_strategy *s, void *self, weft_space *space);
    /* Makes b->data the sum over ranks, at least in this rank's piece. Called once a bucket and
     * backward. */
    weft_status (*reduce)(weft_strategy *s, void *self, const weft_bucket *b);
    /* With it, reduce may return when it has begun: wait returns when it is done. */
    weft_status (*wait)(weft_strategy *s, void *self, const weft_bucket *b);
    /* The optimizer has updated this rank's pieces of a space; REQUIRED if it is cut: brings the
     * others' pieces of the parameters. Called also on a rank where the update failed. */
    weft_status (*stepped)(weft_strategy *s, void *self, weft_space *space);
    /* This rank's part of a step enters or leaves a module: in weft_forward, and in weft_backward. */
    weft_status (*module)(weft_strategy *s, void *self, weft_module *m, weft_when when);
} weft_strategy_ops;

/* In setup only. Cuts each bucket in a piece a rank: optimizers update this rank's pieces alone, and
 * moments have memory for them alone. Pieces are of equal length, but that optimizers which need
 * whole tensors let them end where tensors end. */
WEFT_API weft_status weft_space_cut(weft_space *space);
/* In setup only, of a space that is cut: plane, WEFT_PLANE_GRAD, has memory for this rank's pieces
 * alone. b->data is then one of a few buffers, and what reduce leaves in the piece is added up. @return
 * WEFT_ENOTSUP for other planes. */
WEFT_API weft_status weft_space_shard(weft_space *space, weft_plane plane);

WEFT_API bool weft_space_is_trainable(const weft_space *space); /* if not, it has no gradients */
WEFT_API int64_t weft_space_elements(const weft_space *space);
WEFT_API weft_dtype weft_space_dtype(const weft_space *space, weft_plane plane);
/* Where a plane has an element; addr 0: this rank has not. What follows, up to the end of the space
 * or the piece, lies behind it. */
WEFT_API weft_dev weft_space_at(const weft_space *space, weft_plane plane, int64_t element);
WEFT_API int weft_space_buckets(const weft_space *space);
WEFT_API weft_bucket weft_space_bucket(weft_space *space, int i);

WEFT_API weft_fabric *weft_strategy_fabric(const weft_strategy *s);
/* For kernels of one's own: they are in order with all that the step does. */
WEFT_API weft_device *weft_strategy_device(const weft_strategy *s);
WEFT_API weft_stream *weft_strategy_stream(const weft_strategy *s);
/* Sets the message of a failing callback, prefixed with the strategy's name. @return code. */
WEFT_API weft_status weft_strategy_fail(const weft_strategy *s, weft_status code,
                                        const char *format, ...) WEFT_PRINTF(3, 4);
/* Memory of the device that the communicator reaches, zeroed, and its end; what is left at the end of
 * close is not freed. alloc is collective, of the same bytes on all ranks. */
WEFT_API weft_status weft_strategy_alloc(weft_strategy *s, size_t bytes, weft_dev *out);
WEFT_API void weft_strategy_release(weft_strategy *s, weft_dev p, size_t bytes);

/* Collectives on memory of the device, after all that was enqueued for it. name, which reports of
 * hangs tell, must live as long as the strategy. As in <weft/sys/comm.h>; counts has an entry a
 * rank. @return 0, WEFT_EPEER, WEFT_ETIMEOUT, WEFT_EMPI, WEFT_EARG. Collective. */
WEFT_API weft_status weft_strategy_all_reduce(weft_strategy *s, const char *name, weft_dev buf,
                                              int64_t n, weft_dtype t, weft_reduce op);
WEFT_API weft_status weft_strategy_reduce_scatter(weft_strategy *s, const char *name, weft_dev out,
                                                  weft_dev in, const int64_t *counts, weft_dtype t);
WEFT_API weft_status weft_strategy_all_gather(weft_strategy *s, const char *name, weft_dev out,
                                              const int64_t *counts, weft_dev in, weft_dtype t);
/* The same begun: what they do goes on while the caller computes, where the communicator can do that;
 * else it is over when these return. r, name and all that is pointed to stay as they are until
 * weft_strategy_await, which every call that has begun needs; for others it does nothing. */
WEFT_API weft_status weft_strategy_start_all_reduce(weft_strategy *s, weft_request *r,
                                                    const char *name, weft_dev buf, int64_t n,
                                                    weft_dtype t, weft_reduce op);
WEFT_API weft_status weft_strategy_start_reduce_scatter(weft_strategy *s, weft_request *r,
                                                        const char *name, weft_dev out, weft_dev in,
                                                        const int64_t *counts, weft_dtype t);
WEFT_API weft_status weft_strategy_start_all_gather(weft_strategy *s, weft_request *r,
                                                    const char *name, weft_dev out,
                                                    const int64_t *counts, weft_dev in,
                                                    weft_dtype t);
WEFT_API weft_status weft_strategy_await(weft_strategy *s, weft_request *r);
WEFT_API weft_status weft_strategy_broadcast(weft_strategy *s, const char *name, weft_dev buf,
                                             int64_t bytes, int root);

WEFT_END
#endif
