/* The sampler: orders, batches and slices. */
#include "data/sampler.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MOST 50
#define ROWS_A_BATCH 16

static const weft__last modes[] = {WEFT__UNEVEN, WEFT__DROP, WEFT__PAD};

/* How often each position is handed out over an epoch, all ranks together; they must come in
 * order. @return positions handed out. */
static int64_t walk(int64_t n, int64_t batch, int world, weft__last last, int *times)
{
    int64_t at = 0, batches = weft__sampler_batches(n, batch, last);
    for (int64_t b = 0; b < batches; b++) {
        int64_t rows = weft__sampler_rows(n, batch, last, b), first, count, least = -1, most = -1;
        ck_assert_int_gt(rows, 0);
        ck_assert_int_le(rows, batch);
        ck_assert_int_eq(at, b * batch);
        for (int r = 0; r < world; r++) {
            weft__sampler_slice(rows, r, world, &first, &count);
            ck_assert_int_eq(b * batch + first, at);
            for (int64_t i = 0; i < count; i++)
                times[at++ % n]++;
            least = least < 0 || count < least ? count : least;
            most = count > most ? count : most;
        }
        ck_assert_int_le(most - least, 1);
    }
    ck_assert_int_eq(weft__sampler_rows(n, batch, last, batches), 0);
    return at;
}

static void check_epoch(int64_t n, int64_t batch, int world, weft__last last)
{
    int times[MOST + 1] = {0};
    int64_t got = walk(n, batch, world, last, times);
    int64_t full = n / batch * batch, up = (n + batch - 1) / batch * batch;
    ck_assert_int_eq(got, last == WEFT__UNEVEN ? n : last == WEFT__DROP ? full : up);
    for (int64_t i = 0; i < n; i++) {
        /* Padding begins again at the first rows, so the early ones have the extra turn. */
        int64_t turns = last == WEFT__UNEVEN ? 1
                        : last == WEFT__DROP ? i < full
                                             : (up - i - 1) / n + 1;
        ck_assert_int_eq(times[i], turns);
    }
}

START_TEST(every_row_exactly_once)
{
    for (int64_t n = 0; n <= MOST; n++)
        for (int world = 1; world <= 8; world++)
            for (int64_t batch = 1; batch <= ROWS_A_BATCH; batch = batch == 9 ? 16 : batch + 1)
                for (int m = 0; m < 3; m++)
                    check_epoch(n, batch, world, modes[m]);
}
END_TEST

START_TEST(order_is_a_permutation)
{
    for (int64_t n = 0; n <= 2000; n = n < 20 ? n + 1 : n * 3) {
        int64_t *order = malloc((size_t)(n + 1) * sizeof *order);
        char *seen = calloc((size_t)n + 1, 1);
        weft__sampler_order(order, n, 17, 3, true);
        for (int64_t i = 0; i < n; i++) {
            ck_assert(order[i] >= 0 && order[i] < n);
            ck_assert(!seen[order[i]]);
            seen[order[i]] = 1;
        }
        free(order);
        free(seen);
    }
}
END_TEST

START_TEST(order_depends_on_seed_and_epoch_alone)
{
    int64_t a[100], b[100], c[100], d[100], e[100];
    weft__sampler_order(a, 100, 1, 0, true);
    weft__sampler_order(b, 100, 1, 0, true);
    weft__sampler_order(c, 100, 1, 1, true);
    weft__sampler_order(d, 100, 2, 0, true);
    weft__sampler_order(e, 100, 1, 1, false);
    ck_assert_mem_eq(a, b, sizeof a);
    ck_assert_mem_ne(a, c, sizeof a);
    ck_assert_mem_ne(a, d, sizeof a);
    for (int64_t i = 0; i < 100; i++)
        ck_assert_int_eq(e[i], i);
}
END_TEST

/* A checkpoint made today must go on in the same order with every later version. */
START_TEST(golden_order)
{
    static const int64_t golden[10] = {9, 0, 2, 1, 6, 3, 4, 8, 7, 5};
    int64_t order[10];
    weft__sampler_order(order, 10, 0, 0, true);
    ck_assert_mem_eq(order, golden, sizeof golden);
}
END_TEST

/* Each value should stand at each place about equally often. */
START_TEST(order_is_fair)
{
    enum { N = 8, DRAWS = 8000 };
    int64_t order[N], times[N][N] = {{0}};
    for (int epoch = 0; epoch < DRAWS; epoch++) {
        weft__sampler_order(order, N, 5, epoch, true);
        for (int i = 0; i < N; i++)
            times[i][order[i]]++;
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            ck_assert_int_le(llabs((long long)times[i][j] - DRAWS / N), 150); /* 5 deviations */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sampler");
    TCase *c = tcase_create("sampler");
    tcase_add_test(c, every_row_exactly_once);
    tcase_add_test(c, order_is_a_permutation);
    tcase_add_test(c, order_depends_on_seed_and_epoch_alone);
    tcase_add_test(c, golden_order);
    tcase_add_test(c, order_is_fair);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
