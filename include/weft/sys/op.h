/* An operation with its own gradient. Fill a const weft_op, pass it by pointer to weft_apply; the
 * built-in ones use the same door. */
#ifndef WEFT_SYS_OP_H
#define WEFT_SYS_OP_H
#include <weft/sys/device.h>
#include <weft/tensor.h>
WEFT_BEGIN

#define WEFT_OP_INPUTS 5 /* the most inputs of an op */
#define WEFT_OP_SAVED 2  /* the most arrays an op may save for its backward */

/* What an op computes in under mixed precision: its row of the cast policy. */
typedef enum weft_cast_policy {
    WEFT_CAST_NONE, /* inputs as they are */
    WEFT_CAST_LOW, /* the low type, in weft_forward and autocast scopes: matrix products. f64 stays */
    WEFT_CAST_F32,    /* f32 at least: losses, sums, softmax */
    WEFT_CAST_PROMOTE /* the widest of the inputs */
} weft_cast_policy;

/* Elements in memory: how an op sees a tensor. Plain data, valid for the call. */
typedef struct weft_view {
    weft_dev data; /* of element (0, 0, ...) */
    weft_dtype dtype;
    int rank;
    int64_t shape[WEFT_MAX_RANK];
    int64_t stride[WEFT_MAX_RANK]; /* in elements */
    int64_t numel;
} weft_view;

typedef struct weft_op_call weft_op_call;

typedef struct weft_op {
    size_t size; /* sizeof(weft_op) */
    const char *name;
    weft_cast_policy cast;
    size_t attr_size; /* bytes of attributes, copied at weft_apply; at most 128 */
    int contiguous;   /* 1: inputs are made contiguous first */
    /* REQUIRED. Checks inputs and attributes, fills dtype, rank and shape of c->out and of each
     * c->saved that it wants. Message through weft_op_fail. */
    weft_status (*shape)(weft_op_call *c);
    /* REQUIRED, but of a view. Computes c->out (contiguous, uninitialised) and c->saved from c->in. */
    weft_status (*forward)(weft_op_call *c);
    /* OPTIONAL: without it the op has no gradient, and its result needs none. Overwrites c->gin[i]
     * (contiguous, in the shape of input i) where c->want[i], from c->gout (contiguous), c->in,
     * c->out and c->saved; or sets c->gin[i].data to where it is already, in c->gout or another c->gin. */
    weft_status (*backward)(weft_op_call *c);
    /* OPTIONAL. The result is a view of input 0: fill c->out's data and stride too; no forward. */
    int view;
    /* How the result relates to the rows of the batch in its inputs (gradients are sums). */
    enum {
        WEFT_ROWS_KEEP,   /* rows stay rows, in dimension `batch` of the call */
        WEFT_ROWS_MEAN,   /* their mean */
        WEFT_ROWS_SUM,    /* their sum */
        WEFT_ROWS_CHOSEN, /* rows stay rows, but another number of them: some, or with others */
        WEFT_ROWS_OTHER   /* another function of this rank's rows: over ranks it has neither */
    } rows;
    /* 1: backward goes by the type of c->gin[i], which is f32 where a parameter has 16 bits. 0: it
     * always has the type of input i, and is cast. */
    int wide;
    /* The first so many of c->saved are results too, which weft_apply_results gives, of floating point
     * or integers. They stand to the batch's rows as c->out does. */
    int results;
    /* OPTIONAL. backward communicates: it is called on every rank whose loss depends on the result, in the
     * same order, also where no gradient comes (c->gout is zeros then), and takes part also where it
     * fails. This takes part in its place, with zeros, on a rank that cannot call it. */
    weft_status (*drain)(weft_op_call *c);
    /* Bit i: backward adds c->more[i] to what it puts in c->gin[i], which spares a pass. */
    int adds;
} weft_op;

struct weft_op_call {
    const weft_op *op;
    weft_fabric *fabric;
    weft_device *device;
    weft_stream *stream;
    const weft_kernels *k;
    void *attr; /* the call's own copy */
    int nin;
    weft_view in[WEFT_OP_INPUTS];
    weft_view out;
    weft_view saved[WEFT_OP_SAVED];
    weft_view gout;
    weft_view gin[WEFT_OP_INPUTS];
    bool want[WEFT_OP_INPUTS];
    int rows;              /* shape and forward may set it; starts as op->rows */
    const int64_t *sample; /* data set index of each row in dimension 0, or NULL */
    int lead;              /* the input whose batch the result is of; -1: none */
    int batch; /* the dimension of its rows there, -1: they were reduced; shape sets what it is in
                  the result */
    int64_t base, local; /* lead's global row of this rank's first one, and this rank's rows */
    bool alike
        [WEFT_OP_INPUTS]; /* the input has rows in the same dimension, as many over all ranks */
    /* forward may set it: an f64 on the device, the denominator of a mean over the batch where that
     * is not the number of rows. Ranks weigh by it. */
    weft_dev weight;
    /* In backward: the gradient of each of op->results that something was made from, contiguous; of
     * the others data.addr is 0. Where nothing was made from c->out, c->gout is zeros. */
    weft_view gsaved[WEFT_OP_SAVED];
    /* In backward of an op that adds: what comes to c->gin[i], of f32 or f64, in that memory or elsewhere;
     * addr 0: nothing. */
    weft_dev more[WEFT_OP_INPUTS];
    /* In backward: nobody needs what lies in c->gout behind this call, which may write there. */
    bool spare;
};

/* Applies op to n inputs and records it. attr: attr_size bytes, copied. NULL after an error. */
WEFT_API weft_tensor *weft_apply(weft_fabric *f, const weft_op *op, int n,
                                 weft_tensor *const *inputs, const void *attr);
/* The same for an op with more results: more[i] becomes saved[i] as a tensor, for i < op->results. All
 * NULL after an error.
 *
 *     static weft_status shape(weft_op_call *c)
 *     {
 *         c->out = c->saved[0] = c->in[0];                     y and what y was divided by, say
 *     }
 *     ... .results = 1 ...
 *     y = weft_apply_results(f, &op, 1, &x, NULL, &divisor); */
WEFT_API weft_tensor *weft_apply_results(weft_fabric *f, const weft_op *op, int n,
                                         weft_tensor *const *inputs, const void *attr,
                                         weft_tensor **more);
/* Sets the message of a failing callback, prefixed with the op's name. @return code. */
WEFT_API weft_status weft_op_fail(const weft_op_call *c, weft_status code, const char *format, ...)
    WEFT_PRINTF(3, 4);
/* The address of a view's first element for user code that computes on the host: waits for the
 * stream. Where the host does not reach the device's memory it is that of a copy, in which results are
 * brought to the device when the op's forward or backward returns. NULL after a failure, which
 * weft_message tells. */
WEFT_API void *weft_op_host(const weft_op_call *c, const weft_view *v);

WEFT_END
#endif
