/* What the ops of linear layers share. Input 0 is theirs, weights and biases are other inputs, by their
 * numbers; 0: there is none. */
#ifndef OPS_LINEAR_H
#define OPS_LINEAR_H
#include "ops/ops.h"

/* Rows, outputs, inputs. */
typedef struct weft__linear_sizes {
    int64_t r, o, i;
} weft__linear_sizes;

/* Of the layer of that weight. */
weft__linear_sizes weft__linear_sizes_of(const weft_op_call *c, int weight);
/* y, in shape, from x; WEFT_ESHAPE if the weight or the bias does not fit. */
weft_status weft__linear_shape(const weft_op_call *c, const weft_view *x, int weight, int bias,
                               weft_view *y);
/* y = act(pre), pre = x W^T + b: the kernel's. */
weft_status weft__linear_forward(const weft_op_call *c, weft_dev y, weft_dev pre, weft_dev x,
                                 int weight, int bias, int act);
/* Those gradients of the weight and the bias that are wanted, from z, that of pre, and x; and input 0's. */
weft_status weft__linear_weights(const weft_op_call *c, int weight, int bias, weft_dev z,
                                 weft_dev x, weft__linear_sizes n);
weft_status weft__linear_input(const weft_op_call *c, int weight, weft_dev z, weft__linear_sizes n);

/* Whether a call is to be computed in 8 bits. Says once that one cannot. */
bool weft__linear8_takes(const weft_op_call *c, weft__linear_sizes n);
/* z (R,O) = x W^T + b. */
weft_status weft__linear8(const weft_op_call *c, weft_dev z, weft__linear_sizes n);
/* Those gradients of x and W that are wanted, from that of z. */
weft_status weft__linear8_back(const weft_op_call *c, const weft_view *gz, weft__linear_sizes n);
#endif
