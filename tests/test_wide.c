/* Products in f32 by own kernels: their values against sums in f64, nothing written beyond C nor read beyond A and B,
 * and the same bits on any number of threads and without memory to pack in. */
#include "cpu_teams.h"

#include "device/cpu/wide.h"

#include "core/alloc.h"
#include "core/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHECKED 60 /* numbers of each product */

/* m, n, k: few rows, and below, at and above edges of tiles, panels, parts of A and of k; and a C so large that it is
 * written past the caches. */
static const int64_t shape[][3] = {
    {1, 1, 1},       {1, 300, 500},   {5, 7, 1},        {15, 33, 127},     {27, 63, 131},
    {29, 65, 257},   {32, 31, 784},   {65, 33, 785},    {64, 256, 784},    {256, 784, 64},
    {32, 256, 800},  {33, 257, 801},  {14, 257, 128},   {15, 255, 128},    {15, 256, 127},
    {15, 256, 128},  {16, 270, 129},  {27, 287, 130},   {28, 288, 200},    {1040, 1024, 33},
    {29, 289, 257},  {288, 257, 520}, {289, 300, 521},  {1040, 1024, 136}, {577, 300, 1601},
    {600, 512, 160}, {40, 1300, 900}, {256, 130, 1024}, {64, 784, 256},    {590, 288, 900},
    {561, 284, 250}, {39, 43, 10},    {257, 300, 12},   {64, 16, 3},       {8, 13, 131},
    {39, 10, 256},   {1030, 3, 77},   {25, 1, 1000},    {1, 10, 256},      {1, 300, 10},
    {2, 150, 3}};
#define SHAPES ((int)(sizeof shape / sizeof *shape))
#define KINDS 8
#define LARGE 15000000 /* multiply-adds, for which three of the kinds must do */

/* Memory that ends where no more is mapped. */
typedef struct operand {
    float *x;
    char *page;
    size_t bytes;
} operand;

static operand operand_of(int64_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), used = (size_t)n * sizeof(float);
    operand o = {.bytes = (used + page - 1) / page * page + page};
    o.page = mmap(NULL, o.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(o.page != MAP_FAILED);
    ck_assert_int_eq(mprotect(o.page + o.bytes - page, page, PROT_NONE), 0);
    o.x = (float *)(o.page + o.bytes - page - used);
    for (int64_t i = 0; i < n; i++)
        o.x[i] = (float)draw();
    return o;
}

typedef struct product {
    int64_t m, n, k, lda, ldb, ldc;
    int ta, tb;
    double alpha, beta;
    operand a, b, c;
} product;

static product make(int i, int kind)
{
    static const double alpha[] = {1, 1, 0.5, 1}, beta[] = {0, 1, 0, -0.25};
    const int64_t apart = kind >> 2 & 1 ? 5 : 0;
    product p = {.m = shape[i][0],
                 .n = shape[i][1],
                 .k = shape[i][2],
                 .ta = kind & 1,
                 .tb = kind >> 1 & 1,
                 .alpha = alpha[(i + kind) % 4],
                 .beta = beta[(i + kind) % 4]};
    p.lda = (p.ta ? p.m : p.k) + apart;
    p.ldb = (p.tb ? p.k : p.n) + apart;
    p.ldc = p.n + 3 * apart;
    p.a = operand_of((p.ta ? p.k : p.m) * p.lda - apart);
    p.b = operand_of((p.tb ? p.n : p.k) * p.ldb - apart);
    p.c = operand_of(p.m * p.ldc - 3 * apart);
    return p;
}

static void drop(product *p)
{
    munmap(p->a.page, p->a.bytes);
    munmap(p->b.page, p->b.bytes);
    munmap(p->c.page, p->c.bytes);
}

static float before(int64_t i)
{
    return (float)(i % 7);
}

static int64_t length(const product *p)
{
    return p->m * p->ldc - (p->ldc - p->n);
}

static void multiply(const product *p, int t)
{
    const weft_dev a = {(uintptr_t)p->a.x}, b = {(uintptr_t)p->b.x}, c = {(uintptr_t)p->c.x};
    for (int64_t i = 0; i < length(p); i++)
        p->c.x[i] = before(i);
    ck_assert(weft__cpu_wide(stream[t], c, WEFT_F32, p->ldc, p->alpha, a, p->lda, p->ta, b, p->ldb,
                             p->tb, p->beta, p->m, p->n, p->k, WEFT_F32));
}

static void check_number(const product *p, int64_t i, int64_t j)
{
    const double old = p->beta * (double)before(i * p->ldc + j);
    double sum = 0, size = 1 + fabs(old);
    for (int64_t l = 0; l < p->k; l++) {
        const double term = (double)p->a.x[p->ta ? l * p->lda + i : i * p->lda + l] *
                            (double)p->b.x[p->tb ? j * p->ldb + l : l * p->ldb + j];
        sum += term;
        size += fabs(term);
    }
    sum = p->alpha * sum + old;
    const double found = (double)p->c.x[i * p->ldc + j];
    if (!(fabs(found - sum) <= 1e-6 * size))
        ck_abort_msg("(%lld, %lld, %lld) transposed %d %d, alpha %g, beta %g, [%lld, %lld]: %.9g, "
                     "not %.9g",
                     (long long)p->m, (long long)p->n, (long long)p->k, p->ta, p->tb, p->alpha,
                     p->beta, (long long)i, (long long)j, found, sum);
}

/* Some numbers, corners among them; what lies between rows stays. */
static void check_values(const product *p)
{
    for (int x = 0; x < CHECKED; x++) {
        const int64_t i = (int64_t)((draw() + 0.5) * (double)p->m);
        const int64_t j = (int64_t)((draw() + 0.5) * (double)p->n);
        check_number(p, x < 40 ? i : p->m - 1 - i % 3 % p->m, x < 50 ? j : p->n - 1 - j % 3 % p->n);
    }
    int64_t beyond = 0;
    for (int64_t i = 0; i + 1 < p->m; i++)
        for (int64_t j = i * p->ldc + p->n; j < (i + 1) * p->ldc; j++)
            beyond += p->c.x[j] != before(j);
    ck_assert_int_eq(beyond, 0);
}

static bool left_out(int i)
{
    const int64_t *s = shape[i / KINDS];
    return s[0] * s[1] * s[2] > LARGE && i % KINDS > 1 && i % KINDS != 6;
}

START_TEST(values)
{
    for (int i = 0; i < SHAPES * KINDS; i++) {
        if (left_out(i))
            continue;
        product p = make(i / KINDS, i % KINDS);
        const size_t bytes = (size_t)length(&p) * sizeof(float);
        float *first = malloc(bytes);
        multiply(&p, 0);
        check_values(&p);
        memcpy(first, p.c.x, bytes);
        for (int t = 1; t < THREADS; t++) {
            multiply(&p, t);
            ck_assert_mem_eq(first, p.c.x, bytes);
        }
        free(first);
        drop(&p);
    }
}
END_TEST

/* Where there is no memory to pack in, what is on the stack has to do. */
START_TEST(without_room)
{
    for (int i = 0; i < SHAPES * KINDS; i += 5) {
        if (left_out(i))
            continue;
        product p = make(i / KINDS, i % KINDS);
        const size_t bytes = (size_t)length(&p) * sizeof(float);
        float *first = malloc(bytes);
        weft__fail_alloc(1);
        multiply(&p, 0);
        weft__fail_alloc(0);
        memcpy(first, p.c.x, bytes);
        multiply(&p, 0);
        ck_assert_mem_eq(first, p.c.x, bytes);
        free(first);
        drop(&p);
    }
}
END_TEST

/* The bits of a product that is added to rows of the bias, and relu of them. */
START_TEST(bias_and_relu)
{
    for (int i = 0; i < SHAPES * 2; i++) {
        product p = make(i / 2, 2);
        const bool relu = i & 1, bias = i / 2 & 1;
        const int t = i % THREADS;
        operand b = operand_of(p.n), y = operand_of(p.m * p.n);
        p.alpha = 1, p.beta = 0;
        multiply(&p, t);
        ck_assert(weft__cpu_wide_linear(stream[t], (weft_dev){(uintptr_t)y.x},
                                        (weft_dev){(uintptr_t)p.a.x}, (weft_dev){(uintptr_t)p.b.x},
                                        (weft_dev){bias ? (uintptr_t)b.x : 0}, relu, p.m, p.k, p.n,
                                        WEFT_F32));
        int64_t bad = 0;
        for (int64_t r = 0; r < p.m; r++)
            for (int64_t j = 0; j < p.n; j++) {
                const float z = p.c.x[r * p.ldc + j] + (bias ? b.x[j] : 0);
                bad += y.x[r * p.n + j] != (relu && z < 0 ? 0 : z);
            }
        ck_assert_int_eq(bad, 0);
        munmap(b.page, b.bytes);
        munmap(y.page, y.bytes);
        drop(&p);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("wide");
    TCase *t = tcase_create("products");
    tcase_add_checked_fixture(t, open_devices, close_devices);
    tcase_set_timeout(t, 60);
    if (weft__cpu_wide_name()) {
        tcase_add_test(t, values);
        tcase_add_test(t, without_room);
        tcase_add_test(t, bias_and_relu);
    }
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());
    weft_log_level(WEFT_LOG_SILENT);
    srunner_set_fork_status(r, CK_FORK); /* rooms are kept by the process */
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
