/* Coding in 8 bits, and products of codes, as a GPU computes them: for the device mock. What is multiplied is
 * exact in f32, so that the sums are those of a GPU but for their order. */
#ifdef T

#ifdef FIRST
/* By its bits, of which a NaN's are the largest. */
static uint32_t N(largest)(const void *x, int64_t n)
{
    uint32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t size = float8_bits((float)LOAD(((const T *)x)[i])) & 0x7FFFFFFF;
        most = size > most ? size : most;
    }
    return most;
}
#endif

/* Rows lo..hi-1. */
static void N(code)(const void *args, int64_t lo, int64_t hi)
{
    const struct coding *a = args;
    const T *x = a->x;
    for (int64_t r = lo; r < hi; r++)
        for (int64_t j = 0; j < a->c; j++) {
            const uint8_t q = float8_of((float)LOAD(x[r * a->c + j]) * a->factor, a->format);
            if (a->q)
                a->q[r * a->c + j] = q;
            if (a->qt)
                a->qt[j * a->rows + r] = q;
        }
}

#else

#include "core/alloc.h"
#include "core/error.h"
#include "device/cpu/cpu.h"
#include "device/float8.h"

struct coding {
    const void *x;
    uint8_t *q, *qt;
    int64_t rows, c;
    float factor;
    int format;
};

#define CPU_LOW
#define CPU_FAMILY "device/cpu/float8.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_code8(weft_stream *s, weft_dev q, weft_dev qt, weft_dev scale, weft_dev x,
                            int format, int64_t rows, int64_t c, weft_dtype dt)
{
    const int64_t n = rows * c;
    const void *from = cpu_ptr(x);
    float *out = cpu_ptr(scale);
    if (!cpu_gives(dt, dt))
        return weft__no_kernel(s->device, "code8", dt);
    const uint32_t most = dt == WEFT_BF16  ? largest_bf16_plain(from, n)
                          : dt == WEFT_F16 ? largest_f16_plain(from, n)
                          : dt == WEFT_F64 ? largest_f64_plain(from, n)
                                           : largest_f32_plain(from, n);
    const struct coding a = {.x = from,
                             .q = cpu_ptr(q),
                             .qt = cpu_ptr(qt),
                             .rows = rows,
                             .c = c,
                             .factor = float8_factor(float8_float(most), format),
                             .format = format};
    out[0] = float8_scale(float8_float(most), format);
    out[1] = float8_float(most);
    return weft__cpu_each_row(s, CPU_FLOATS(code), dt, &a, rows, c);
}

static void decode(float *y, const uint8_t *q, int64_t n, int format)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = float8_as(q[i], format);
}

static weft_dev at(float *p)
{
    return (weft_dev){(uintptr_t)p};
}

/* sum = A B^T, and the bias where there is one, in f32. */
static weft_status multiply(weft_stream *s, float *sum, float *a, float *b, double alpha,
                            weft_dev bias, int64_t m, int64_t n, int64_t k, weft_dtype ct)
{
    const int64_t to[2] = {n, 1}, from[2] = {0, 1}, shape[2] = {m, n};
    if (bias.addr)
        WEFT_TRY(weft__cpu_copy(s, at(sum), WEFT_F32, to, bias, ct, from, 2, shape));
    return weft__cpu_gemm(s, at(sum), WEFT_F32, n, alpha, at(a), k, 0, at(b), k, 1,
                          bias.addr ? 1.0 : 0.0, m, n, k, WEFT_F32);
}

weft_status weft__cpu_gemm8(weft_stream *s, weft_dev c, weft_dtype ct, weft_dev a, weft_dev ascale,
                            int aformat, weft_dev b, weft_dev bscale, int bformat, weft_dev bias,
                            int64_t m, int64_t n, int64_t k)
{
    const int64_t to[2] = {n, 1}, shape[2] = {m, n};
    const double alpha = (double)*(float *)cpu_ptr(ascale) * (double)*(float *)cpu_ptr(bscale);
    float *room = weft__new((size_t)(m * k + n * k + m * n + 1), sizeof *room);
    if (!room)
        return WEFT_ENOMEM;
    float *wide_a = room, *wide_b = wide_a + m * k, *sum = wide_b + n * k;
    decode(wide_a, cpu_ptr(a), m * k, aformat);
    decode(wide_b, cpu_ptr(b), n * k, bformat);
    weft_status code = multiply(s, sum, wide_a, wide_b, alpha, bias, m, n, k, ct);
    if (!code)
        code = weft__cpu_copy(s, c, ct, to, at(sum), WEFT_F32, to, 2, shape);
    weft__free(room);
    return code;
}
#endif
