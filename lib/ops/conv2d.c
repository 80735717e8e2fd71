/* y = W * x + b over windows of images. */
#include "device/conv.h"
#include "ops/window.h"

weft_status weft__conv_read(const char *who, const weft_conv_options *o, weft__conv *out)
{
    static const weft_conv_options none;
    weft_window *w = &out->window;
    o = o ? o : &none;
    *out = (weft__conv){.groups = o->groups ? o->groups : 1};
    if (weft__window_pair(o->stride, o->stride_w, 1, 1, w->stride) &&
        weft__window_pair(o->padding, o->padding_w, 0, 0, w->padding) &&
        weft__window_pair(o->dilation, o->dilation_w, 1, 1, w->dilation) && out->groups >= 1)
        return WEFT_OK;
    return weft__fail(
        WEFT_EARG,
        "%s: stride %lld, %lld, padding %lld, %lld, dilation %lld, %lld, groups %lld; "
        "padding is from 0 and the others are from 1 up, all below 2^31",
        who, (long long)w->stride[0], (long long)w->stride[1], (long long)w->padding[0],
        (long long)w->padding[1], (long long)w->dilation[0], (long long)w->dilation[1],
        (long long)out->groups);
}

/* Whether extents of x (N,C,H,W) and w (O,C/groups,kh,kw) agree. */
static bool agrees(const weft_view *x, const weft_view *w, int64_t groups)
{
    bool good = x->rank == 4 && w->rank == 4;
    for (int d = 0; d < 4 && good; d++)
        good = w->shape[d] >= 1 && w->shape[d] <= INT32_MAX;
    return good && groups <= x->shape[1] && x->shape[1] % groups == 0 &&
           w->shape[0] % groups == 0 && w->shape[1] == x->shape[1] / groups;
}

static weft_status shape(weft_op_call *c)
{
    char a[WEFT__SHAPE_TEXT], b[WEFT__SHAPE_TEXT];
    const weft_view *x = &c->in[0], *w = &c->in[1];
    weft__conv *t = c->attr;
    for (int i = 0; i < c->nin; i++)
        WEFT_TRY(weft__op_float(c, i));
    if (!agrees(x, w, t->groups))
        return weft_op_fail(c, WEFT_ESHAPE,
                            "images %s, weight %s, %lld groups; it takes (N,C,H,W) and "
                            "(O,C/groups,kh,kw), and groups divide C and O",
                            weft__shape_text(x->rank, x->shape, a),
                            weft__shape_text(w->rank, w->shape, b), (long long)t->groups);
    if (c->nin == 3 && (c->in[2].rank != 1 || c->in[2].shape[0] != w->shape[0]))
        return weft_op_fail(c, WEFT_ESHAPE, "bias %s, weight %s; the bias is (O)",
                            weft__shape_text(c->in[2].rank, c->in[2].shape, a),
                            weft__shape_text(w->rank, w->shape, b));
    for (int d = 0; d < 2; d++)
        t->window.kernel[d] = w->shape[2 + d];
    WEFT_TRY(weft__window_over(c, &t->window));
    c->out = *x;
    c->out.shape[1] = w->shape[0];
    for (int d = 0; d < 2; d++)
        c->out.shape[2 + d] = t->window.out[d];
    weft__window_rows(c, 0);
    return WEFT_OK;
}

/* What kernels are told, and their room. */
static weft_status terms(const weft_op_call *c, weft_conv_terms *t, weft_dev *room)
{
    const weft__conv *a = c->attr;
    *t = (weft_conv_terms){.n = c->in[0].shape[0],
                           .c = c->in[0].shape[1],
                           .o = c->in[1].shape[0],
                           .groups = a->groups,
                           .window = a->window};
    weft__convolve_plan(t, c->device->ops->host, c->device->threads, c->in[0].dtype);
    return weft__scratch(c->fabric, (size_t)t->room, room);
}

static weft_status forward(weft_op_call *c)
{
    const weft__mark mark = weft__engine_mark(c->fabric);
    const weft_dev b = {c->nin == 3 ? c->in[2].data.addr : 0};
    weft_conv_terms t;
    weft_dev room;
    WEFT_TRY(terms(c, &t, &room));
    WEFT_TRY(c->k->conv(c->stream, c->out.data, c->in[0].data, c->in[1].data, b, room, &t,
                        c->out.dtype));
    weft__engine_rewind(c->fabric, mark);
    return WEFT_OK;
}

static weft_status bias_back(const weft_op_call *c)
{
    const int64_t outputs = c->gout.shape[1], places = c->gout.shape[2] * c->gout.shape[3];
    const int64_t shape[3] = {c->gout.shape[0], outputs, places};
    const int64_t ystride[3] = {0, 1, 0}, stride[3] = {outputs * places, places, 1};
    return c->k->sum(c->stream, c->gin[2].data, c->gin[2].dtype, ystride, 1.0, c->gout.data, stride,
                     3, shape, c->gout.dtype);
}

static weft_status backward(weft_op_call *c)
{
    const weft__mark mark = weft__engine_mark(c->fabric);
    const weft_dev gx = {c->want[0] ? c->gin[0].data.addr : 0};
    weft_view g = {.dtype = WEFT_F32};
    weft_conv_terms t;
    weft_dev room;
    if (c->want[0] || c->want[1]) {
        WEFT_TRY(terms(c, &t, &room));
        if (c->want[1])
            WEFT_TRY(weft__op_sums(c, 1, &g));
        WEFT_TRY(c->k->conv_back(c->stream, gx, c->gin[0].dtype, g.data, c->gout.data,
                                 c->in[0].data, c->in[1].data, room, &t, c->gout.dtype));
    }
    if (c->want[1])
        WEFT_TRY(weft__op_round(c, 1, &g));
    if (c->nin == 3 && c->want[2])
        WEFT_TRY(bias_back(c));
    weft__engine_rewind(c->fabric, mark);
    return WEFT_OK;
}

#define CONVOLUTION(word)                                                                          \
    {                                                                                              \
        .size = sizeof(weft_op), .name = word, .cast = WEFT_CAST_LOW,                              \
        .attr_size = sizeof(weft__conv), .contiguous = 1, .shape = shape, .forward = forward,      \
        .backward = backward, .wide = 1                                                            \
    }
static const weft_op of_images = CONVOLUTION("conv2d"), of_lines = CONVOLUTION("conv1d");

static weft_fabric *fabric_of(const weft_op *op, weft_tensor *x, weft_tensor *weight)
{
    weft_fabric *f = NULL;
    return weft__tensor_for(op->name, x, &f) && weft__tensor_for(op->name, weight, NULL) ? f : NULL;
}

static weft_tensor *convolve(const weft_op *op, weft_tensor *x, weft_tensor *weight,
                             weft_tensor *bias, const weft_conv_options *o)
{
    weft_fabric *f = fabric_of(op, x, weight);
    weft__conv attr;
    weft_tensor *const in[] = {x, weight, bias};
    if (!f)
        return NULL;
    if (weft__conv_read(op->name, o, &attr)) {
        weft__stick(f, WEFT_EARG);
        return NULL;
    }
    return weft_apply(f, op, bias ? 3 : 2, in, &attr);
}

weft_tensor *weft_conv2d(weft_tensor *x, weft_tensor *weight, weft_tensor *bias,
                         const weft_conv_options *o)
{
    return convolve(&of_images, x, weight, bias, o);
}

/* Of images with one row. */
weft_tensor *weft_conv1d(weft_tensor *x, weft_tensor *weight, weft_tensor *bias,
                         const weft_conv_options *o)
{
    static const weft_conv_options none;
    o = o ? o : &none;
    const weft_conv_options of_columns = {.stride = 1,
                                          .stride_w = o->stride,
                                          .padding_w = o->padding,
                                          .dilation = 1,
                                          .dilation_w = o->dilation,
                                          .groups = o->groups};
    if (!fabric_of(&of_lines, x, weight))
        return NULL;
    return weft_squeeze(
        convolve(&of_lines, weft_unsqueeze(x, 2), weft_unsqueeze(weight, 2), bias, &of_columns), 2);
}
