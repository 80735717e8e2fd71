/* The largest or smallest along the middle of (outer, n, inner), and where it is first. */
#ifdef T

/* True if v takes the place of best: NaN beats all but another. */
static inline bool N(beats)(C v, C best, int largest)
{
    return OF(is_nan)(v) ? !OF(is_nan)(best) : largest ? v > best : v < best;
}

/* `width` neighbouring outputs, whose elements lie `step` apart. */
static void N(search)(const T *x, int64_t n, int64_t step, int64_t width, int largest, C *best,
                      int64_t *at)
{
    for (int64_t i = 0; i < width; i++) {
        best[i] = LOAD(x[i]);
        at[i] = 0;
    }
    for (int64_t j = 1; j < n; j++)
        for (int64_t i = 0; i < width; i++) {
            const C v = LOAD(x[j * step + i]);
            if (N(beats)(v, best[i], largest)) {
                best[i] = v;
                at[i] = j;
            }
        }
}

static void N(extremum)(const void *args, int64_t lo, int64_t hi)
{
    const struct extremum *a = args;
    C best[TILE];
    int64_t at[TILE];
    for (int64_t width; lo < hi; lo += width) {
        const int64_t inside = lo % a->inner, left = a->inner - inside;
        width = hi - lo < left ? hi - lo : left;
        width = width < TILE ? width : TILE;
        CPU_CALL(search, (const T *)a->x + lo / a->inner * a->n * a->inner + inside, a->n, a->inner,
                 width, a->largest, best, at);
        for (int64_t i = 0; i < width && a->y; i++)
            ((T *)a->y)[lo + i] = STORE(best[i]);
        for (int64_t i = 0; i < width && a->at; i++)
            a->at[lo + i] = at[i];
    }
}

#else

#include "device/cpu/cpu.h"

#include <math.h>

#define TILE 256

struct extremum {
    void *y;
    int64_t *at;
    const void *x;
    int largest;
    int64_t n, inner;
};

#define is_nan_f32 isnan
#define is_nan_f64 isnan
#define is_nan_i64(v) false
#define CPU_LOW
#define CPU_I64
#define CPU_FAMILY "device/cpu/extremum.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_extremum(weft_stream *s, weft_dev y, weft_dev at, weft_dev x, int largest,
                               int64_t outer, int64_t n, int64_t inner, weft_dtype dt)
{
    const struct extremum a = {.y = cpu_ptr(y),
                               .at = cpu_ptr(at),
                               .x = cpu_ptr(x),
                               .largest = largest,
                               .n = n,
                               .inner = inner};
    return weft__cpu_each(s, CPU_NUMBERS(extremum), dt, &a, outer * inner, n);
}
#endif
