/* Products in 16 bits through oneDNN: the values of all kinds of them, the same bits on any number of
 * threads, and what happens where there is none. */
#include "cpu_teams.h"

#include "core/alloc.h"
#include "core/log.h"
#include "device/cpu/half.h"
#include "device/cpu/onednn.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static double wide(uint16_t h)
{
    return (double)half_wide_bf16(h);
}

static const int64_t shape[][3] = {{1, 1, 1},       {1, 5, 7},       {5, 1, 7},      {5, 7, 1},
                                   {64, 10, 256},   {64, 256, 90},   {257, 129, 65}, {300, 100, 50},
                                   {1025, 127, 33}, {700, 1300, 40}, {85, 129, 3},   {513, 3, 40},
                                   {1, 900, 1000},  {900, 1, 1000},  {400, 700, 120}};
#define SHAPES ((int)(sizeof shape / sizeof *shape))

typedef struct product {
    int64_t m, n, k;
    int ta, tb, single, add; /* single: C is f32 */
    uint16_t *a, *b;
} product;

static uint16_t *numbers(int64_t n)
{
    uint16_t *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = half_to_bf16(drand48() - 0.5);
    return x;
}

static product make(int i, int kind)
{
    product p = {.m = shape[i][0],
                 .n = shape[i][1],
                 .k = shape[i][2],
                 .ta = kind & 1,
                 .tb = kind >> 1 & 1,
                 .single = kind >> 2 & 1,
                 .add = kind >> 3 & 1};
    p.a = numbers(p.m * p.k);
    p.b = numbers(p.k * p.n);
    return p;
}

static double before(int64_t i)
{
    return (double)(i % 7);
}

static double got(const product *p, const void *c, int64_t i)
{
    return p->single ? (double)((const float *)c)[i] : wide(((const uint16_t *)c)[i]);
}

/* C on one of the devices; NULL: oneDNN has no such product. */
static void *multiply(const product *p, int t, bool alone)
{
    void *c = malloc((size_t)(p->m * p->n) * 4);
    for (int64_t i = 0; i < p->m * p->n; i++)
        if (p->single)
            ((float *)c)[i] = (float)before(i);
        else
            ((uint16_t *)c)[i] = half_to_bf16(before(i));
    const weft_dev at[] = {{(uintptr_t)c}, {(uintptr_t)p->a}, {(uintptr_t)p->b}};
    const weft_dtype ct = p->single ? WEFT_F32 : WEFT_BF16;
    const int64_t lda = p->ta ? p->m : p->k, ldb = p->tb ? p->k : p->n;
    if (!alone)
        ck_assert(!weft__cpu_gemm(stream[t], at[0], ct, p->n, 1, at[1], lda, p->ta, at[2], ldb,
                                  p->tb, p->add, p->m, p->n, p->k, WEFT_BF16));
    else if (!weft__onednn_gemm(stream[t], at[0], ct, p->n, 1, at[1], lda, p->ta, at[2], ldb, p->tb,
                                p->add, p->m, p->n, p->k, WEFT_BF16))
        return NULL;
    return c;
}

static void check_values(const product *p, const void *c)
{
    for (int x = 0; x < 50; x++) {
        const int64_t i = lrand48() % p->m, j = lrand48() % p->n;
        double sum = p->add ? before(i * p->n + j) : 0, size = 1;
        for (int64_t l = 0; l < p->k; l++) {
            const double term = wide(p->a[p->ta ? l * p->m + i : i * p->k + l]) *
                                wide(p->b[p->tb ? j * p->k + l : l * p->n + j]);
            sum += term;
            size += fabs(term);
        }
        const double slack = p->single ? 1e-6 * size : 1e-6 * size + fabs(sum) / 256;
        const double c1 = got(p, c, i * p->n + j);
        ck_assert_msg(
            fabs(c1 - sum) <= slack, "(%lld, %lld, %lld) transposed %d %d, add %d: %.9g, not %.9g",
            (long long)p->m, (long long)p->n, (long long)p->k, p->ta, p->tb, p->add, c1, sum);
    }
}

static void try_all(bool alone)
{
    for (int i = 0; i < SHAPES; i++)
        for (int kind = 0; kind < 16; kind++) {
            product p = make(i, kind);
            void *c[THREADS];
            for (int t = 0; t < THREADS; t++) {
                ck_assert_ptr_nonnull(c[t] = multiply(&p, t, alone));
                ck_assert_mem_eq(c[0], c[t], (size_t)(p.m * p.n) * (p.single ? 4 : 2));
            }
            check_values(&p, c[0]);
            for (int t = 0; t < THREADS; t++)
                free(c[t]);
            free(p.a);
            free(p.b);
        }
}

static bool has_onednn(void)
{
    return !weft__onednn_lacks(device[0], WEFT_BF16);
}

START_TEST(values)
{
    if (has_onednn())
        try_all(true);
}
END_TEST

/* What it is asked for and has not is left to f32: nothing is written. */
START_TEST(left_to_f32)
{
    float c[4] = {1, 2, 3, 4};
    uint16_t x[4] = {0};
    const weft_dev to = {(uintptr_t)c}, from = {(uintptr_t)x};
    const struct {
        double alpha, beta;
        int64_t k;
    } row[] = {{2, 0, 2}, {1, 0.5, 2}, {1, 1, 0}};
    for (int i = 0; i < 3; i++)
        ck_assert(!weft__onednn_gemm(stream[0], to, WEFT_F32, 2, row[i].alpha, from, 2, 0, from, 2,
                                     0, row[i].beta, 2, 2, row[i].k, WEFT_BF16));
    ck_assert(c[0] == 1 && c[3] == 4);
}
END_TEST

/* More shapes than are kept. */
START_TEST(many_shapes)
{
    product p = {.k = 3, .single = 1, .a = numbers(40 * 3), .b = numbers(40 * 3)};
    for (int round = 0; round < 2 && has_onednn(); round++)
        for (p.m = 1; p.m <= 40; p.m++)
            for (p.n = 1; p.n <= 40; p.n++) {
                void *c = multiply(&p, 0, true);
                ck_assert_ptr_nonnull(c);
                const double first = wide(p.a[0]) * wide(p.b[0]) + wide(p.a[1]) * wide(p.b[p.n]) +
                                     wide(p.a[2]) * wide(p.b[2 * p.n]);
                ck_assert(fabs(got(&p, c, 0) - first) < 1e-6);
                free(c);
            }
    free(p.a);
    free(p.b);
}
END_TEST

static void *infer(void *user)
{
    product p = *(const product *)user;
    void *first = NULL;
    for (int i = 0; i < 200; i++) {
        void *c = multiply(&p, 0, false);
        if (first && memcmp(first, c, (size_t)(p.m * p.n) * 2))
            return "the bits differ";
        free(first);
        first = c;
    }
    free(first);
    return NULL;
}

/* From several threads of the program's own, each with a product, as weft_infer does. */
START_TEST(from_threads)
{
    pthread_t thread[4];
    product p[4];
    for (int i = 0; i < 4; i++) {
        p[i] = make(4 + i / 2, 2);
        ck_assert(!pthread_create(&thread[i], NULL, infer, &p[i]));
    }
    for (int i = 0; i < 4; i++) {
        void *bad;
        pthread_join(thread[i], &bad);
        ck_assert_ptr_null(bad);
        free(p[i].a);
        free(p[i].b);
    }
}
END_TEST

/* Whatever allocation fails, the values are right. */
START_TEST(without_memory)
{
    for (long k = 1; k < 8; k++) {
        product p = make(4, (int)k);
        p.k -= k; /* a shape that is new */
        p.ta = p.tb = 0;
        p.a[0] = half_to_bf16(0.25);
        weft__fail_alloc(k);
        void *c = multiply(&p, 0, false);
        weft__fail_alloc(0);
        check_values(&p, c);
        free(c);
        free(p.a);
        free(p.b);
    }
}
END_TEST

/* Before its first use in a process, which each test has to itself. */
START_TEST(hidden)
{
    setenv("WEFT_ONEDNN", "no", 1);
    const char *why = weft__onednn_lacks(device[0], WEFT_BF16);
    ck_assert(why && (strstr(why, "WEFT_ONEDNN=no") || strstr(why, "this build")));
    ck_assert_ptr_null(weft__onednn_name());
    ck_assert_ptr_null(strstr(device[0]->ops->kernel_set(device[0]), "oneDNN"));
    try_all(false);
}
END_TEST

START_TEST(named)
{
    ck_assert_ptr_null(strstr(device[0]->ops->kernel_set(device[0]), "oneDNN"));
    if (has_onednn())
        ck_assert_ptr_nonnull(strstr(device[0]->ops->kernel_set(device[0]), "oneDNN"));
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("onednn");
    TCase *t = tcase_create("products");
    tcase_add_checked_fixture(t, open_devices, close_devices);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, values);
    tcase_add_test(t, left_to_f32);
    tcase_add_test(t, many_shapes);
    tcase_add_test(t, from_threads);
    tcase_add_test(t, without_memory);
    tcase_add_test(t, hidden);
    tcase_add_test(t, named);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());
    weft_log_level(WEFT_LOG_SILENT);
    srunner_set_fork_status(r, CK_FORK); /* the library is loaded once a process */
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
