/* The tile: sums of rows x 16 vectors stay in registers while k goes by, a vector of B times one number of
 * A each. Compiled for every number of rows, so that the loops over sums are straight code. Of half the rows
 * the number is read twice, by the multiply-adds themselves: so many loads are free, and instructions are not. */
#include "device/cpu/sixteen.h"
#include "device/cpu/turn.h"

#if CPU_HAS_WIDE

#define MOST_VECTORS 8

WIDE_TARGET CPU_INLINE void finish(const weft__wide_tile *t, const int rows, const int vectors,
                                   __m512 s[][MOST_VECTORS])
{
    const float alpha = t->alpha, beta = t->beta;
    const int64_t rc = t->rc;
    const __mmask16 last = (__mmask16)((1u << (t->n - (vectors - 1) * WIDE_LANES)) - 1);
    float *c = t->c;
#define EACH(value)                                                                                \
    CPU_UNROLL(14)                                                                                 \
    for (int i = 0; i < rows; i++, c += rc)                                                        \
        CPU_UNROLL(8) for (int j = 0; j < vectors; j++)                                            \
        {                                                                                          \
            float *const to = c + j * WIDE_LANES;                                                  \
            const __mmask16 some = j + 1 < vectors ? (__mmask16)-1 : last;                         \
            _mm512_mask_storeu_ps(to, some, value);                                                \
        }
    if (t->past) {
        CPU_UNROLL(14)
        for (int i = 0; i < rows; i++, c += rc)
            CPU_UNROLL(8)
        for (int j = 0; j < vectors; j++)
            _mm512_stream_ps(c + j * WIDE_LANES, s[i][j]);
    } else if (alpha == 1 && beta == 0) {
        EACH(s[i][j])
    } else if (alpha == 1 && beta == 1) {
        EACH(_mm512_add_ps(_mm512_maskz_loadu_ps(some, to), s[i][j]))
    } else {
        const __m512 x = _mm512_set1_ps(alpha), y = _mm512_set1_ps(beta);
        if (beta == 0) {
            EACH(_mm512_mul_ps(x, s[i][j]))
        } else {
            EACH(_mm512_fmadd_ps(y, _mm512_maskz_loadu_ps(some, to), _mm512_mul_ps(x, s[i][j])))
        }
    }
#undef EACH
}

/* Of two vectors that have the numbers of even and of odd places: the first sixteen, and the others. */
WIDE_TARGET CPU_INLINE void in_order(__m512 v[2])
{
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    const __m512 even = v[0];
    v[0] = _mm512_permutex2var_ps(even, low, v[1]);
    v[1] = _mm512_permutex2var_ps(even, high, v[1]);
}

/* What the sums below are made of. Of row i of A the number is at OF(i). */
#define OF(i) (by_depth ? (i) : (i) / 2 * WIDE_STEP + (i) % 2 * WIDE_HALF)
#define STEP                                                                                       \
    do {                                                                                           \
        __m512 w[MOST_VECTORS];                                                                    \
        CPU_UNROLL(8)                                                                              \
        for (int j = 0; j < vectors; j += in_turn ? 2 : 1)                                         \
            if (in_turn)                                                                           \
                next(w + j, b + j * WIDE_LANES * size, ~0u, bt);                                   \
            else                                                                                   \
                w[j] = load(b + j * WIDE_LANES * size, WIDE_LANES, bt);                            \
        CPU_UNROLL(14)                                                                             \
        for (int i = 0; i < rows; i++) {                                                           \
            const __m512 x = _mm512_set1_ps(a[OF(i)]);                                             \
            CPU_UNROLL(8)                                                                          \
            for (int j = 0; j < vectors; j++) {                                                    \
                const bool twice = vectors == 2 && 2 * i < rows && j == 1;                         \
                s[i][j] =                                                                          \
                    _mm512_fmadd_ps(twice ? _mm512_set1_ps(again[OF(i)]) : x, w[j], s[i][j]);      \
            }                                                                                      \
        }                                                                                          \
        a += by_depth ? WIDE_LANES : 1, again += by_depth ? WIDE_LANES : 1, b += rb;               \
    } while (0)
#define TWICE                                                                                      \
    do {                                                                                           \
        _mm_prefetch((const char *)line[at >> 16], _MM_HINT_T1); /* NOLINT: an address */          \
        at += pace;                                                                                \
        STEP;                                                                                      \
        STEP;                                                                                      \
    } while (0)
/* Straight code where most of the time goes: four times two steps, with what is done beside them. */
#define EIGHT(...)                                                                                 \
    do {                                                                                           \
        __VA_ARGS__;                                                                               \
        __VA_ARGS__;                                                                               \
        __VA_ARGS__;                                                                               \
        __VA_ARGS__;                                                                               \
        k -= WIDE_HALF, a += WIDE_HALF, again += WIDE_HALF;                                        \
    } while (0)

/* Eight numbers of each of two rows of A. */
WIDE_TARGET CPU_INLINE void move_eight(float *to, const char *x, const char *y, const weft_dtype mt)
{
    if (mt == WEFT_F32) {
        _mm256_store_ps(to, _mm256_loadu_ps((const float *)x));
        _mm256_store_ps(to + WIDE_HALF, _mm256_loadu_ps((const float *)y));
        return;
    }
    const __m256i one = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)x));
    const __m128i other = _mm_loadu_si128((const __m128i *)y);
    _mm512_store_ps(to, widened(_mm256_inserti128_si256(one, other, 1)));
}

#define MOVING_B                                                                                   \
    do {                                                                                           \
        TWICE;                                                                                     \
        _mm512_store_ps(to, load(x, WIDE_LANES, mt));                                              \
        _mm512_store_ps(to + WIDE_LANES, load(x + WIDE_LANES * each, WIDE_LANES, mt));             \
        x += step, to += WIDE_COLUMNS;                                                             \
    } while (0)
#define MOVING_LINES                                                                               \
    do {                                                                                           \
        TWICE;                                                                                     \
        _mm512_store_ps(to, load_some(x, some, mt));                                               \
        _mm512_store_ps(to + WIDE_LANES, load_some(x + step, some, mt));                           \
        x += 2 * step, to += 2 * WIDE_LANES;                                                       \
    } while (0)
#define MOVING_A                                                                                   \
    do {                                                                                           \
        TWICE;                                                                                     \
        move_eight(to, x, y, mt);                                                                  \
        move_eight(to + 2 * WIDE_HALF, x + WIDE_HALF * each, y + WIDE_HALF * each, mt);            \
        x += 2 * WIDE_HALF * each, y += 2 * WIDE_HALF * each, to += 4 * WIDE_HALF;                 \
    } while (0)

/* by_depth: a line of A has a number of each row, else eight of each of two rows. bt: of B; mt: of what is packed. */
WIDE_TARGET CPU_INLINE void sums(const weft__wide_tile *t, const int rows, const int vectors,
                                 const bool by_depth, const weft_dtype bt, const weft_dtype mt)
{
    const int64_t size = bt == WEFT_F32 ? 4 : 2, rb = t->rb * size;
    const int64_t each = mt == WEFT_F32 ? 4 : 2, step = t->step * each;
    const int64_t later = (t->lines + 1) / 2 * t->run;
    const bool packs = vectors == 2 && bt == WEFT_F32;
    const bool in_turn = vectors % 2 == 0 && bt != WEFT_F32; /* two vectors have the numbers */
    const float *a = t->a, *again = a;
    const char *b = t->b, *x = t->from, *y;
    float *to = t->to;
    const uintptr_t *const line = t->line;
    const uint32_t pace = t->pace;
    uint32_t at = 0;
    int64_t k = t->k, moves = packs ? t->moves : 0;
    __asm__("" : "+r"(again)); /* compilers shall not see that it is a */
    __m512 s[WIDE_ROWS][MOST_VECTORS];
    CPU_UNROLL(14)
    for (int i = 0; i < rows; i++)
        CPU_UNROLL(8)
    for (int j = 0; j < vectors; j++)
        s[i][j] = _mm512_setzero_ps();
    for (; by_depth && moves > 0; moves--, k -= 2)
        MOVING_B;
    const __mmask16 some = first_of(t->run);
    for (int64_t r = 0; packs && by_depth && r < t->lines; r += 2, k -= 2)
        MOVING_LINES;
    for (; !by_depth && moves > 0; moves -= 4)
        EIGHT(MOVING_B);
    while (packs && !by_depth && k >= (later + 1) * WIDE_HALF)
        EIGHT(TWICE);
    for (int64_t r = 0; packs && !by_depth && r < t->lines; r += 2) {
        x = (const char *)t->from + r * step;
        y = r + 1 < t->lines ? x + step : x;
        to = t->to + r / 2 * WIDE_STEP;
        for (int64_t i = 0; i < t->run; i++)
            EIGHT(MOVING_A);
    }
    for (; !by_depth && k >= WIDE_HALF; k -= WIDE_HALF, a += WIDE_HALF, again += WIDE_HALF)
        for (int h = 0; h < WIDE_HALF; h += 2)
            TWICE;
    for (; k > 1; k -= 2)
        TWICE;
    if (k)
        STEP;
    CPU_UNROLL(14)
    for (int i = 0; i < rows; i++)
        CPU_UNROLL(4)
    for (int j = 0; j < vectors && in_turn; j += 2)
        in_order(s[i] + j);
    finish(t, rows, vectors, s);
}

#define TILE(name, rows, vectors, ...)                                                             \
    WIDE_TARGET static void name##_##rows##_##vectors(const weft__wide_tile *t)                    \
    {                                                                                              \
        sums(t, rows, vectors, __VA_ARGS__);                                                       \
    }
#define TILES(rows, vectors)                                                                       \
    TILE(row, rows, vectors, false, WEFT_F32, WEFT_F32)                                            \
    TILE(depth, rows, vectors, true, WEFT_F32, WEFT_F32)                                           \
    TILE(low_row, rows, vectors, false, WEFT_BF16, WEFT_F32)                                       \
    TILE(low_depth, rows, vectors, true, WEFT_BF16, WEFT_F32)
#define WIDENING(rows, vectors)                                                                    \
    TILE(widen_row, rows, vectors, false, WEFT_F32, WEFT_BF16)                                     \
    TILE(widen_depth, rows, vectors, true, WEFT_F32, WEFT_BF16)
#define UP_TO_2(F, v) F(1, v) F(2, v)
#define UP_TO_6(F, v) UP_TO_2(F, v) F(3, v) F(4, v) F(5, v) F(6, v)
#define UP_TO_14(F, v)                                                                             \
    UP_TO_6(F, v) F(7, v) F(8, v) F(9, v) F(10, v) F(11, v) F(12, v) F(13, v) F(14, v)
#define ALL(F)                                                                                     \
    UP_TO_14(F, 1)                                                                                 \
    UP_TO_14(F, 2)                                                                                 \
    UP_TO_6(F, 3) UP_TO_6(F, 4) UP_TO_2(F, 5) UP_TO_2(F, 6) UP_TO_2(F, 7) UP_TO_2(F, 8)
ALL(TILES)
UP_TO_14(WIDENING, 2)

typedef void tile(const weft__wide_tile *t);
#define ROW(rows, vectors) [vectors][rows] = row_##rows##_##vectors,
#define DEEP(rows, vectors) [vectors][rows] = depth_##rows##_##vectors,
#define LOW_ROW(rows, vectors) [vectors][rows] = low_row_##rows##_##vectors,
#define LOW_DEEP(rows, vectors) [vectors][rows] = low_depth_##rows##_##vectors,
#define WIDEN_ROW(rows, vectors) [vectors][rows] = widen_row_##rows##_##vectors,
#define WIDEN_DEEP(rows, vectors) [vectors][rows] = widen_depth_##rows##_##vectors,
static tile *const tiles[3][2][MOST_VECTORS + 1][WIDE_ROWS + 1] = {
    [WIDE_NONE] = {{ALL(ROW)}, {ALL(DEEP)}},
    [WIDE_B] = {{ALL(LOW_ROW)}, {ALL(LOW_DEEP)}},
    [WIDE_PACKED] = {{UP_TO_14(ROW, 1) UP_TO_14(WIDEN_ROW, 2)},
                     {UP_TO_14(DEEP, 1) UP_TO_14(WIDEN_DEEP, 2)}}};

void weft__wide_multiply(const weft__wide_tile *t, int64_t rows, bool by_depth)
{
    const int64_t vectors = (t->n + WIDE_LANES - 1) / WIDE_LANES;
    tiles[t->low][by_depth][vectors][rows](t);
}

WIDE_TARGET void weft__wide_multiply_turned(const weft__wide_tile *t, int64_t rows, bool by_depth,
                                            int64_t cc)
{
    float block[(WIDE_ROWS + 2) * WIDE_COLUMNS];
    const __mmask16 some = (__mmask16)((1u << rows) - 1);
    const __m512 beta = _mm512_set1_ps(t->beta);
    weft__wide_tile mine = *t;
    mine.c = block;
    mine.rc = WIDE_COLUMNS;
    mine.beta = 0;
    weft__wide_multiply(&mine, rows, by_depth);
    for (int64_t j = 0; j < t->n; j += WIDE_LANES) {
        const int64_t left = t->n - j < WIDE_LANES ? t->n - j : WIDE_LANES;
        float *c = t->c + j * cc;
        __m512 v[16];
        cpu_turn_rows(v, block + j, WIDE_COLUMNS * (int64_t)sizeof *block);
        for (int64_t i = 0; i < left; i++, c += cc)
            _mm512_mask_storeu_ps(
                c, some,
                t->beta == 0 ? v[i] : _mm512_fmadd_ps(beta, _mm512_maskz_loadu_ps(some, c), v[i]));
    }
}
#endif
