/* y = W * x + b over windows of images, by the products of matrices: of an image and a group of channels,
 * X (K,P) has the K = C/groups kh kw places of each of its P = H' W' windows, and
 *   Y = W X + b,  dW = sum over images dY X^T,  dX = W^T dY
 * X is made for some images at a time, and not kept for the gradient. Where each window is one place of its own,
 * X is x itself. */
#include "device/conv.h"

#include "core/error.h"
#include "device/device.h"

/* Bytes of X, but at least one image: what stays in a core's cache, or keeps a GPU busy. */
#define ROOM_HOST ((int64_t)4 << 20)
#define ROOM_DEVICE ((int64_t)64 << 20)
#define ALIGN 64

typedef struct plan {
    const weft_kernels *k;
    weft_stream *s;
    const weft_conv_terms *t;
    int64_t o, k_, p; /* of one product: Y is (o,p), X (k,p) */
    bool direct;      /* X is x */
    weft_dtype dt;
    weft_dtype sums; /* what is summed up in: f32 of 16 bits */
    weft_dev room;   /* what is left of it */
} plan;

/* True if window q is place q. */
static bool is_identity(const weft_window *o)
{
    for (int d = 0; d < 2; d++)
        if (o->kernel[d] != 1 || o->stride[d] != 1 || o->padding[d] != 0)
            return false;
    return true;
}

static plan plan_of(const weft_kernels *k, weft_stream *s, const weft_conv_terms *t, weft_dev room,
                    weft_dtype dt)
{
    return (plan){.k = k,
                  .s = s,
                  .t = t,
                  .o = t->o / t->groups,
                  .k_ = t->c / t->groups * t->window.kernel[0] * t->window.kernel[1],
                  .p = t->window.out[0] * t->window.out[1],
                  .direct = is_identity(&t->window),
                  .dt = dt,
                  .sums = weft_dtype_size(dt) == 2 ? WEFT_F32 : dt,
                  .room = room};
}

static int64_t bytes_of(int64_t n, weft_dtype t)
{
    return (n * (int64_t)weft_dtype_size(t) + ALIGN - 1) / ALIGN * ALIGN;
}

void weft__convolve_plan(weft_conv_terms *t, bool host, int threads, weft_dtype dt)
{
    const plan p = plan_of(NULL, NULL, t, (weft_dev){0}, dt);
    const double bytes =
        (double)(t->groups * p.k_) * (double)(p.p + p.o) * (double)weft_dtype_size(p.sums);
    const double most = (double)(host ? ROOM_HOST : ROOM_DEVICE);
    t->some = bytes < most ? (int64_t)(most / bytes) : 1;
    t->some = t->some < t->n ? t->some : t->n;
    const int64_t columns = bytes_of(t->some * t->groups * p.k_ * p.p, p.sums),
                  wide = bytes_of(t->some * t->o * p.p, p.sums) + bytes_of(t->o, p.sums),
                  each = bytes_of((t->some + 1) * t->o * p.k_, p.sums);
    const int64_t own = weft__cpu_conv_room(t, threads, dt);
    t->room = columns + (wide > each ? wide : each);
    t->room = t->room > own ? t->room : own;
}

/* So many numbers of the room. */
static weft_dev take(plan *p, int64_t n, weft_dtype t)
{
    const weft_dev at = p->room;
    p->room = weft__at(at, bytes_of(n, t));
    return at;
}

static weft_dev at(weft_dev of, int64_t n, weft_dtype t)
{
    return weft__at(of, n * (int64_t)weft_dtype_size(t));
}

/* How many images of those from `first` on are worked on. */
static int64_t count(const plan *p, int64_t first)
{
    return p->t->n - first < p->t->some ? p->t->n - first : p->t->some;
}

/* X of n images from `first` on, in `to` unless x has it. */
static weft_status lay_out(const plan *p, weft_dev from, int64_t first, int64_t n, weft_dev to,
                           weft_dev *x)
{
    const weft_window *w = &p->t->window;
    from = at(from, first * p->t->c * w->in[0] * w->in[1], p->dt);
    *x = p->direct ? from : to;
    return p->direct ? WEFT_OK : p->k->im2col(p->s, to, from, n * p->t->c, w, p->dt);
}

/* The strides over images and groups of what has `size` numbers for each of both. */
#define OVER(p, size) ((int64_t[2]){(p)->t->groups * (size), (size)})

static weft_status add_bias(const plan *p, weft_dev y, weft_dev bias, int64_t n, weft_dtype t)
{
    const int64_t outputs = p->t->o, shape[3] = {n, outputs, p->p};
    const int64_t ystride[3] = {outputs * p->p, p->p, 1}, stride[3] = {0, 1, 0};
    return p->k->binary(p->s, WEFT_ADD, y, y, ystride, bias, stride, 3, shape, t);
}

/* The product and the bias of n images; of 16 bits by way of `wide`, so that they are rounded once. */
static weft_status multiply(const plan *p, weft_dev y, weft_dev w, weft_dev x, int64_t n,
                            weft_dev wide, weft_dev bias)
{
    const weft_dev to = wide.addr ? wide : y;
    const weft_dtype t = wide.addr ? p->sums : p->dt;
    const int64_t shape[2] = {n, p->t->groups}, one = 1, all = n * p->t->o * p->p;
    WEFT_TRY(p->k->gemm_batch(p->s, to, t, w, (int64_t[2]){0, p->o * p->k_}, 0, x,
                              OVER(p, p->k_ * p->p), 0, 2, shape, p->o, p->p, p->k_, p->dt));
    if (bias.addr)
        WEFT_TRY(add_bias(p, to, bias, n, t));
    return to.addr == y.addr ? WEFT_OK : p->k->copy(p->s, y, p->dt, &one, to, t, &one, 1, &all);
}

/* The bias in the type in which it is added, and memory for sums of that type if it is not the result's. */
static weft_status widen(plan *p, weft_dev *bias, weft_dev *wide)
{
    const int64_t one = 1;
    const weft_dev low = *bias;
    if (!low.addr || p->sums == p->dt)
        return WEFT_OK;
    *bias = take(p, p->t->o, p->sums);
    *wide = take(p, p->t->some * p->t->o * p->p, p->sums);
    return p->k->copy(p->s, *bias, p->sums, &one, low, p->dt, &one, 1, &p->t->o);
}

weft_status weft__convolve(const weft_kernels *k, weft_stream *s, weft_dev y, weft_dev x,
                           weft_dev w, weft_dev b, weft_dev room, const weft_conv_terms *t,
                           weft_dtype dt)
{
    plan p = plan_of(k, s, t, room, dt);
    weft_dev columns = {0}, wide = {0}, of;
    if (!p.direct)
        columns = take(&p, t->some * t->groups * p.k_ * p.p, dt);
    WEFT_TRY(widen(&p, &b, &wide));
    for (int64_t i = 0; i < t->n; i += t->some) {
        WEFT_TRY(lay_out(&p, x, i, count(&p, i), columns, &of));
        WEFT_TRY(multiply(&p, at(y, i * t->o * p.p, dt), w, of, count(&p, i), wide, b));
    }
    return WEFT_OK;
}

/* g += dW of n images; each has a product of its own, and they are summed up. */
static weft_status weight_back(const plan *p, weft_dev g, weft_dev gy, weft_dev x, weft_dev each,
                               int64_t n)
{
    const int64_t size = p->t->o * p->k_, shape[2] = {n, p->t->groups}, all[2] = {n, size};
    const int64_t ystride[2] = {0, 1}, stride[2] = {size, 1};
    const weft_dev sum = at(each, p->t->some * size, p->sums);
    WEFT_TRY(p->k->gemm_batch(p->s, each, p->sums, gy, OVER(p, p->o * p->p), 0, x,
                              OVER(p, p->k_ * p->p), 1, 2, shape, p->o, p->k_, p->p, p->dt));
    WEFT_TRY(p->k->sum(p->s, sum, p->sums, ystride, 1.0, each, stride, 2, all, p->sums));
    return p->k->axpy(p->s, g, 1.0, sum, size, p->sums);
}

/* dX of n images, and from it dx. */
static weft_status image_back(const plan *p, weft_dev gx, weft_dtype xt, weft_dev gy, weft_dev w,
                              weft_dev columns, int64_t n)
{
    const int64_t shape[2] = {n, p->t->groups};
    WEFT_TRY(p->k->gemm_batch(p->s, p->direct ? gx : columns, p->direct ? xt : p->sums, w,
                              (int64_t[2]){0, p->o * p->k_}, 1, gy, OVER(p, p->o * p->p), 0, 2,
                              shape, p->k_, p->p, p->o, p->dt));
    return p->direct ? WEFT_OK : p->k->col2im(p->s, gx, columns, n * p->t->c, &p->t->window, xt);
}

weft_status weft__convolve_back(const weft_kernels *k, weft_stream *s, weft_dev gx, weft_dtype xt,
                                weft_dev gw, weft_dev gy, weft_dev x, weft_dev w, weft_dev room,
                                const weft_conv_terms *t, weft_dtype dt)
{
    plan p = plan_of(k, s, t, room, dt);
    const int64_t plane = t->window.in[0] * t->window.in[1];
    weft_dev columns = {0}, each = {0}, of;
    if (!p.direct)
        columns = take(&p, t->some * t->groups * p.k_ * p.p, p.sums);
    if (gw.addr) {
        each = take(&p, (t->some + 1) * t->o * p.k_, p.sums); /* and their sum */
        WEFT_TRY(k->fill(s, gw, t->o * p.k_, 0, p.sums));
    }
    for (int64_t i = 0; i < t->n; i += t->some) {
        const int64_t n = count(&p, i);
        const weft_dev from = at(gy, i * t->o * p.p, dt);
        if (gw.addr) {
            WEFT_TRY(lay_out(&p, x, i, n, columns, &of));
            WEFT_TRY(weight_back(&p, gw, from, of, each, n));
        }
        if (gx.addr)
            WEFT_TRY(image_back(&p, at(gx, i * t->c * plane, xt), xt, from, w, columns, n));
    }
    return WEFT_OK;
}
