/* Shared by the ops: checks, and elementwise work with broadcasting. */
#ifndef OPS_OPS_H
#define OPS_OPS_H
#include "autograd/tape.h"
#include "core/shape.h"

#include <weft/loss.h>
#include <weft/ops.h>

/* WEFT_EDTYPE unless input i is floating point. */
weft_status weft__op_not_float(const weft_op_call *c, int i);
static inline weft_status weft__op_float(const weft_op_call *c, int i)
{
    return weft__is_float(c->in[i].dtype) ? WEFT_OK : weft__op_not_float(c, i);
}
/* A dimension of input 0, negative from the last, from 0 on; WEFT_ESHAPE if there is none such. */
weft_status weft__op_dim(const weft_op_call *c, int *dim);
/* WEFT_EDTYPE unless input i, whose numbers are called `what`, is u8, i32 or i64. */
weft_status weft__op_integer(const weft_op_call *c, int i, const char *what);
/* Output like input 0, contiguous. */
weft_status weft__op_like(weft_op_call *c);
/* Applies op to one tensor of its fabric, or to two. */
weft_tensor *weft__apply1(const weft_op *op, weft_tensor *x, const void *attr);
weft_tensor *weft__apply2(const weft_op *op, weft_tensor *a, weft_tensor *b);
/* The shape of elementwise functions of all inputs, and where the batch's rows lie in it. */
weft_status weft__op_shapes(weft_op_call *c);
/* The same and the type, for two tensors of floating point. */
weft_status weft__op_broadcast(weft_op_call *c);
/* True of u8, i32 and i64. */
bool weft__op_is_integer(const weft_op_call *c, int i);
/* The shapes of a normalisation of input 0's last `dims` dimensions: of the weight and the bias, the
 * inputs from `first` on, of the result, and of saved[stats]: two f64 for each row. */
weft_status weft__op_norm(weft_op_call *c, int dims, int first, bool has_weight, int stats);
/* Input i becomes a copy of another type, if need be. */
weft_status weft__op_as(weft_op_call *c, int i, weft_dtype t);
/* Strides that read v as if it had the output's shape: 0 where it stretches. */
void weft__op_stretch(const weft_op_call *c, const weft_view *v, int64_t *stride);
/* gin = g summed over the dimensions along which input i was stretched; g has the output's shape. */
weft_status weft__op_unbroadcast(weft_op_call *c, int i, const weft_view *g);
/* The address of element number i of memory, counted in v's type. */
weft_dev weft__op_at(const weft_view *v, int64_t i);
/* WEFT_EDATA if a kernel left a bad number in a flag of weft__late_flag, naming it as `what`, its row and its sample; numbers: the input,
 * (rows, ...); they are in 0..limit-1. */
weft_status weft__op_verdict(const weft_op_call *c, weft_dev flag, const char *what,
                             const weft_view *numbers, int64_t limit);
/* The same where results can be NaN, as those of bad numbers are: a device that queues is not
 * waited for. */
weft_status weft__op_judge(const weft_op_call *c, weft_dev flag, const char *what,
                           const weft_view *numbers, int64_t limit);
/* weft_batchnorm; together: statistics of all ranks' rows, where the tape's hooks gather. Collective then, and
 * so is its backward. */
weft_tensor *weft__batchnorm(weft_tensor *x, weft_tensor *weight, weft_tensor *bias, double eps,
                             const weft_running *r, bool together);
/* Takes part in that with no rows. */
weft_status weft__batchnorm_absent(weft_fabric *f, int64_t channels);
/* What a loss does with its elements. */
typedef enum weft__reduce {
    WEFT__MEAN_OF,
    WEFT__SUM_OF,
    WEFT__EACH,
    WEFT__BATCHMEAN /* their sum over the rows */
} weft__reduce;
/* From its name, NULL: the mean; WEFT_EARG with a message for `who`. */
weft_status weft__reduce_parse(const char *who, const char *name, bool batchmean,
                               weft__reduce *out);
/* WEFT_ROWS_KEEP and so on. */
int weft__reduce_rows(weft__reduce r);
/* out = factor times the sum of the losses, unless they are the result. */
weft_status weft__reduce_forward(const weft_op_call *c, weft__reduce r, double factor,
                                 const weft_view *losses);
/* Where the gradient of input i is summed up: gin[i], or f32 in its shape if that has 16 bits; and
 * the end of it, gin[i] = g. */
weft_status weft__op_sums(const weft_op_call *c, int i, weft_view *g);
weft_status weft__op_round(const weft_op_call *c, int i, const weft_view *g);
/* weft_rotary of the heads before `until` in (...,T,N), which holds so many heads. */
weft_tensor *weft__rotary_packed(weft_tensor *x, int64_t heads, int64_t until,
                                 const weft_rotary_options *o);
/* gin is c->gout, in gin's shape. */
weft_status weft__op_pass(weft_op_call *c);
/* The eps of a normalisation: 0 is the default, WEFT_OFF none. */
double weft__op_eps(double eps);
/* x (N,C,...) as (n, channels, inner). */
typedef struct weft__channels {
    int64_t n, c, inner;
} weft__channels;
weft__channels weft__op_channels(const weft_view *x);
/* c->gin[i], if it is wanted, of what channel_sums gave: every second number is a gradient, of the bias
 * or (second: 1) of the weight. */
weft_status weft__op_channel_grad(const weft_op_call *c, int i, weft_dev sums, int second);

#endif
