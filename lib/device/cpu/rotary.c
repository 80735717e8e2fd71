/* Rotary positions: Su et al., "RoFormer: enhanced transformer with rotary position embedding" (2021).
 * Pair j of position t turns by the angle a = t base^(-2j/n), n the numbers that are turned:
 *   (u, v) -> (u cos a - v sin a, u sin a + v cos a)
 * Angles are formed in f64. */
#ifdef T

/* Positions: their sines and cosines are computed once for all heads, PAIRS at a time. */
static void N(rotary)(const void *args, int64_t lo, int64_t hi)
{
    const struct rotary *a = args;
    const weft_rotary_terms *o = a->o;
    const int64_t n = o->turned / 2, near = o->interleaved ? 2 : 1, far = o->interleaved ? 1 : n;
    double cosine[PAIRS], sine[PAIRS];
    for (int64_t t = lo; t < hi; t++)
        for (int64_t first = 0, most; first < n || first == 0; first += most) {
            most = n - first < PAIRS ? n - first : PAIRS;
            most = most > 0 ? most : 1;
            angles(o, t, first, n - first < PAIRS ? n - first : PAIRS, cosine, sine);
            for (int64_t e = 0; e < o->outer * o->heads; e++) {
                const int64_t h = e % o->heads;
                const int64_t at = ((e / o->heads * o->positions + t) * o->heads + h) * o->size;
                const T *x = (const T *)a->x + at;
                T *y = (T *)a->y + at;
                for (int64_t j = first; j < first + most && j < n && h < o->until; j++) {
                    const C u = LOAD(x[j * near]), v = LOAD(x[j * near + far]);
                    const C c = (C)cosine[j - first], s = (C)sine[j - first];
                    y[j * near] = STORE(u * c - v * s);
                    y[j * near + far] = STORE(u * s + v * c);
                }
                for (int64_t j = h < o->until ? 2 * n : 0; j < o->size && first == 0; j++)
                    y[j] = x[j];
            }
        }
}

#else

#include "device/cpu/cpu.h"

#include <math.h>

#define PAIRS 64

struct rotary {
    void *y;
    const void *x;
    const weft_rotary_terms *o;
};

static void angles(const weft_rotary_terms *o, int64_t t, int64_t first, int64_t n, double *cosine,
                   double *sine)
{
    for (int64_t j = 0; j < n; j++) {
        const double power = -2.0 * (double)(first + j) / (double)o->turned;
        const double angle = (double)(o->first + t) * pow(o->base, power);
        cosine[j] = cos(angle);
        sine[j] = o->back ? -sin(angle) : sin(angle);
    }
}

#define CPU_FAMILY "device/cpu/rotary.c"
#define CPU_LOW
#include "device/cpu/typed.h"

weft_status weft__cpu_rotary(weft_stream *s, weft_dev y, weft_dev x, const weft_rotary_terms *o,
                             weft_dtype dt)
{
    const struct rotary a = {.y = cpu_ptr(y), .x = cpu_ptr(x), .o = o};
    return weft__cpu_each_row(s, CPU_FLOATS(rotary), dt, &a, o->positions,
                              16 * o->turned + 2 * o->outer * o->heads * o->size);
}
#endif
