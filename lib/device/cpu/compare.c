/* Conditions: y = a op b as 1 or 0, and y = a where c, b elsewhere. */
#ifdef T

#define LOOP(op)                                                                                   \
    do {                                                                                           \
        _Pragma("omp simd") for (int64_t e = 0; e < n; e++) y[e] = LOAD(a[e]) op LOAD(b[e]);       \
    } while (0);                                                                                   \
    break

static void N(decide)(weft_compare op, uint8_t *y, const T *a, const T *b, int64_t n)
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
    weft__block k;
    for (weft__block_seek(&o->blocks, &k, lo); lo < hi; lo++, weft__block_step(&o->blocks, &k))
        for (int64_t r = 0; r < k.rows; r++)
            CPU_CALL(decide, o->op, weft__block_line(&k, 0, r), weft__block_line(&k, 1, r),
                     weft__block_line(&k, 2, r), k.n);
}

static void N(where)(const void *args, int64_t lo, int64_t hi)
{
    const struct condition *o = args;
    weft__block k;
    for (weft__block_seek(&o->blocks, &k, lo); lo < hi; lo++, weft__block_step(&o->blocks, &k))
        for (int64_t r = 0; r < k.rows; r++) {
            const T *a = weft__block_line(&k, 1, r), *b = weft__block_line(&k, 2, r);
            const uint8_t *c = weft__block_line(&k, 3, r);
            T *y = weft__block_line(&k, 0, r);
#pragma omp simd
            for (int64_t e = 0; e < k.n; e++) {
                const T u = a[e], v = b[e];
                y[e] = c[e] ? u : v;
            }
        }
}

#else

#include "device/cpu/blocks.h"
#include "device/cpu/cpu.h"

struct condition {
    weft_compare op;
    weft__blocks blocks; /* of y, a, b, c */
};

#define CPU_LOW
#define CPU_I64
#define CPU_FAMILY "device/cpu/compare.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_compare(weft_stream *s, weft_compare op, weft_dev y, weft_dev a,
                              const int64_t *astride, weft_dev b, const int64_t *bstride, int rank,
                              const int64_t *shape, weft_dtype dt)
{
    const size_t size = weft_dtype_size(dt);
    const weft__strided array[] = {
        {cpu_ptr(y), NULL, 1}, {cpu_ptr(a), astride, size}, {cpu_ptr(b), bstride, size}};
    struct condition o; /* large: what is not read is not set */
    o.op = op;
    weft__blocks_of(&o.blocks, 3, array, rank, shape);
    return weft__cpu_each_row(s, CPU_NUMBERS(compare), dt, &o, o.blocks.grid.numel, BLOCK_ROOM);
}

weft_status weft__cpu_where(weft_stream *s, weft_dev y, weft_dev c, const int64_t *cstride,
                            weft_dev a, const int64_t *astride, weft_dev b, const int64_t *bstride,
                            int rank, const int64_t *shape, weft_dtype dt)
{
    const size_t size = weft_dtype_size(dt);
    const weft__strided array[] = {{cpu_ptr(y), NULL, size},
                                   {cpu_ptr(a), astride, size},
                                   {cpu_ptr(b), bstride, size},
                                   {cpu_ptr(c), cstride, 1}};
    struct condition o;
    weft__blocks_of(&o.blocks, 4, array, rank, shape);
    return weft__cpu_each_row(s, CPU_NUMBERS(where), dt, &o, o.blocks.grid.numel, BLOCK_ROOM);
}
#endif
