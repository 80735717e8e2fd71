/* The largest or smallest along the middle of (outer, n, inner), and where it is first. */
#ifdef T

/* v, or best where that is no less: NaN beats all but another. */
CPU_INLINE bool N(beats)(C v, C best, int largest)
{
    return !(largest ? v <= best : v >= best) & !OF(is_nan)(best);
}

/* Of `width` outputs `apart`, whose elements lie `step` apart. */
CPU_INLINE void N(search)(const T *x, int64_t n, int64_t step, int64_t width, int64_t apart,
                          int largest, C *best, int64_t *at)
{
    OF(place) here[TILE];
    for (int64_t i = 0; i < width; i++)
        best[i] = LOAD(x[i * apart]);
    for (int64_t first = 0; first < n; first += RUN) {
        const int64_t end = n - first < RUN ? n - first : RUN;
        for (int64_t i = 0; i < width; i++)
            here[i] = -1;
        for (int64_t j = 0; j < end; j++)
#pragma omp simd
            for (int64_t i = 0; i < width; i++) {
                const C v = LOAD(x[(first + j) * step + i * apart]), old = best[i];
                const OF(place) was = here[i];
                const bool takes = N(beats)(v, old, largest);
                best[i] = takes ? v : old;
                here[i] = takes ? (OF(place))j : was;
            }
        for (int64_t i = 0; i < width; i++)
            at[i] = here[i] < 0 ? (first ? at[i] : 0) : first + here[i];
    }
}

/* Of one output, whose elements are neighbours: in lanes, and then where it is. */
CPU_INLINE void N(search_run)(const T *x, int64_t n, int largest, C *best, int64_t *at)
{
    C top[LANES];
    for (int k = 0; k < LANES; k++)
        top[k] = LOAD(x[0]);
    EACH_LANE(n, const C v = LOAD(x[i]); top[k] = N(beats)(v, top[k], largest) ? v : top[k];);
    for (int half = LANES / 2; half > 0; half /= 2)
#pragma omp simd
        for (int k = 0; k < half; k++)
            top[k] = N(beats)(top[k + half], top[k], largest) ? top[k + half] : top[k];
    const bool nan = OF(is_nan)(top[0]);
    int64_t i = 0;
    for (int found = 0; i + LANES <= n; i += LANES) {
#pragma omp simd reduction(| : found)
        for (int k = 0; k < LANES; k++)
            found |= nan ? OF(is_nan)(LOAD(x[i + k])) : LOAD(x[i + k]) == top[0];
        if (found)
            break;
    }
    while (nan ? !OF(is_nan)(LOAD(x[i])) : LOAD(x[i]) != top[0])
        i++;
    *best = LOAD(x[i]);
    *at = i;
}

/* Outputs from lo on, hi at most. @return how many they are. */
CPU_INLINE int64_t N(some)(const struct extremum *a, int64_t lo, int64_t hi, int largest, C *best,
                           int64_t *at)
{
    const int64_t inside = lo % a->inner, n = a->n;
    const T *x = (const T *)a->x + lo / a->inner * n * a->inner + inside;
    int64_t width = hi - lo < a->inner - inside ? hi - lo : a->inner - inside;
    width = width < TILE ? width : TILE;
    if (a->inner > 1) {
        N(search)(x, n, a->inner, width, 1, largest, best, at);
    } else if (n > SHORT || hi - lo < SIDE) {
        N(search_run)(x, n, largest, best, at);
    } else {
        width = SIDE;
        N(search)(x, n, 1, SIDE, n, largest, best, at);
    }
    return width;
}

static void N(extremum)(const void *args, int64_t lo, int64_t hi)
{
    const struct extremum *a = args;
    C best[TILE];
    int64_t at[TILE];
    for (int64_t width; lo < hi; lo += width) {
        width = a->largest ? N(some)(a, lo, hi, 1, best, at) : N(some)(a, lo, hi, 0, best, at);
        for (int64_t i = 0; i < width && a->y; i++)
            ((T *)a->y)[lo + i] = STORE(best[i]);
        for (int64_t i = 0; i < width && a->at; i++)
            a->at[lo + i] = at[i];
    }
}

#else

#include "device/cpu/cpu.h"
#include "device/cpu/lanes.h"

#include <math.h>

#define TILE 1024 /* outputs side by side: longer runs of memory are read faster */
#define SIDE 16   /* short rows side by side, */
#define SHORT 512 /* with as many elements at most */

struct extremum {
    void *y;
    int64_t *at;
    const void *x;
    int largest;
    int64_t n, inner;
};

typedef int32_t place_f32; /* as wide as what is found there */
typedef int64_t place_f64;
typedef int64_t place_i64;
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
