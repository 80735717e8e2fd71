/* The largest, and the mean, of windows over the planes of images. The largest keeps its places, to which the
 * gradient goes. */
#include "ops/window.h"

enum { PLACES };

typedef struct attributes {
    weft_window window;
    weft_average how;
} attributes;

weft_status weft__pool_read(const char *who, const weft_pool_options *o, bool max, weft_window *w)
{
    static const weft_pool_options none;
    o = o ? o : &none;
    *w = (weft_window){{0}, {0}, {0}, {0}, {0}, {0}};
    bool good = weft__window_pair(o->kernel, o->kernel_w, 0, 1, w->kernel) &&
                weft__window_pair(o->stride, o->stride_w, w->kernel[0], 1, w->stride) &&
                weft__window_pair(o->padding, o->padding_w, 0, 0, w->padding) &&
                weft__window_pair(o->dilation, o->dilation_w, 1, 1, w->dilation) &&
                (max || (!o->dilation && !o->dilation_w));
    if (good && !o->stride && !o->stride_w)
        w->stride[1] = w->kernel[1];
    for (int d = 0; d < 2 && good; d++)
        good = 2 * w->padding[d] <= w->kernel[d];
    if (good)
        return WEFT_OK;
    return weft__fail(
        WEFT_EARG,
        "%s: kernel %lld, %lld, stride %lld, %lld, padding %lld, %lld, dilation %lld, "
        "%lld; extents are from 1 up and below 2^31, padding is from 0 to half the "
        "kernel, and averages know no dilation",
        who, (long long)o->kernel, (long long)o->kernel_w, (long long)o->stride,
        (long long)o->stride_w, (long long)o->padding, (long long)o->padding_w,
        (long long)o->dilation, (long long)o->dilation_w);
}

static weft_status images(weft_op_call *c)
{
    char text[WEFT__SHAPE_TEXT];
    const weft_view *x = &c->in[0];
    WEFT_TRY(weft__op_like(c));
    weft__window_rows(c, 1);
    return x->rank == 4 ? WEFT_OK
                        : weft_op_fail(c, WEFT_ESHAPE, "images %s; it takes (N,C,H,W)",
                                       weft__shape_text(x->rank, x->shape, text));
}

static weft_status shape(weft_op_call *c)
{
    attributes *a = c->attr;
    WEFT_TRY(images(c));
    if (a->how != WEFT_AVERAGE_ADAPTIVE)
        WEFT_TRY(weft__window_over(c, &a->window));
    for (int d = 0; d < 2; d++) {
        a->window.in[d] = c->in[0].shape[2 + d];
        c->out.shape[2 + d] = a->window.out[d];
        if (a->window.in[d] < 1)
            return weft_op_fail(c, WEFT_ESHAPE, "images have no elements");
    }
    return WEFT_OK;
}

static weft_status max_shape(weft_op_call *c)
{
    WEFT_TRY(shape(c));
    if (c->in[0].shape[2] * c->in[0].shape[3] > INT32_MAX)
        return weft_op_fail(c, WEFT_ESHAPE, "images of more than 2^31 - 1 elements");
    c->saved[PLACES] = c->out;
    c->saved[PLACES].dtype = WEFT_I32;
    return WEFT_OK;
}

static int64_t planes(const weft_op_call *c)
{
    return c->in[0].shape[0] * c->in[0].shape[1];
}

static weft_status max_forward(weft_op_call *c)
{
    const attributes *a = c->attr;
    return c->k->maxpool(c->stream, c->out.data, c->saved[PLACES].data, c->in[0].data, planes(c),
                         &a->window, c->out.dtype);
}

static weft_status max_backward(weft_op_call *c)
{
    const attributes *a = c->attr;
    return c->k->maxpool_back(c->stream, c->gin[0].data, c->gout.data, c->saved[PLACES].data,
                              planes(c), &a->window, c->gout.dtype);
}

static weft_status forward(weft_op_call *c)
{
    const attributes *a = c->attr;
    return c->k->avgpool(c->stream, c->out.data, c->in[0].data, a->how, planes(c), &a->window,
                         c->out.dtype);
}

static weft_status backward(weft_op_call *c)
{
    const attributes *a = c->attr;
    return c->k->avgpool_back(c->stream, c->gin[0].data, c->gout.data, a->how, planes(c),
                              &a->window, c->gout.dtype);
}

#define AVERAGE(word)                                                                              \
    {                                                                                              \
        .size = sizeof(weft_op), .name = word, .attr_size = sizeof(attributes), .contiguous = 1,   \
        .shape = shape, .forward = forward, .backward = backward                                   \
    }
static const weft_op average = AVERAGE("avg_pool2d"), adaptive = AVERAGE("adaptive_avg_pool2d");
static const weft_op largest = {.size = sizeof largest,
                                .name = "max_pool2d",
                                .attr_size = sizeof(attributes),
                                .contiguous = 1,
                                .shape = max_shape,
                                .forward = max_forward,
                                .backward = max_backward};

static weft_tensor *pool(const weft_op *op, weft_tensor *x, const weft_pool_options *o, bool max)
{
    weft_fabric *f = NULL;
    attributes a = {.how = o && o->exclude_padding ? WEFT_AVERAGE_INSIDE : WEFT_AVERAGE_PADDED};
    if (!weft__tensor_for(op->name, x, &f))
        return NULL;
    if (weft__pool_read(op->name, o, max, &a.window)) {
        weft__stick(f, WEFT_EARG);
        return NULL;
    }
    return weft_apply(f, op, 1, &x, &a);
}

weft_tensor *weft_max_pool2d(weft_tensor *x, const weft_pool_options *o)
{
    return pool(&largest, x, o, true);
}

weft_tensor *weft_avg_pool2d(weft_tensor *x, const weft_pool_options *o)
{
    return pool(&average, x, o, false);
}

weft_tensor *weft_adaptive_avg_pool2d(weft_tensor *x, int64_t height, int64_t width)
{
    weft_fabric *f = NULL;
    const attributes a = {.window.out = {height, width}, .how = WEFT_AVERAGE_ADAPTIVE};
    if (!weft__tensor_for(adaptive.name, x, &f))
        return NULL;
    if (height >= 1 && width >= 1 && height <= INT32_MAX && width <= INT32_MAX)
        return weft_apply(f, &adaptive, 1, &x, &a);
    weft__stick(f, weft__fail(WEFT_EARG, "%s: %lld x %lld parts; both are from 1 up and below 2^31",
                              adaptive.name, (long long)height, (long long)width));
    return NULL;
}
