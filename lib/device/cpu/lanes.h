/* Sums of many numbers side by side, in lanes of C that the set of instructions does not change; every RUN
 * numbers they are joined in f64. Read in each pass of a family. */
#ifndef DEVICE_CPU_LANES_H
#define DEVICE_CPU_LANES_H
#define LANES 64    /* four vectors of f32 of the widest set: as many additions are under way */
#define RUN 1024    /* numbers: sixteen additions a lane */
#define AHEAD 16384 /* bytes, at most */
#define FEW 16      /* numbers that are not worth a call */

/* A quarter of the lanes, one vector or a few. */
#define SOME_LANES(first, ...)                                                                     \
    _Pragma("omp simd") for (int64_t k = first; k < first + LANES / 4; k++)                        \
    {                                                                                              \
        const int64_t i = whole + k;                                                               \
        __VA_ARGS__                                                                                \
    }

/* Does what is said for each number i of n, in lane k. By quarters, so that lanes stay in registers. */
#define EACH_LANE(n, ...)                                                                          \
    do {                                                                                           \
        int64_t whole = 0;                                                                         \
        for (; whole + LANES <= (n); whole += LANES) {                                             \
            SOME_LANES(0, __VA_ARGS__)                                                             \
            SOME_LANES(16, __VA_ARGS__)                                                            \
            SOME_LANES(32, __VA_ARGS__)                                                            \
            SOME_LANES(48, __VA_ARGS__)                                                            \
        }                                                                                          \
        const int64_t rest = (n)-whole;                                                            \
        _Pragma("omp simd") for (int64_t k = 0; k < rest; k++)                                     \
        {                                                                                          \
            const int64_t i = whole + k;                                                           \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    } while (0)

/* Asks for memory that is read next: what was read before it and stays near is worked on meanwhile. */
CPU_INLINE void fetch_ahead(const void *p, int64_t bytes)
{
    for (int64_t i = 0; i < bytes && bytes <= AHEAD; i += 64)
        __builtin_prefetch((const char *)p + i, 0, 2);
}
#endif

#ifdef T
/* Numbers as C: where they lie, those of 16 bits in room. */
CPU_INLINE const C *N(read)(C *room, const T *p, int64_t n)
{
#ifdef LOW
    if (n >= FEW)
        WIDEN(room, p, n);
    else
        for (int64_t i = 0; i < n; i++)
            room[i] = LOAD(p[i]);
    return room;
#else
    (void)room, (void)n;
    return p;
#endif
}

/* Where numbers that go to y are formed, and bringing them there. */
CPU_INLINE C *N(place)(C *room, T *y)
{
#ifdef LOW
    (void)y;
    return room;
#else
    (void)room;
    return y;
#endif
}

CPU_INLINE void N(write)(T *y, const C *room, int64_t n)
{
#ifdef LOW
    if (n >= FEW)
        NARROW(y, room, n);
    else
        for (int64_t i = 0; i < n; i++)
            y[i] = STORE(room[i]);
#else
    (void)y, (void)room, (void)n;
#endif
}
#endif

#if defined(T) && !defined(LOW)
CPU_INLINE double N(join)(const C *lane)
{
    double t[CPU_LANES];
#pragma omp simd
    for (int j = 0; j < CPU_LANES; j++)
        t[j] = (double)((lane[j] + lane[j + 16]) + (lane[j + 32] + lane[j + 48]));
    return cpu_fold(t);
}
#endif
