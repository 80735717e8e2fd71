/* Copies with strides and a cast, and fills. Equal types are moved as bytes. */
#include "device/cpu/cpu.h"
#include "device/cpu/half.h"
#include "device/cpu/walk.h"

#define CHUNK 1024 /* numbers that strides have apart are brought together so many at a time */

#define MOVE(T)                                                                                    \
    do {                                                                                           \
        T *to = y;                                                                                 \
        const T *from = x, one = *from;                                                            \
        if (ys == 1 && xs == 0)                                                                    \
            _Pragma("omp simd") for (int64_t i = 0; i < n; i++) to[i] = one;                       \
        else                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                        \
                to[i * ys] = from[i * xs];                                                         \
    } while (0)

static void move(void *y, int64_t ys, const void *x, int64_t xs, int64_t n, size_t size)
{
    if (ys == 1 && xs == 1) {
        memcpy(y, x, (size_t)n * size);
        return;
    }
    switch (size) {
    case 8:
        MOVE(uint64_t);
        break;
    case 4:
        MOVE(uint32_t);
        break;
    case 2:
        MOVE(uint16_t);
        break;
    default:
        MOVE(uint8_t);
        break;
    }
}

struct copy {
    char *y;
    const char *x;
    weft_dtype yt, xt;
    int64_t ysize, xsize;
    weft__cpu_body *cast;
    weft__walk walk;
};

/* n, at most CHUNK unless both lie one behind the other. */
static void cast(const struct copy *c, char *y, int64_t ys, const char *x, int64_t xs, int64_t n)
{
    int64_t in[CHUNK], out[CHUNK];
    if (xs != 1)
        move(in, 1, x, xs, n, (size_t)c->xsize);
    c->cast(
        &(weft__cpu_cast){ys == 1 ? (void *)y : out, xs == 1 ? (const void *)x : in, c->yt, c->xt},
        0, n);
    if (ys != 1)
        move(y, ys, out, 1, n, (size_t)c->ysize);
}

static void copy_range(const void *args, int64_t lo, int64_t hi)
{
    const struct copy *c = args;
    const weft__walk *w = &c->walk;
    const int64_t ys = w->stride[0][w->rank - 1], xs = w->stride[1][w->rank - 1];
    weft__place p = weft__walk_seek(w, lo);
    for (int64_t n; lo < hi; lo += n, weft__walk_step(w, &p, n)) {
        char *y = c->y + p.at[0] * c->ysize;
        const char *x = c->x + p.at[1] * c->xsize;
        n = weft__walk_run(w, &p, hi - lo);
        if (c->yt == c->xt) {
            move(y, ys, x, xs, n, (size_t)c->ysize);
        } else {
            n = n < CHUNK || (ys == 1 && xs == 1) ? n : CHUNK;
            cast(c, y, ys, x, xs, n);
        }
    }
}

weft_status weft__cpu_copy(weft_stream *s, weft_dev y, weft_dtype yt, const int64_t *ystride,
                           weft_dev x, weft_dtype xt, const int64_t *xstride, int rank,
                           const int64_t *shape)
{
    const int64_t *const stride[] = {ystride, xstride};
    struct copy c = {.y = cpu_ptr(y),
                     .x = cpu_ptr(x),
                     .yt = yt,
                     .xt = xt,
                     .ysize = (int64_t)weft_dtype_size(yt),
                     .xsize = (int64_t)weft_dtype_size(xt),
                     .cast = weft__cpu_caster(s->device, xt)};
    if (!c.ysize || !c.xsize)
        return weft__no_kernel(s->device, "copy", c.ysize ? xt : yt);
    weft__walk_of(&c.walk, 2, rank, shape, stride);
    weft__cpu_elements(s->device, copy_range, &c, c.walk.numel, yt == xt ? 1 : 4);
    return WEFT_OK;
}

struct fill {
    char *y;
    int64_t size;
    _Alignas(8) char value[8];
};

static void fill_range(const void *args, int64_t lo, int64_t hi)
{
    const struct fill *f = args;
    char *y = f->y + lo * f->size;
    const int64_t n = hi - lo;
    /* a value under a stride of 0 */
    move(y, 1, f->value, 0, n, (size_t)f->size);
}

weft_status weft__cpu_fill(weft_stream *s, weft_dev y, int64_t n, double value, weft_dtype t)
{
    struct fill f = {.y = cpu_ptr(y), .size = (int64_t)weft_dtype_size(t)};
    if (!f.size)
        return weft__no_kernel(s->device, "fill", t);
    weft__cpu_caster(s->device, WEFT_F64)(&(weft__cpu_cast){f.value, &value, t, WEFT_F64}, 0, 1);
    weft__cpu_elements(s->device, fill_range, &f, n, 1);
    return WEFT_OK;
}
