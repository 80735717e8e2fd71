/* y = a op b, a and b strided (0 broadcasts), y contiguous. */
#ifdef T

/* The inner loop, for the strides that ops produce and for all others. */
#define LOOP(i, j, OP)                                                                             \
    do {                                                                                           \
        _Pragma("omp simd") for (int64_t e = 0; e < n; e++) y[e] = a[i] OP b[j];                   \
    } while (0)
#define STRIDES(OP)                                                                                \
    do {                                                                                           \
        if (sa == 1 && sb == 1)                                                                    \
            LOOP(e, e, OP);                                                                        \
        else if (sa == 1 && sb == 0)                                                               \
            LOOP(e, 0, OP);                                                                        \
        else if (sa == 0 && sb == 1)                                                               \
            LOOP(0, e, OP);                                                                        \
        else                                                                                       \
            LOOP(e *sa, e *sb, OP);                                                                \
    } while (0)

static void N(run)(weft_binary op, T *y, const T *a, int64_t sa, const T *b, int64_t sb, int64_t n)
{
    if (op == WEFT_ADD)
        STRIDES(+);
    else
        STRIDES(*);
}
#undef LOOP
#undef STRIDES

CPU_WIDE static void N(binary)(const void *args, int64_t lo, int64_t hi)
{
    const struct binary *o = args;
    const int last = o->walk.rank - 1;
    const T *a = o->a, *b = o->b;
    T *y = o->y;
    weft__place p = weft__walk_seek(&o->walk, lo);
    for (int64_t i = lo, n; i < hi; i += n) {
        n = weft__walk_run(&o->walk, &p, hi - i);
        CPU_CALL(run, o->op, y + i, a + p.at[0], o->walk.stride[0][last], b + p.at[1],
                 o->walk.stride[1][last], n);
        weft__walk_step(&o->walk, &p, n);
    }
}

#else

#include "device/cpu/cpu.h"
#include "device/cpu/walk.h"

struct binary {
    weft_binary op;
    void *y;
    const void *a, *b;
    weft__walk walk;
};

#define CPU_FAMILY "device/cpu/binary.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_binary(weft_stream *s, weft_binary op, weft_dev y, weft_dev a,
                             const int64_t *astride, weft_dev b, const int64_t *bstride, int rank,
                             const int64_t *shape, weft_dtype dt)
{
    const int64_t *const stride[] = {astride, bstride};
    struct binary o = {.op = op, .y = cpu_ptr(y), .a = cpu_ptr(a), .b = cpu_ptr(b)};
    weft__walk_of(&o.walk, 2, rank, shape, stride);
    return weft__cpu_each(s, CPU_PAIR(binary), dt, &o, o.walk.numel, 1);
}
#endif
