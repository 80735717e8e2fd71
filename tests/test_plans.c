/* What the CUDA device's matrix products decide before there is a GPU: which plan a shape has, which one
 * makes room, and how batches are folded. */
#include "device/cuda/plans.h"

#include <check.h>
#include <stdlib.h>

static weft__plans table;
static char plan[4096];

static weft__product product(int64_t m)
{
    return (weft__product){.m = m, .n = 3, .k = 4, .lda = 4, .ldb = 3, .ldc = 3, .count = 1};
}

static weft__plan_place *put(int64_t m)
{
    weft__product p = product(m);
    weft__plan_place *at = weft__plan_find(&table, &p);
    ck_assert(!weft__plan_is(at, &p));
    weft__plan_put(&table, at, &p, &plan[m]);
    return at;
}

static bool has(int64_t m)
{
    weft__product p = product(m);
    weft__plan_place *at = weft__plan_find(&table, &p);
    return weft__plan_is(at, &p) && at->plan == &plan[m];
}

START_TEST(a_shape_finds_its_own_plan)
{
    memset(&table, 0, sizeof table);
    for (int64_t m = 1; m <= 100; m++)
        put(m);
    for (int64_t m = 1; m <= 100; m++)
        ck_assert_msg(has(m), "%d", (int)m);
    weft__product other = product(7);
    other.tb = 1;
    ck_assert(!weft__plan_is(weft__plan_find(&table, &other), &other));
}
END_TEST

/* Shapes of one set. */
static int64_t neighbour(int64_t after, uint64_t set)
{
    for (int64_t m = after + 1;; m++) {
        weft__product p = product(m);
        if (weft__plan_hash(&p) % WEFT__PLAN_SETS == set)
            return m;
    }
}

START_TEST(the_one_not_used_for_longest_goes)
{
    weft__product first = product(1);
    const uint64_t set = weft__plan_hash(&first) % WEFT__PLAN_SETS;
    int64_t m[WEFT__PLAN_WAYS + 1] = {1};
    memset(&table, 0, sizeof table);
    put(1);
    for (int i = 1; i < WEFT__PLAN_WAYS; i++)
        put(m[i] = neighbour(m[i - 1], set));
    ck_assert(has(1)); /* so 1 is the youngest */
    put(m[WEFT__PLAN_WAYS] = neighbour(m[WEFT__PLAN_WAYS - 1], set));
    ck_assert(has(1));
    ck_assert(!has(m[1]));
    for (int i = 2; i <= WEFT__PLAN_WAYS; i++)
        ck_assert_msg(has(m[i]), "%d", i);
    ck_assert_int_eq((int)table.made, WEFT__PLAN_WAYS + 1);
}
END_TEST

START_TEST(alignment_is_that_of_the_lowest_bit)
{
    static const struct {
        uintptr_t at;
        int32_t align;
    } row[] = {{0, 16}, {2, 2}, {4, 4}, {12, 4}, {8, 8}, {16, 16}, {256, 16}, {257, 1}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        ck_assert_int_eq(weft__plan_align(row[i].at), row[i].align);
}
END_TEST

/* Every matrix of the batch is met once, where the strides say. */
static void check_fold(int rank, const int64_t *shape, const int64_t *a, const int64_t *b,
                       int64_t at_once)
{
    weft__fold f = weft__fold_batch(rank, shape, a, b, 10);
    int64_t count, sa, sb, sc, others = 1, all = 1;
    for (int d = 0; d < rank; d++)
        all *= shape[d];
    char *seen = calloc((size_t)all, 1);
    weft__fold_take(&f, &count, &sa, &sb, &sc);
    ck_assert_int_eq((int)count, (int)at_once);
    for (int d = 0; d < f.rank; d++)
        others *= f.shape[d];
    ck_assert_int_eq((int)(others * count), (int)all);
    for (int64_t i = 0; i < others * count; i++) {
        int64_t at_a, at_b, at_c, want_a = 0, want_b = 0;
        weft__fold_at(&f, i / count, &at_a, &at_b, &at_c);
        at_a += i % count * sa;
        at_b += i % count * sb;
        at_c += i % count * sc;
        const int64_t number = at_c / 10;
        ck_assert(number < all && at_c % 10 == 0 && !seen[number]++);
        for (int64_t d = rank - 1, rest = number; d >= 0; rest /= shape[d--]) {
            want_a += rest % shape[d] * a[d];
            want_b += rest % shape[d] * b[d];
        }
        if (at_a != want_a || at_b != want_b)
            ck_abort_msg("matrix %d: a %d b %d, not %d %d", (int)number, (int)at_a, (int)at_b,
                         (int)want_a, (int)want_b);
    }
    free(seen);
}

START_TEST(batches_are_folded)
{
    check_fold(0, NULL, NULL, NULL, 1);
    check_fold(2, (int64_t[]){3, 4}, (int64_t[]){80, 20}, (int64_t[]){120, 30}, 12);
    check_fold(2, (int64_t[]){3, 4}, (int64_t[]){80, 20}, (int64_t[]){0, 30}, 4);
    check_fold(2, (int64_t[]){5, 4}, (int64_t[]){80, 20}, (int64_t[]){30, 0}, 5);
    check_fold(3, (int64_t[]){2, 1, 4}, (int64_t[]){80, 7, 20}, (int64_t[]){0, 9, 0}, 8);
    check_fold(3, (int64_t[]){2, 3, 4}, (int64_t[]){0, 80, 20}, (int64_t[]){40, 0, 10}, 4);
    check_fold(3, (int64_t[]){2, 3, 4}, (int64_t[]){240, 80, 20}, (int64_t[]){0, 40, 10}, 12);
}
END_TEST

START_TEST(another_way_has_to_be_clearly_faster)
{
    static const struct {
        float time[4];
        int n, best;
    } row[] = {{{5}, 1, 0},           {{5, 4.9f}, 2, 0},  {{5, 4, 3, 3.5f}, 4, 2},
               {{-1, 4, 3.9f}, 3, 1}, {{-1, 4, 2}, 3, 2}, {{4, -1, -1, 3}, 4, 3},
               {{-1, -1}, 2, -1},     {{0}, 0, -1}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        ck_assert_int_eq(weft__plan_fastest(row[i].time, row[i].n), row[i].best);
}
END_TEST

/* Small ones cost what it costs to start them, and one that adds cannot be tried. */
START_TEST(what_is_worth_timing)
{
    weft__product p = {.m = 1024, .n = 1024, .k = 1024, .count = 1};
    ck_assert(weft__plan_is_timed(&p));
    p.adds = 1;
    ck_assert(!weft__plan_is_timed(&p));
    p = (weft__product){.m = 64, .n = 256, .k = 784, .count = 1};
    ck_assert(!weft__plan_is_timed(&p));
    p.count = 64;
    ck_assert(weft__plan_is_timed(&p));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("plans");
    TCase *t = tcase_create("all");
    tcase_add_test(t, a_shape_finds_its_own_plan);
    tcase_add_test(t, the_one_not_used_for_longest_goes);
    tcase_add_test(t, alignment_is_that_of_the_lowest_bit);
    tcase_add_test(t, batches_are_folded);
    tcase_add_test(t, another_way_has_to_be_clearly_faster);
    tcase_add_test(t, what_is_worth_timing);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
