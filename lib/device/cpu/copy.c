/* Copies with strides and a cast, and fills. Equal types are moved as bytes. */
#include "device/cpu/blocks.h"
#include "device/cpu/cpu.h"

#include <string.h>

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
    weft_dtype yt, xt;
    weft__cpu_body *cast;
    weft__blocks blocks;
};

/* n, at most BLOCK_ROOM, ys apart. */
static void copy_line(const struct copy *c, void *y, int64_t ys, const void *x, int64_t n)
{
    const size_t size = (size_t)c->blocks.size[0];
    int64_t room[BLOCK_ROOM];
    void *to = ys == 1 ? y : room;
    if (c->yt != c->xt)
        c->cast(&(weft__cpu_cast){to, x, c->yt, c->xt}, 0, n);
    else if (ys == 1)
        memcpy(y, x, (size_t)n * size);
    if (ys != 1)
        move(y, ys, c->yt == c->xt ? x : room, 1, n, size);
}

static void copy_range(const void *args, int64_t lo, int64_t hi)
{
    const struct copy *c = args;
    const int64_t ys = c->blocks.joined ? 1 : c->blocks.across[0] / c->blocks.size[0];
    weft__block k;
    for (weft__block_seek(&c->blocks, &k, lo); lo < hi; lo++, weft__block_step(&c->blocks, &k))
        for (int64_t r = 0; r < k.rows; r++)
            copy_line(c, weft__block_line(&k, 0, r), ys, weft__block_line(&k, 1, r), k.n);
}

weft_status weft__cpu_copy(weft_stream *s, weft_dev y, weft_dtype yt, const int64_t *ystride,
                           weft_dev x, weft_dtype xt, const int64_t *xstride, int rank,
                           const int64_t *shape)
{
    const weft__strided array[] = {{cpu_ptr(y), ystride, weft_dtype_size(yt)},
                                   {cpu_ptr(x), xstride, weft_dtype_size(xt)}};
    struct copy c; /* large: what is not read is not set */
    c.yt = yt;
    c.xt = xt;
    c.cast = weft__cpu_caster(s->device, xt);
    if (!array[0].size || !array[1].size)
        return weft__no_kernel(s->device, "copy", array[0].size ? xt : yt);
    weft__blocks_of(&c.blocks, 2, array, rank, shape);
    weft__cpu_rows(s->device, copy_range, &c, c.blocks.grid.numel, BLOCK_ROOM);
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
