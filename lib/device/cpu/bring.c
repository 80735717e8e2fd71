/* Numbers that are brought together: turned in registers where they lie in columns. */
#include "device/cpu/blocks.h"
#include "device/cpu/unroll.h"

#define ZIP_2 0, 2
#define ZAP_2 1, 3
#define ZIP_4 0, 4, 1, 5
#define ZAP_4 2, 6, 3, 7
#define ZIP_8 0, 8, 1, 9, 2, 10, 3, 11
#define ZAP_8 4, 12, 5, 13, 6, 14, 7, 15
#define ZIP_16 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define ZAP_16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31

/* A pass over a square of N vectors: of the bits that are a number's place (its vector, its lane) the first becomes the
 * last. */
#define PASS(N, to, from)                                                                          \
    CPU_UNROLL(8)                                                                                  \
    for (int i = 0; i < N / 2; i++) {                                                              \
        to[2 * i] = __builtin_shufflevector(from[i], from[i + N / 2], ZIP_##N);                    \
        to[2 * i + 1] = __builtin_shufflevector(from[i], from[i + N / 2], ZAP_##N);                \
    }
#define PASSES_2 PASS(2, t, v)
#define PASSES_4 PASS(4, u, v) PASS(4, t, u)
#define PASSES_8 PASS(8, t, v) PASS(8, u, t) PASS(8, t, u)
#define PASSES_16 PASS(16, u, v) PASS(16, t, u) PASS(16, u, t) PASS(16, t, u)

/* Columns of x, `across` numbers apart, to rows of n. */
#define BRING(T, N)                                                                                \
    typedef T vector_##T __attribute__((vector_size(16), aligned(1), may_alias));                  \
    static void square_##T(T *to, int64_t n, const T *x, int64_t across)                           \
    {                                                                                              \
        vector_##T v[N], t[N], u[N];                                                               \
        (void)u;                                                                                   \
        CPU_UNROLL(16)                                                                             \
        for (int i = 0; i < N; i++)                                                                \
            v[i] = *(const vector_##T *)(x + i * across);                                          \
        PASSES_##N CPU_UNROLL(16) for (int i = 0; i < N; i++) * (vector_##T *)(to + i * n) = t[i]; \
    }                                                                                              \
                                                                                                   \
    static void some_##T(T *to, int64_t n, const T *x, int64_t down, int64_t across, int64_t rows, \
                         int64_t cols)                                                             \
    {                                                                                              \
        for (int64_t r = 0; r < rows; r++)                                                         \
            for (int64_t c = 0; c < cols; c++)                                                     \
                to[r * n + c] = x[r * down + c * across];                                          \
    }                                                                                              \
                                                                                                   \
    static void bring_##T(T *to, const T *x, int64_t down, int64_t across, int64_t rows,           \
                          int64_t n)                                                               \
    {                                                                                              \
        const int64_t high = down == 1 ? rows / N * N : 0, wide = high ? n / N * N : 0;            \
        for (int64_t c = 0; c < wide; c += N)                                                      \
            for (int64_t r = 0; r < high; r += N)                                                  \
                square_##T(to + r * n + c, n, x + c * across + r, across);                         \
        some_##T(to + wide, n, x + wide * across, down, across, high, n - wide);                   \
        some_##T(to + high * n, n, x + high * down, down, across, rows - high, n);                 \
    }                                                                                              \
                                                                                                   \
    static void rows_##T(T *to, const char *x, int64_t down, const int64_t *in_row, int64_t rows,  \
                         int64_t n)                                                                \
    {                                                                                              \
        for (; rows > 0; rows--, to += n, x += down)                                               \
            for (int64_t c = 0; c < n; c++)                                                        \
                to[c] = *(const T *)(x + in_row[c]);                                               \
    }                                                                                              \
                                                                                                   \
    static void fill_##T(T *to, const T *x, int64_t down, int64_t rows, int64_t n)                 \
    {                                                                                              \
        for (; rows > 0; rows--, to += n, x += down) {                                             \
            const T one = *x;                                                                      \
            _Pragma("omp simd") for (int64_t c = 0; c < n; c++) to[c] = one;                       \
        }                                                                                          \
    }
BRING(uint8_t, 16)
BRING(uint16_t, 8)
BRING(uint32_t, 4)
BRING(uint64_t, 2)

void weft__block_bring(const weft__blocks *b, int a, char *to, const char *x, int64_t rows,
                       int64_t n)
{
    const int64_t down = b->down[a], across = b->across[a], size = b->size[a];
#define OF(T)                                                                                      \
    case sizeof(T):                                                                                \
        if (b->joined)                                                                             \
            rows_##T((T *)to, x, down, b->in_row[a], rows, n);                                     \
        else if (across == 0)                                                                      \
            fill_##T((T *)to, (const T *)x, down / size, rows, n);                                 \
        else                                                                                       \
            bring_##T((T *)to, (const T *)x, down / size, across / size, rows, n);                 \
        break
    switch (size) {
        OF(uint8_t);
        OF(uint16_t);
        OF(uint32_t);
        OF(uint64_t);
    }
#undef OF
}
