/* Conditions: y = a op b as 1 or 0, and y = a where c, b elsewhere. */
#ifdef T

#define LOOP(op)                                                                                   \
    do {                                                                                           \
        _Pragma("omp simd") for (int64_t e = 0; e < n; e++) y[e] =                                 \
            LOAD(a[e * sa]) op LOAD(b[e * sb]);                                                    \
    } while (0);                                                                                   \
    break

static void N(decide)(weft_compare op, uint8_t *y, const T *a, int64_t sa, const T *b, int64_t sb,
                      int64_t n)
{
    switch (op) {
    case WEFT_EQ:
        LOOP(==);
    case WEFT_NE:
        LOOP(!=);
    case WEFT_LT:
        LOOP(<);
    case WEFT_LE:
        LOOP(<=);
    case WEFT_GT:
        LOOP(>);
    default:
        LOOP(>=);
    }
}
#undef LOOP

static void N(compare)(const void *args, int64_t lo, int64_t hi)
{
    const struct condition *o = args;
    const int last = o->walk.rank - 1;
    weft__place p = weft__walk_seek(&o->walk, lo);
    for (int64_t i = lo, n; i < hi; i += n) {
        n = weft__walk_run(&o->walk, &p, hi - i);
        CPU_CALL(decide, o->op, (uint8_t *)o->y + i, (const T *)o->a + p.at[0],
                 o->walk.stride[0][last], (const T *)o->b + p.at[1], o->walk.stride[1][last], n);
        weft__walk_step(&o->walk, &p, n);
    }
}

static void N(where)(const void *args, int64_t lo, int64_t hi)
{
    const struct condition *o = args;
    const int last = o->walk.rank - 1;
    const int64_t sa = o->walk.stride[0][last], sb = o->walk.stride[1][last],
                  sc = o->walk.stride[2][last];
    weft__place p = weft__walk_seek(&o->walk, lo);
    for (int64_t i = lo, n; i < hi; i += n) {
        const T *a = (const T *)o->a + p.at[0], *b = (const T *)o->b + p.at[1];
        const uint8_t *c = o->c + p.at[2];
        T *y = (T *)o->y + i;
        n = weft__walk_run(&o->walk, &p, hi - i);
#pragma omp simd
        for (int64_t e = 0; e < n; e++) {
            const T u = a[e * sa], v = b[e * sb];
            y[e] = c[e * sc] ? u : v;
        }
        weft__walk_step(&o->walk, &p, n);
    }
}

#else

#include "device/cpu/cpu.h"
#include "device/cpu/walk.h"

struct condition {
    weft_compare op;
    void *y;
    const void *a, *b;
    const uint8_t *c;
    weft__walk walk;
};

#define CPU_LOW
#define CPU_I64
#define CPU_FAMILY "device/cpu/compare.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_compare(weft_stream *s, weft_compare op, weft_dev y, weft_dev a,
                              const int64_t *astride, weft_dev b, const int64_t *bstride, int rank,
                              const int64_t *shape, weft_dtype dt)
{
    const int64_t *const stride[] = {astride, bstride};
    struct condition o = {.op = op, .y = cpu_ptr(y), .a = cpu_ptr(a), .b = cpu_ptr(b)};
    weft__walk_of(&o.walk, 2, rank, shape, stride);
    return weft__cpu_each(s, CPU_NUMBERS(compare), dt, &o, o.walk.numel, 1);
}

weft_status weft__cpu_where(weft_stream *s, weft_dev y, weft_dev c, const int64_t *cstride,
                            weft_dev a, const int64_t *astride, weft_dev b, const int64_t *bstride,
                            int rank, const int64_t *shape, weft_dtype dt)
{
    const int64_t *const stride[] = {astride, bstride, cstride};
    struct condition o = {.y = cpu_ptr(y), .a = cpu_ptr(a), .b = cpu_ptr(b), .c = cpu_ptr(c)};
    weft__walk_of(&o.walk, 3, rank, shape, stride);
    return weft__cpu_each(s, CPU_NUMBERS(where), dt, &o, o.walk.numel, 1);
}
#endif
