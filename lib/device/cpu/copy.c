/* Copies with strides and a cast, and fills. Equal types are moved as bytes. Others pass through
 * f64 (from floating point, exact) or i64 (from integers, exact) and are rounded once: to nearest
 * even; to an integer towards zero, saturated, NaN to 0; between integers modulo 2^bits. */
#include "device/cpu/cpu.h"
#include "device/cpu/half.h"
#include "device/cpu/walk.h"

#define CHUNK 256

typedef union wide {
    double f[CHUNK];
    int64_t i[CHUNK];
} wide;

/* Element i of n with stride s, and the same for stride 1, which vectors can do. */
#define EACH(statement)                                                                            \
    do {                                                                                           \
        if (s == 1) {                                                                              \
            const int64_t s = 1;                                                                   \
            for (int64_t i = 0; i < n; i++)                                                        \
                statement;                                                                         \
        } else {                                                                                   \
            for (int64_t i = 0; i < n; i++)                                                        \
                statement;                                                                         \
        }                                                                                          \
    } while (0)
#define LOAD(T, to, CONVERT) EACH((to)[i] = CONVERT(((const T *)x)[i * s]))
#define STORE(T, from, CONVERT) EACH(((T *)y)[i * s] = (T)CONVERT((from)[i]))

static bool is_integer(weft_dtype t)
{
    return t == WEFT_I32 || t == WEFT_I64 || t == WEFT_U8;
}

static void load(wide *w, const void *x, weft_dtype t, int64_t s, int64_t n)
{
    switch (t) {
    case WEFT_F32:
        LOAD(float, w->f, );
        break;
    case WEFT_F64:
        LOAD(double, w->f, );
        break;
    case WEFT_F16:
        LOAD(uint16_t, w->f, half_wide_f16);
        break;
    case WEFT_BF16:
        LOAD(uint16_t, w->f, half_wide_bf16);
        break;
    case WEFT_I32:
        LOAD(int32_t, w->i, );
        break;
    case WEFT_I64:
        LOAD(int64_t, w->i, );
        break;
    default:
        LOAD(uint8_t, w->i, );
        break;
    }
}

static double clamp(double v, double lo, double hi)
{
    return isnan(v) ? 0 : v < lo ? lo : v > hi ? hi : v;
}

static int32_t to_i32(double v)
{
    return (int32_t)clamp(v, INT32_MIN, INT32_MAX);
}

static int64_t to_i64(double v)
{
    return v >= 0x1p63 ? INT64_MAX : (int64_t)clamp(v, -0x1p63, 0x1p63);
}

static uint8_t to_u8(double v)
{
    return (uint8_t)clamp(v, 0, UINT8_MAX);
}

static void store_f64(void *y, weft_dtype t, int64_t s, const double *from, int64_t n)
{
    switch (t) {
    case WEFT_F32:
        STORE(float, from, );
        break;
    case WEFT_F64:
        STORE(double, from, );
        break;
    case WEFT_F16:
        STORE(uint16_t, from, half_to_f16);
        break;
    case WEFT_BF16:
        STORE(uint16_t, from, half_to_bf16);
        break;
    case WEFT_I32:
        STORE(int32_t, from, to_i32);
        break;
    case WEFT_I64:
        STORE(int64_t, from, to_i64);
        break;
    default:
        STORE(uint8_t, from, to_u8);
        break;
    }
}

static void store_i64(void *y, weft_dtype t, int64_t s, const int64_t *from, int64_t n)
{
    switch (t) {
    case WEFT_I32:
        STORE(int32_t, from, );
        break;
    case WEFT_I64:
        STORE(int64_t, from, );
        break;
    default:
        STORE(uint8_t, from, );
        break;
    }
}

/* v as a double that rounds on as v itself would: bits that do not fit leave a sticky one. */
static double sticky(int64_t v)
{
    uint64_t a = v < 0 ? -(uint64_t)v : (uint64_t)v;
    if (a >> 53)
        a = (a & ~UINT64_C(0x7FF)) | (uint64_t)((a & 0x7FF) != 0) << 11;
    return v < 0 ? -(double)a : (double)a;
}

/* Between f32 and 16 bits, one behind the other. False: it is another cast. */
static bool narrow(void *y, weft_dtype yt, const void *x, weft_dtype xt, int64_t n)
{
    const weft__half_set *set = weft__half_best();
    if (xt == WEFT_F32 && yt == WEFT_BF16)
        set->low_bf16(y, x, n);
    else if (xt == WEFT_F32 && yt == WEFT_F16)
        set->low_f16(y, x, n);
    else if (xt == WEFT_BF16 && yt == WEFT_F32)
        set->wide_bf16(y, x, n);
    else if (xt == WEFT_F16 && yt == WEFT_F32)
        set->wide_f16(y, x, n);
    else
        return false;
    return true;
}

static void cast(void *y, weft_dtype yt, int64_t ys, const void *x, weft_dtype xt, int64_t xs,
                 int64_t n)
{
    wide in, out;
    load(&in, x, xt, xs, n);
    if (!is_integer(xt)) {
        store_f64(y, yt, ys, in.f, n);
    } else if (is_integer(yt)) {
        store_i64(y, yt, ys, in.i, n);
    } else {
        for (int64_t i = 0; i < n; i++)
            out.f[i] = yt == WEFT_F64 ? (double)in.i[i] : sticky(in.i[i]);
        store_f64(y, yt, ys, out.f, n);
    }
}

#define MOVE(T)                                                                                    \
    for (int64_t i = 0; i < n; i++)                                                                \
    ((T *)y)[i * ys] = ((const T *)x)[i * xs]

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
    weft__walk walk;
};

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
        } else if (ys != 1 || xs != 1 || !narrow(y, c->yt, x, c->xt, n)) {
            n = n < CHUNK ? n : CHUNK;
            cast(y, c->yt, ys, x, c->xt, xs, n);
        }
    }
}

weft_status weft__cpu_copy(weft_stream *s, weft_dev y, weft_dtype yt, const int64_t *ystride,
                           weft_dev x, weft_dtype xt, const int64_t *xstride, int rank,
                           const int64_t *shape)
{
    const int64_t *const stride[] = {ystride, xstride};
    struct copy c = {
        cpu_ptr(y), cpu_ptr(x), yt, xt, (int64_t)weft_dtype_size(yt), (int64_t)weft_dtype_size(xt),
        {0}};
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
    store_f64(f.value, t, 1, &value, 1);
    weft__cpu_elements(s->device, fill_range, &f, n, 1);
    return WEFT_OK;
}
