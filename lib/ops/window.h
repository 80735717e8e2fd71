/* Windows over the planes of images: what convolutions and pooling share. */
#ifndef OPS_WINDOW_H
#define OPS_WINDOW_H
#include "ops/ops.h"

#include <weft/conv.h>

/* out = an option of rows, 0: the usual, and of columns, 0: as of rows; WEFT_OFF is 0. False: one is
 * below `least`, or too large. */
bool weft__window_pair(int64_t v, int64_t w, int64_t usual, int64_t least, int64_t out[2]);
/* Fills o->in and o->out from the last two dimensions of input 0. WEFT_ESHAPE: no window fits. */
weft_status weft__window_over(const weft_op_call *c, weft_window *o);
/* Rows of the batch stay rows in the dimensions up to `last`. */
void weft__window_rows(weft_op_call *c, int last);

/* A convolution's options, checked: all but in and out of the window, and its kernel. */
typedef struct weft__conv {
    weft_window window;
    int64_t groups;
} weft__conv;
weft_status weft__conv_read(const char *who, const weft_conv_options *o, weft__conv *out);
/* The same of pooling, kernel included; max: it may be dilated. */
weft_status weft__pool_read(const char *who, const weft_pool_options *o, bool max,
                            weft_window *out);
#endif
