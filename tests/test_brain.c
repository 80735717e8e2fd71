/* Products in bf16 by own kernels: the values of all kinds of them against sums in f64, by any set of
 * instructions, and the same bits on any number of threads and however C lies in memory. */
#include "cpu_teams.h"

#include "device/cpu/brain.h"

#include "core/alloc.h"
#include "core/log.h"
#include "device/cpu/half.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECKED 40 /* numbers of each product */

/* m, n, k: below, at and above edges of tiles, panels and blocks, and of either operand the larger one. */
static const int64_t shape[][3] = {
    {1, 1, 1},        {1, 5, 7},        {5, 1, 7},       {5, 7, 1},       {1, 900, 1000},
    {900, 1, 1000},   {2, 33, 31},      {3, 64, 100},    {15, 17, 33},    {16, 16, 32},
    {17, 15, 63},     {31, 200, 65},    {32, 32, 64},    {33, 33, 1},     {48, 80, 1025},
    {64, 10, 256},    {64, 256, 90},    {257, 129, 65},  {300, 100, 50},  {513, 3, 40},
    {1025, 127, 33},  {85, 129, 3},     {400, 700, 120}, {120, 70, 3072}, {40, 100, 3073},
    {100, 40, 7000},  {132, 130, 4100}, {1300, 40, 700}, {40, 1300, 700}, {420, 450, 1180},
    {1040, 1024, 40}, {1040, 1056, 33}, {70, 90, 10},    {43, 12, 1000},  {9, 15, 47},
    {2, 170, 10},     {15, 256, 128},   {29, 289, 257}};
#define SHAPES ((int)(sizeof shape / sizeof *shape))
#define KINDS 16
#define LARGE 1500000 /* multiply-adds, for which half of the kinds must do */

typedef struct product {
    int64_t m, n, k, lda, ldb, ldc;
    int ta, tb, single; /* single: C is f32 */
    double alpha, beta;
    uint16_t *a, *b;
} product;

/* Of which operands are parts; drawn once, before tests fork. */
#define POOL 1100000
static uint16_t pool[POOL];

static void draw_pool(void)
{
    for (int64_t i = 0; i < POOL; i++)
        pool[i] = half_to_bf16(draw());
}

static uint16_t *numbers(int64_t n)
{
    ck_assert_int_lt(n, POOL);
    return pool + (int64_t)((draw() + 0.5) * (double)(POOL - n));
}

static product make(int i, int kind)
{
    static const double alpha[] = {1, 1, 0.5, 1}, beta[] = {0, 1, 0, -0.25};
    product p = {.m = shape[i][0],
                 .n = shape[i][1],
                 .k = shape[i][2],
                 .ta = kind & 1,
                 .tb = kind >> 1 & 1,
                 .single = kind >> 2 & 1,
                 .alpha = alpha[(i + kind) % 4],
                 .beta = beta[(i + kind) % 4]};
    const int64_t apart =
        kind >> 3 & 1 ? 5 : 0; /* rows that are further apart than they are long */
    p.lda = (p.ta ? p.m : p.k) + apart;
    p.ldb = (p.tb ? p.k : p.n) + apart;
    p.ldc = p.n + 3 * apart;
    p.a = numbers((p.ta ? p.k : p.m) * p.lda);
    p.b = numbers((p.tb ? p.n : p.k) * p.ldb);
    return p;
}

static double before(int64_t i)
{
    return (double)(i % 7);
}

static double at(const product *p, const void *c, int64_t i)
{
    return p->single ? (double)((const float *)c)[i]
                     : (double)half_wide_bf16(((const uint16_t *)c)[i]);
}

static void *multiply(const product *p, weft__brain_kind kind, int t)
{
    const int64_t all = p->m * p->ldc;
    void *c = aligned_alloc(64, ((size_t)all * 4 + 63) / 64 * 64);
    for (int64_t i = 0; i < all; i++)
        if (p->single)
            ((float *)c)[i] = (float)before(i);
        else
            ((uint16_t *)c)[i] = half_to_bf16(before(i));
    const weft_dev to = {(uintptr_t)c}, a = {(uintptr_t)p->a}, b = {(uintptr_t)p->b};
    ck_assert(weft__cpu_brain(stream[t], kind, to, p->single ? WEFT_F32 : WEFT_BF16, p->ldc,
                              p->alpha, a, p->lda, p->ta, b, p->ldb, p->tb, p->beta, p->m, p->n,
                              p->k));
    return c;
}

static double value(const uint16_t *x, int64_t i)
{
    return (double)half_wide_bf16(x[i]);
}

static void check_number(const product *p, const void *c, int64_t i, int64_t j)
{
    const double old = p->beta * before(i * p->ldc + j);
    double sum = 0, size = 1 + fabs(old);
    for (int64_t l = 0; l < p->k; l++) {
        const double term = value(p->a, p->ta ? l * p->lda + i : i * p->lda + l) *
                            value(p->b, p->tb ? j * p->ldb + l : l * p->ldb + j);
        sum += term;
        size += fabs(term);
    }
    sum = p->alpha * sum + old;
    const double slack = 1e-6 * size + (p->single ? 0 : fabs(sum) / 256);
    const double c1 = at(p, c, i * p->ldc + j);
    if (!(fabs(c1 - sum) <= slack))
        ck_abort_msg(
            "(%lld, %lld, %lld) transposed %d %d, alpha %g, beta %g, [%lld, %lld]: %.9g, not %.9g",
            (long long)p->m, (long long)p->n, (long long)p->k, p->ta, p->tb, p->alpha, p->beta,
            (long long)i, (long long)j, c1, sum);
}

/* Some numbers, corners among them; what lies between rows stays. */
static void check_values(const product *p, const void *c)
{
    for (int x = 0; x < CHECKED; x++) {
        const int64_t i = (int64_t)((draw() + 0.5) * (double)p->m);
        const int64_t j = (int64_t)((draw() + 0.5) * (double)p->n);
        check_number(p, c, x < 20 ? i : p->m - 1 - i % 3 % p->m,
                     x < 30 ? j : p->n - 1 - j % 3 % p->n);
    }
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = p->n; j < p->ldc; j++)
            if (at(p, c, i * p->ldc + j) != before(i * p->ldc + j))
                ck_abort_msg("(%lld, %lld, %lld): [%lld, %lld] is beyond C", (long long)p->m,
                             (long long)p->n, (long long)p->k, (long long)i, (long long)j);
}

static void try_all(weft__brain_kind kind)
{
    for (int i = 0; i < SHAPES * KINDS && weft__brain_has(kind); i++) {
        product p = make(i / KINDS, i % KINDS);
        void *c[THREADS];
        if (p.m * p.n * p.k > LARGE && __builtin_parity((unsigned)i % KINDS))
            continue; /* any two properties still meet */
        for (int t = 0; t < THREADS; t++) {
            c[t] = multiply(&p, kind, t);
            ck_assert_mem_eq(c[0], c[t], (size_t)(p.m * p.ldc) * (p.single ? 4 : 2));
        }
        check_values(&p, c[0]);
        for (int t = 0; t < THREADS; t++)
            free(c[t]);
    }
}

START_TEST(values_by_tiles)
{
    try_all(BRAIN_AMX);
}
END_TEST

START_TEST(values_by_pairs)
{
    try_all(BRAIN_PAIRS);
}
END_TEST

START_TEST(values_by_f32)
{
    try_all(BRAIN_WIDE);
}
END_TEST

/* Products of one row each give what the product of all gives: no number depends on its neighbours. */
static void check_rows(weft__brain_kind by)
{
    for (int kind = 0; kind < 4 && weft__brain_has(by); kind++) {
        product all = make(24, kind), one;
        all.alpha = 1, all.beta = 0;
        char *c = multiply(&all, by, 0);
        for (int64_t i = 0; i < all.m; i++) {
            one = all;
            one.m = 1;
            one.a += i * (all.ta ? 1 : all.lda);
            char *row = multiply(&one, by, 0);
            ck_assert_mem_eq(row, c + i * all.ldc * 2, (size_t)all.n * 2);
            free(row);
        }
        free(c);
    }
}

START_TEST(rows_alone)
{
    check_rows(BRAIN_PAIRS);
    check_rows(BRAIN_AMX);
}
END_TEST

/* The bits of a product that is added to rows of the bias, and relu of them. */
static void check_linear(weft__brain_kind kind, int64_t rows, int64_t o, int64_t c, bool relu,
                         int t)
{
    uint16_t *const x = numbers(rows * c), *const w = numbers(o * c), *const b = numbers(o);
    uint16_t *y = malloc((size_t)(rows * o) * 2), *z = malloc((size_t)(rows * o) * 2);
    const weft_dev px = {(uintptr_t)x}, pw = {(uintptr_t)w}, none = {0};
    int64_t bad = 0;
    for (int64_t i = 0; i < rows * o; i++)
        y[i] = c % 2 ? b[i % o] : 0;
    ck_assert(weft__cpu_brain(stream[t], kind, (weft_dev){(uintptr_t)y}, WEFT_BF16, o, 1, px, c, 0,
                              pw, c, 1, 1, rows, o, c));
    ck_assert(weft__cpu_brain_linear(stream[t], kind, (weft_dev){(uintptr_t)z}, px, pw,
                                     c % 2 ? (weft_dev){(uintptr_t)b} : none, relu, rows, c, o));
    for (int64_t i = 0; i < rows * o; i++)
        bad += z[i] != (relu && half_wide_bf16(y[i]) <= 0 ? 0 : y[i]);
    if (bad)
        ck_abort_msg("(%lld, %lld, %lld), relu %d: %lld numbers differ", (long long)rows,
                     (long long)o, (long long)c, relu, (long long)bad);
    free(y);
    free(z);
}

START_TEST(bias_and_relu)
{
    static const int64_t size[][3] = {{1, 1, 1},     {5, 70, 33},    {70, 5, 32}, {64, 96, 64},
                                      {40, 100, 95}, {300, 257, 71}, {9, 600, 41}};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        for (int kind = BRAIN_WIDE; kind < BRAIN_KINDS; kind++)
            for (int k = 0; k < 2 * THREADS && weft__brain_has(kind); k++)
                check_linear(kind, size[i][0], size[i][1], size[i][2], k & 1, k / 2);
}
END_TEST

/* Operands of any bits, and k so short that it is clear in which order they are added: sums are rounded to even, and what is
 * no number or infinite stays so. */
START_TEST(rounded)
{
    enum { N = 70, K = 2 };
    uint16_t x[6 * K + K * N], c[6 * N];
    for (int round = 0; round < 200 && weft__brain_has(BRAIN_WIDE); round++) {
        const int64_t m = round % 2 ? 6 : 1;
        for (size_t i = 0; i < sizeof x / sizeof *x; i++)
            x[i] = (uint16_t)((draw() + 0.5) * 65536);
        const uint16_t *const y = x + 6 * K;
        ck_assert(weft__cpu_brain(stream[0], BRAIN_WIDE, (weft_dev){(uintptr_t)c}, WEFT_BF16, N, 1,
                                  (weft_dev){(uintptr_t)x}, K, 0, (weft_dev){(uintptr_t)y}, N, 0, 0,
                                  m, N, K));
        for (int64_t i = 0; i < m * N; i++) {
            const uint16_t *const a = x + i / N * K, *const b = y + i % N;
            float sum = fmaf(half_wide_bf16(a[0]), half_wide_bf16(b[0]), 0);
            sum = fmaf(half_wide_bf16(a[1]), half_wide_bf16(b[N]), sum);
            ck_assert(isnan(sum) ? isnan(half_wide_bf16(c[i])) : c[i] == half_low_bf16(sum));
        }
    }
}
END_TEST

/* Where there is no memory to pack in, what is on the stack has to do. */
START_TEST(without_room)
{
    for (int i = 0; i < SHAPES * KINDS && weft__brain_has(BRAIN_WIDE); i += 3) {
        product p = make(i / KINDS, i % KINDS);
        weft__fail_alloc(1);
        void *c = multiply(&p, BRAIN_WIDE, 0);
        weft__fail_alloc(0);
        void *with = multiply(&p, BRAIN_WIDE, 0);
        ck_assert_mem_eq(with, c, (size_t)(p.m * p.ldc) * (p.single ? 4 : 2));
        check_values(&p, c);
        free(with);
        free(c);
    }
}
END_TEST

/* Without memory nothing is done unless by f32, and k = 0 is others'. */
static void check_left(weft__brain_kind kind)
{
    product p = make(10, 0);
    float c[300] = {7};
    const weft_dev to = {(uintptr_t)c}, a = {(uintptr_t)p.a}, b = {(uintptr_t)p.b};
    for (int k = 0; k < 2; k++) {
        weft__fail_alloc(k);
        ck_assert_int_eq(weft__cpu_brain(stream[0], kind, to, WEFT_F32, 17, 1, a, 33, 0, b, 17, 0,
                                         0, 15, 17, k ? 33 : 0),
                         k && kind == BRAIN_WIDE);
    }
    weft__fail_alloc(0);
    ck_assert((c[0] == 7) == (kind != BRAIN_WIDE));
}

START_TEST(left_to_others)
{
    for (int kind = BRAIN_WIDE; kind < BRAIN_KINDS; kind++)
        if (weft__brain_has(kind))
            check_left(kind);
}
END_TEST

START_TEST(named)
{
    const char *own = weft__cpu_brain_name(), *all = device[0]->ops->kernel_set(device[0]);
    printf("%s\n", all);
    ck_assert(!own || (strstr(all, "bf16") && strstr(all, own)));
    ck_assert(!own || !device[0]->ops->lacks(device[0], WEFT_BF16));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("brain");
    TCase *t = tcase_create("products");
    tcase_add_checked_fixture(t, open_devices, close_devices);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, values_by_tiles);
    tcase_add_test(t, values_by_pairs);
    tcase_add_test(t, values_by_f32);
    tcase_add_test(t, rows_alone);
    tcase_add_test(t, bias_and_relu);
    tcase_add_test(t, rounded);
    tcase_add_test(t, without_room);
    tcase_add_test(t, left_to_others);
    tcase_add_test(t, named);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    draw_pool();
    SRunner *r = srunner_create(suite());
    weft_log_level(WEFT_LOG_SILENT);
    srunner_set_fork_status(r, CK_FORK); /* rooms are kept by the process */
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
