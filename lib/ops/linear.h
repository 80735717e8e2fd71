/* A linear layer's products in 8 bits. */
#ifndef OPS_LINEAR_H
#define OPS_LINEAR_H
#include "ops/ops.h"

/* Rows, outputs, inputs. */
typedef struct weft__linear_sizes {
    int64_t r, o, i;
} weft__linear_sizes;

/* Whether a call is to be computed in 8 bits. Says once that one cannot. */
bool weft__linear8_takes(const weft_op_call *c, weft__linear_sizes n);
/* z (R,O) = x W^T + b. */
weft_status weft__linear8(const weft_op_call *c, weft_dev z, weft__linear_sizes n);
/* Those gradients of x and W that are wanted, from that of z. */
weft_status weft__linear8_back(const weft_op_call *c, const weft_view *gz, weft__linear_sizes n);
#endif
