/* Options of windows over planes, and what becomes of the planes. */
#include "ops/window.h"

#define MOST INT32_MAX /* so that places can be computed */

bool weft__window_pair(int64_t v, int64_t w, int64_t usual, int64_t least, int64_t out[2])
{
    out[0] = v == 0 ? usual : v == WEFT_OFF ? 0 : v;
    out[1] = w == 0 ? out[0] : w == WEFT_OFF ? 0 : w;
    return out[0] >= least && out[0] <= MOST && out[1] >= least && out[1] <= MOST;
}

weft_status weft__window_over(const weft_op_call *c, weft_window *o)
{
    char text[WEFT__SHAPE_TEXT];
    const weft_view *x = &c->in[0];
    for (int d = 0; d < 2; d++) {
        o->in[d] = x->shape[x->rank - 2 + d];
        const int64_t room = o->in[d] + 2 * o->padding[d] - o->dilation[d] * (o->kernel[d] - 1) - 1;
        o->out[d] = room < 0 ? 0 : room / o->stride[d] + 1;
        if (o->out[d] < 1 || o->in[d] < 1 || o->in[d] > MOST)
            return weft_op_fail(c, WEFT_ESHAPE,
                                "no window of %lld x %lld places with padding %lld, %lld fits into "
                                "images %s",
                                (long long)o->kernel[0], (long long)o->kernel[1],
                                (long long)o->padding[0], (long long)o->padding[1],
                                weft__shape_text(x->rank, x->shape, text));
    }
    return WEFT_OK;
}

void weft__window_rows(weft_op_call *c, int last)
{
    if (c->lead > 0 || c->batch > last)
        c->rows = WEFT_ROWS_OTHER;
}
