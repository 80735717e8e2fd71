/* y = W * x + b over windows of images, by the products of matrices: of an image and a group of channels,
 * X (K,P) has the K = C/groups kh kw places of each of its P = H' W' windows, and
 *   Y = W X + b,  dW = sum over images dY X^T,  dX = W^T dY,  db = sum dY
 * X is made for some images at a time, and not kept for the gradient. Where each window is one place of its own,
 * X is x itself. */
#include "ops/window.h"

/* Bytes of X, but at least one image: what stays in a core's cache, or keeps a GPU busy. */
#define ROOM_HOST ((int64_t)4 << 20)
#define ROOM_DEVICE ((int64_t)64 << 20)

typedef struct plan {
    int64_t images, channels, groups;
    int64_t o, k, p; /* of one product: Y is (o,p), X (k,p) */
    int64_t some;    /* images at a time */
    bool direct;     /* X is x */
    weft_dtype sums; /* what is summed up in: f32 of 16 bits */
} plan;

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

/* True if window q is place q. */
static bool is_identity(const weft_window *o)
{
    for (int d = 0; d < 2; d++)
        if (o->kernel[d] != 1 || o->stride[d] != 1 || o->padding[d] != 0)
            return false;
    return true;
}

static plan plan_of(const weft_op_call *c)
{
    const weft__conv *t = c->attr;
    const weft_view *x = &c->in[0], *w = &c->in[1];
    const weft_dtype dt = x->dtype;
    plan p = {.images = x->shape[0],
              .channels = x->shape[1],
              .groups = t->groups,
              .o = w->shape[0] / t->groups,
              .k = w->shape[1] * w->shape[2] * w->shape[3],
              .p = t->window.out[0] * t->window.out[1],
              .direct = is_identity(&t->window),
              .sums = weft_dtype_size(dt) == 2 ? WEFT_F32 : dt};
    const double bytes =
        (double)(p.groups * p.k) * (double)(p.p + p.o) * (double)weft_dtype_size(p.sums);
    const double most = (double)(c->device->ops->host ? ROOM_HOST : ROOM_DEVICE);
    p.some = bytes < most ? (int64_t)(most / bytes) : 1;
    p.some = p.some < p.images ? p.some : p.images;
    return p;
}

/* Memory for `rows` x `columns` numbers of each image in work. */
static weft_status room(const weft_op_call *c, const plan *p, int64_t rows, int64_t columns,
                        weft_dtype t, weft_view *out)
{
    *out = (weft_view){.dtype = t, .rank = 3, .shape = {p->some, rows, columns}};
    return weft__scratch_view(c->fabric, out);
}

/* How many images of those from `first` on are worked on. */
static int64_t count(const plan *p, int64_t first)
{
    return p->images - first < p->some ? p->images - first : p->some;
}

/* X of n images from `first` on, in `to` unless x has it. */
static weft_status lay_out(const weft_op_call *c, const plan *p, int64_t first, int64_t n,
                           weft_dev to, weft_dev *x)
{
    const weft__conv *t = c->attr;
    const int64_t plane = t->window.in[0] * t->window.in[1];
    const weft_dev from = weft__op_at(&c->in[0], first * p->channels * plane);
    *x = p->direct ? from : to;
    return p->direct
               ? WEFT_OK
               : c->k->im2col(c->stream, to, from, n * p->channels, &t->window, c->in[0].dtype);
}

/* The strides over images and groups of what has `size` numbers for each of both. */
#define OVER(p, size) ((int64_t[2]){(p)->groups * (size), (size)})

static weft_status add_bias(const weft_op_call *c, const plan *p, weft_dev y, weft_dev bias,
                            int64_t n, weft_dtype t)
{
    const int64_t outputs = p->groups * p->o, shape[3] = {n, outputs, p->p};
    const int64_t ystride[3] = {outputs * p->p, p->p, 1}, stride[3] = {0, 1, 0};
    return c->k->binary(c->stream, WEFT_ADD, y, y, ystride, bias, stride, 3, shape, t);
}

/* The product and the bias of n images; of 16 bits by way of `wide`, so that they are rounded once. */
static weft_status multiply(const weft_op_call *c, const plan *p, weft_dev x, int64_t first,
                            int64_t n, const weft_view *wide, weft_dev bias)
{
    const weft_dev y = weft__op_at(&c->out, first * p->groups * p->o * p->p);
    const weft_dev to = wide->data.addr ? wide->data : y;
    const weft_dtype t = wide->data.addr ? wide->dtype : c->out.dtype;
    const int64_t shape[2] = {n, p->groups}, one = 1, all = n * p->groups * p->o * p->p;
    WEFT_TRY(c->k->gemm_batch(c->stream, to, t, c->in[1].data, (int64_t[2]){0, p->o * p->k}, 0, x,
                              OVER(p, p->k * p->p), 0, 2, shape, p->o, p->p, p->k, c->out.dtype));
    if (bias.addr)
        WEFT_TRY(add_bias(c, p, to, bias, n, t));
    return to.addr == y.addr ? WEFT_OK
                             : c->k->copy(c->stream, y, c->out.dtype, &one, to, t, &one, 1, &all);
}

/* The bias in the type in which it is added, and memory for sums of that type if it is not the result's. */
static weft_status widen(const weft_op_call *c, const plan *p, weft_view *bias, weft_view *wide)
{
    const weft_view *b = &c->in[2];
    *bias = *b;
    if (p->sums == b->dtype)
        return WEFT_OK;
    bias->dtype = p->sums;
    WEFT_TRY(weft__scratch_view(c->fabric, bias));
    WEFT_TRY(room(c, p, p->groups * p->o, p->p, p->sums, wide));
    return c->k->copy(c->stream, bias->data, bias->dtype, bias->stride, b->data, b->dtype,
                      b->stride, 1, b->shape);
}

static weft_status forward(weft_op_call *c)
{
    const plan p = plan_of(c);
    const weft__mark mark = weft__engine_mark(c->fabric);
    weft_view columns = {.dtype = c->out.dtype}, wide = {.dtype = WEFT_F32}, bias = {.rank = 0};
    weft_dev x;
    if (!p.direct)
        WEFT_TRY(room(c, &p, p.groups * p.k, p.p, c->out.dtype, &columns));
    if (c->nin == 3)
        WEFT_TRY(widen(c, &p, &bias, &wide));
    for (int64_t i = 0; i < p.images; i += p.some) {
        WEFT_TRY(lay_out(c, &p, i, count(&p, i), columns.data, &x));
        WEFT_TRY(multiply(c, &p, x, i, count(&p, i), &wide, bias.data));
    }
    weft__engine_rewind(c->fabric, mark);
    return WEFT_OK;
}

static weft_status bias_back(const weft_op_call *c, const plan *p)
{
    const int64_t outputs = p->groups * p->o, shape[3] = {p->images, outputs, p->p};
    const int64_t ystride[3] = {0, 1, 0}, stride[3] = {outputs * p->p, p->p, 1};
    return c->k->sum(c->stream, c->gin[2].data, c->gin[2].dtype, ystride, 1.0, c->gout.data, stride,
                     3, shape, c->gout.dtype);
}

/* g += dW of n images; each has a product of its own, and they are summed up. */
static weft_status weight_back(const weft_op_call *c, const plan *p, weft_dev columns,
                               int64_t first, int64_t n, const weft_view *each, const weft_view *g)
{
    weft_dev x;
    const weft_dev gy = weft__op_at(&c->gout, first * p->groups * p->o * p->p);
    const int64_t size = p->groups * p->o * p->k, shape[2] = {n, p->groups}, all[2] = {n, size};
    const int64_t ystride[2] = {0, 1}, stride[2] = {size, 1};
    const weft_dev sum = weft__op_at(each, p->some * size);
    WEFT_TRY(lay_out(c, p, first, n, columns, &x));
    WEFT_TRY(c->k->gemm_batch(c->stream, each->data, each->dtype, gy, OVER(p, p->o * p->p), 0, x,
                              OVER(p, p->k * p->p), 1, 2, shape, p->o, p->k, p->p, c->gout.dtype));
    WEFT_TRY(c->k->sum(c->stream, sum, each->dtype, ystride, 1.0, each->data, stride, 2, all,
                       each->dtype));
    return c->k->axpy(c->stream, g->data, 1.0, sum, size, g->dtype);
}

/* dX of n images, and from it dx. */
static weft_status image_back(const weft_op_call *c, const plan *p, const weft_view *columns,
                              int64_t first, int64_t n)
{
    const weft__conv *t = c->attr;
    const int64_t shape[2] = {n, p->groups};
    const weft_dev gy = weft__op_at(&c->gout, first * p->groups * p->o * p->p);
    const weft_dev gx =
        weft__op_at(&c->gin[0], first * p->channels * t->window.in[0] * t->window.in[1]);
    const weft_view *to = p->direct ? &c->gin[0] : columns;
    WEFT_TRY(c->k->gemm_batch(c->stream, p->direct ? gx : to->data, to->dtype, c->in[1].data,
                              (int64_t[2]){0, p->o * p->k}, 1, gy, OVER(p, p->o * p->p), 0, 2,
                              shape, p->k, p->p, p->o, c->gout.dtype));
    return p->direct ? WEFT_OK
                     : c->k->col2im(c->stream, gx, to->data, n * p->channels, &t->window,
                                    c->gin[0].dtype);
}

static weft_status backward(weft_op_call *c)
{
    const plan p = plan_of(c);
    const weft__mark mark = weft__engine_mark(c->fabric);
    weft_view columns = {.dtype = p.sums}, each = {.dtype = p.sums}, g = {.dtype = p.sums};
    if (!p.direct && (c->want[0] || c->want[1]))
        WEFT_TRY(room(c, &p, p.groups * p.k, p.p, p.sums, &columns));
    if (c->want[1]) {
        each = (weft_view){.dtype = p.sums,
                           .rank = 2,
                           .shape = {p.some + 1, p.groups * p.o * p.k}}; /* and their sum */
        WEFT_TRY(weft__scratch_view(c->fabric, &each));
        WEFT_TRY(weft__op_sums(c, 1, &g));
        WEFT_TRY(c->device->ops->zero(c->stream, g.data, weft__view_bytes(&g)));
    }
    for (int64_t i = 0; i < p.images; i += p.some) {
        if (c->want[1])
            WEFT_TRY(weight_back(c, &p, columns.data, i, count(&p, i), &each, &g));
        if (c->want[0])
            WEFT_TRY(image_back(c, &p, &columns, i, count(&p, i)));
    }
    if (c->want[1])
        WEFT_TRY(weft__op_round(c, 1, &g));
    if (c->nin == 3 && c->want[2])
        WEFT_TRY(bias_back(c, &p));
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
