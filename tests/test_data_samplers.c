/* Weighted draws, replacement, batches of similar length, and orders of the program's own. */
#include "data_fixture.h"

#include <math.h>
#include <weft/sys/sampler.h>

#define ROWS 60

static int64_t number[ROWS];

static weft_loader *loader(weft_fabric *f, int64_t rows, const weft_loader_options *o)
{
    for (int i = 0; i < ROWS; i++)
        number[i] = i;
    return weft_loader_arrays(f, rows, number, 0, NULL, WEFT_I64, NULL, WEFT_DEFAULT, o);
}

static weft_loader *good(weft_fabric *f, int64_t rows, const weft_loader_options *o)
{
    weft_loader *l = loader(f, rows, o);
    ck_assert_msg(l != NULL, "%s", weft_message(f));
    return l;
}

/* ---- the statistics */

/* Drawn rows against their expected numbers: chi-square with k - 1 degrees of freedom has mean k -
 * 1 and deviation sqrt(2 (k - 1)); draws are fixed by the seed, so this passes always or never. */
static void check_draws(const double *weight, int64_t rows, uint64_t seed)
{
    int64_t times[ROWS] = {0}, draws = 20000, kinds = 0;
    double sum = 0, chi = 0;
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = good(f, rows,
                          WEFT_LOADER(.weights = weight, .samples = draws / 4, .epochs = 4,
                                      .global_batch = 100, .seed = seed));
    ck_assert_int_eq(weft_loader_batches(l), draws / 400);
    for (weft_batch b; weft__loader_next(l, &b);)
        for (int64_t i = 0; i < b.rows; i++)
            times[b.sample[i]]++;
    ck_assert_int_eq(weft_error(f), 0);
    for (int64_t i = 0; i < rows; i++)
        sum += weight[i];
    for (int64_t i = 0; i < rows; i++) {
        double expected = (double)draws * weight[i] / sum;
        if (weight[i] > 0)
            chi += (times[i] - expected) * (times[i] - expected) / expected;
        else
            ck_assert_int_eq(times[i], 0);
        kinds += weight[i] > 0;
    }
    double k = (double)kinds - 1;
    ck_assert_msg(fabs(chi - k) <= 4 * sqrt(2 * k), "chi-square %g of %g", chi, k);
    drop(f);
}

START_TEST(draws_follow_the_weights)
{
    double weight[ROWS];
    for (uint64_t seed = 1; seed <= 5; seed++) {
        for (int i = 0; i < ROWS; i++)
            weight[i] = 1 + i % 7;
        check_draws(weight, ROWS, seed);
        for (int i = 0; i < ROWS; i++)
            weight[i] = i % 3 ? 0.001 * (i + 1) : 0;
        check_draws(weight, ROWS, seed);
        weight[5] = 1000;
        for (int i = 0; i < ROWS; i++)
            weight[i] = i == 5 ? 3 : 1e-1;
        check_draws(weight, ROWS, seed);
        check_draws((const double[]){0, 1, 0}, 3, seed);
    }
}
END_TEST

START_TEST(replacement_is_uniform)
{
    int64_t times[ROWS] = {0};
    double chi = 0;
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = good(f, ROWS, WEFT_LOADER(.replacement = true, .samples = 6000));
    for (weft_batch b; weft__loader_next(l, &b);)
        for (int64_t i = 0; i < b.rows; i++)
            times[b.sample[i]]++;
    for (int i = 0; i < ROWS; i++)
        chi += (times[i] - 100.) * (times[i] - 100.) / 100;
    ck_assert_msg(fabs(chi - 59) <= 4 * sqrt(118), "chi-square %g", chi);
    drop(f);
}
END_TEST

/* ---- functions of (seed, epoch) alone */

static const double weight[ROWS] = {[3] = 1, [4] = 2, [10] = 5, [11] = 0.5, [59] = 4};
static int64_t length[ROWS];

static weft_status backwards(void *self, uint64_t seed, int64_t epoch, int64_t rows, int64_t *order,
                             int64_t n, char *why, size_t why_size)
{
    (void)seed;
    for (int64_t i = 0; i < n; i++)
        order[i] = rows - 1 - (i + epoch) % rows;
    if (self && epoch == 1) {
        snprintf(why, why_size, "epoch 1 is cursed");
        return *(int *)self == 1 ? WEFT_EUSER : (order[n / 2] = rows, WEFT_OK);
    }
    return WEFT_OK;
}

static const weft_sampler_ops own = {.size = sizeof own, .name = "backwards", .order = backwards};

#define KINDS 5

static weft_loader_options option(int kind)
{
    weft_loader_options o = {.global_batch = 7, .epochs = 3};
    for (int i = 0; i < ROWS; i++)
        length[i] = i * 37 % 23;
    o.weights = kind == 0 || kind == 1 ? weight : NULL;
    o.samples = kind == 1 ? 33 : kind == 2 ? 90 : 0;
    o.replacement = kind == 2;
    o.lengths = kind == 3 ? length : NULL;
    o.sampler = kind == 4 ? &own : NULL;
    return o;
}

/* Row of each place of the run, from `world` ranks. */
static int64_t places(int kind, int world, int workers, uint64_t seed, int64_t *row)
{
    int64_t most = 0;
    for (int rank = 0; rank < world; rank++) {
        weft_fabric *f = fabric(rank, world, WEFT_F32);
        weft_loader_options o = option(kind);
        o.workers = workers;
        o.seed = seed;
        weft_loader *l = good(f, ROWS, &o);
        for (weft_batch b; weft__loader_next(l, &b);)
            for (int64_t i = 0; i < b.rows; i++) {
                ck_assert_int_lt(b.base + i, 1000);
                ck_assert(value(b.x, i) == (double)b.sample[i]);
                row[b.base + i] = b.sample[i];
                most = b.base + i + 1 > most ? b.base + i + 1 : most;
            }
        ck_assert_msg(!weft_error(f), "%s", weft_message(f));
        drop(f);
    }
    return most;
}

START_TEST(orders_depend_on_seed_and_epoch_alone)
{
    static const int64_t an_epoch[KINDS] = {ROWS, 33, 90, ROWS, ROWS};
    for (int kind = 0; kind < KINDS; kind++) {
        int64_t a[1000], b[1000], n = places(kind, 1, 1, 5, a), k = an_epoch[kind];
        ck_assert_int_eq(n, 3 * k);
        for (int world = 1; world <= 4; world += 3) {
            memset(b, -1, sizeof b);
            ck_assert_int_eq(places(kind, world, 3, 5, b), n);
            ck_assert_mem_eq(a, b, (size_t)n * sizeof *a);
        }
        ck_assert_mem_ne(a, a + k, (size_t)k * sizeof *a);
        places(kind, 1, 1, 6, b);
        if (kind < 4)
            ck_assert_mem_ne(a, b, (size_t)n * sizeof *a);
    }
}
END_TEST

/* A checkpoint made today must go on in the same order with every later version. */
START_TEST(golden_orders)
{
    static const int64_t golden[KINDS][8] = {
        {59, 59, 10, 59, 10, 59, 4, 4},   {59, 59, 10, 59, 10, 59, 4, 4},
        {49, 7, 50, 25, 54, 37, 36, 38},  {12, 17, 40, 45, 22, 4, 27, 46},
        {59, 58, 57, 56, 55, 54, 53, 52},
    };
    int64_t a[1000];
    for (int kind = 0; kind < KINDS; kind++) {
        places(kind, 1, 1, 5, a);
        for (int i = 0; i < 8; i++)
            ck_assert_msg(a[i] == golden[kind][i], "kind %d: {%d, %d, %d, %d, %d, %d, %d, %d}",
                          kind, (int)a[0], (int)a[1], (int)a[2], (int)a[3], (int)a[4], (int)a[5],
                          (int)a[6], (int)a[7]);
    }
}
END_TEST

/* ---- buckets */

START_TEST(batches_of_similar_length)
{
    int64_t many[6000], spread = 0, random_spread = 0;
    static int64_t big[6000];
    for (int i = 0; i < 6000; i++)
        many[i] = i * 7919 % 997;
    for (int bucketed = 0; bucketed < 2; bucketed++) {
        char seen[6000] = {0};
        int64_t ups = 0, before = -1, batches = 0;
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_loader *l = weft_loader_arrays(
            f, 6000, big, 0, NULL, WEFT_I64, NULL, WEFT_DEFAULT,
            WEFT_LOADER(.global_batch = 16, .shuffle = true, .lengths = bucketed ? many : NULL));
        for (weft_batch b; weft__loader_next(l, &b); batches++) {
            int64_t low = INT64_MAX, high = 0;
            for (int64_t i = 0; i < b.rows; i++) {
                int64_t n = many[b.sample[i]];
                ck_assert(!seen[b.sample[i]]++);
                low = n < low ? n : low;
                high = n > high ? n : high;
            }
            *(bucketed ? &spread : &random_spread) += high - low;
            ups += low > before;
            before = low;
        }
        ck_assert_int_eq(batches, 375);
        ck_assert(ups > 120 && ups < 255); /* batches themselves come in random order */
        for (int i = 0; i < 6000; i++)
            ck_assert(seen[i]);
        drop(f);
    }
    ck_assert_int_lt(spread * 20, random_spread);
}
END_TEST

START_TEST(buckets_of_any_size)
{
    for (int64_t rows = 1; rows <= ROWS; rows++)
        for (int64_t batch = 1; batch <= 64; batch += batch < 5 ? 1 : 13) {
            int times[ROWS] = {0};
            weft_fabric *f = fabric(0, 1, WEFT_F32);
            weft_loader *l =
                good(f, rows, WEFT_LOADER(.global_batch = batch, .lengths = option(3).lengths));
            for (weft_batch b; weft__loader_next(l, &b);)
                for (int64_t i = 0; i < b.rows; i++)
                    times[b.sample[i]]++;
            for (int64_t i = 0; i < rows; i++)
                ck_assert_int_eq(times[i], 1);
            drop(f);
        }
}
END_TEST

/* ---- resume */

START_TEST(resume_in_the_middle)
{
    for (int kind = 0; kind < KINDS; kind++)
        for (int64_t stop = 0; stop <= 14; stop += 3) {
            memory m = {0};
            weft_loader_options o = option(kind);
            weft_fabric *f = fabric(1, 2, WEFT_F32), *g = fabric(1, 2, WEFT_F32);
            weft_loader *l = good(f, ROWS, &o);
            o.workers = 3;
            g->seed = 9; /* the checkpoint's counts */
            weft_loader *k = good(g, ROWS, &o);
            free(record(l, stop));
            visit(&m, WEFT_VISIT_SAVE, l);
            free(record(k, 2));
            ck_assert_int_eq(visit(&m, WEFT_VISIT_CHECK, k), 0);
            ck_assert_int_eq(visit(&m, WEFT_VISIT_LOAD, k), 0);
            char *rest = record(l, 100), *resumed = record(k, 100);
            ck_assert_str_eq(rest, resumed);
            ck_assert(rest[0]);
            free(rest);
            free(resumed);
            drop(f);
            drop(g);
        }
}
END_TEST

/* Saved on 2 ranks, gone on with on 3: together they get the rows that are left, each at its place. */
START_TEST(resume_on_other_ranks)
{
    for (int kind = 0; kind < KINDS; kind++)
        for (int64_t stop = 1; stop <= 13; stop += 4) {
            int64_t all[1000], total = places(kind, 1, 1, 42, all), got = 0, from = 1000;
            memory m = {0};
            weft_loader_options o = option(kind);
            weft_fabric *f = fabric(0, 2, WEFT_F32);
            weft_loader *l = good(f, ROWS, &o);
            free(record(l, stop));
            visit(&m, WEFT_VISIT_SAVE, l);
            drop(f);
            for (int rank = 0; rank < 3; rank++) {
                f = fabric(rank, 3, WEFT_F32);
                l = good(f, ROWS, &o);
                ck_assert_int_eq(visit(&m, WEFT_VISIT_CHECK, l), 0);
                ck_assert_int_eq(visit(&m, WEFT_VISIT_LOAD, l), 0);
                for (weft_batch b; weft__loader_next(l, &b); got += b.rows)
                    for (int64_t i = 0; i < b.rows; i++) {
                        ck_assert_int_eq(b.sample[i], all[b.base + i]);
                        from = b.base + i < from ? b.base + i : from;
                    }
                drop(f);
            }
            ck_assert(from < 1000 && got == total - from);
        }
}
END_TEST

START_TEST(buckets_depend_on_the_batch)
{
    memory m = {0};
    weft_loader_options o = option(3);
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    o.global_batch = 6;
    weft_loader *l = good(f, ROWS, &o);
    o.global_batch = 3;
    weft_loader *k = good(f, ROWS, &o);
    free(record(l, 2));
    visit(&m, WEFT_VISIT_SAVE, l);
    ck_assert_int_eq(visit(&m, WEFT_VISIT_CHECK, k), WEFT_ECONFIG);
    ck_assert_ptr_nonnull(strstr(weft__why(), "sorted by length"));
    free(record(l, 8));
    visit(&m, WEFT_VISIT_SAVE, l);
    ck_assert_int_eq(visit(&m, WEFT_VISIT_CHECK, k), 0); /* an epoch's end is fine */
    drop(f);
}
END_TEST

/* ---- what fails */

START_TEST(orders_that_fail)
{
    for (int how = 1; how <= 2; how++)
        for (int workers = 1; workers <= 3; workers++) {
            weft_fabric *f = fabric(0, 1, WEFT_F32);
            weft_loader *l = good(f, 20,
                                  WEFT_LOADER(.sampler = &own, .sampler_self = &how, .epochs = 3,
                                              .global_batch = 10, .workers = workers));
            weft_batch b;
            ck_assert(weft__loader_next(l, &b) && weft__loader_next(l, &b));
            if (how == 2)
                ck_assert(weft__loader_next(l, &b));
            ck_assert(!weft__loader_next(l, &b));
            ck_assert_ptr_nonnull(strstr(weft_message(f), "arrays: sampler backwards, batch "));
            expect(f, WEFT_EUSER,
                   how == 1 ? "epoch 1 is cursed"
                            : "order[10] is 20, the data set has rows 0 to 19");
            drop(f);
        }
}
END_TEST

static void refuse(const weft_loader_options *o, const char *text)
{
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    ck_assert_ptr_null(loader(f, 3, o));
    expect(f, WEFT_EARG, text);
    ck_assert_ptr_null(f->objects);
    drop(f);
}

START_TEST(options_are_read_strictly)
{
    static const weft_sampler_ops none = {.size = sizeof none}, small = {.order = backwards};
    const double negative[] = {1, -1, 1}, nan[] = {1, 1, NAN}, zero[] = {0, 0, 0},
                 huge[] = {1e308, 1e308, 1}, fine[] = {1, 1, 1};
    const int64_t length_[] = {1, 2, -3}, fits[] = {1, 2, 3};
    refuse(WEFT_LOADER(.weights = negative), "weights[1] is -1");
    refuse(WEFT_LOADER(.weights = nan), "weights[2] is nan");
    refuse(WEFT_LOADER(.weights = zero), "sum to 0");
    refuse(WEFT_LOADER(.weights = huge), "sum to inf");
    refuse(WEFT_LOADER(.lengths = length_), "lengths[2] is -3");
    refuse(WEFT_LOADER(.samples = 5), "samples is 5");
    refuse(WEFT_LOADER(.samples = -5, .replacement = true), "samples is -5");
    refuse(WEFT_LOADER(.samples = 5, .lengths = fits), "samples is 5");
    refuse(WEFT_LOADER(.weights = fine, .shuffle = true), "exclude each other");
    refuse(WEFT_LOADER(.weights = fine, .lengths = fits), "exclude each other");
    refuse(WEFT_LOADER(.replacement = true, .sampler = &own), "exclude each other");
    refuse(WEFT_LOADER(.evaluation = true, .weights = fine), "every row once");
    refuse(WEFT_LOADER(.evaluation = true, .lengths = fits), "every row once");
    refuse(WEFT_LOADER(.sampler = &none), "ops table of full size with order");
    refuse(WEFT_LOADER(.sampler = &small), "ops table of full size with order");
    refuse(WEFT_LOADER(.weights = fine, .samples = INT64_MAX), "can be counted");
}
END_TEST

START_TEST(every_failing_allocation_is_survived)
{
    for (int kind = 0; kind < KINDS; kind++) {
        bool through = false;
        for (long k = 1; !through; k++) {
            weft_fabric *f = fabric(0, 1, WEFT_F32);
            weft_loader_options o = option(kind);
            weft_batch b;
            weft__fail_alloc(k);
            weft_loader *l = loader(f, ROWS, &o);
            through = l && weft__loader_next(l, &b);
            through = through && weft__fail_alloc(0) > 0;
            if (!through)
                expect(f, WEFT_ENOMEM, "no memory");
            if (!through && l)
                ck_assert(weft__loader_next(l, &b));
            ck_assert_int_lt(k, 50);
            drop(f);
        }
    }
}
END_TEST

int main(void)
{
    if (!make_dir())
        return 99;
    Suite *s = suite_create("samplers");
    TCase *c = tcase_create("samplers");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, draws_follow_the_weights);
    tcase_add_test(c, replacement_is_uniform);
    tcase_add_test(c, orders_depend_on_seed_and_epoch_alone);
    tcase_add_test(c, golden_orders);
    tcase_add_test(c, batches_of_similar_length);
    tcase_add_test(c, buckets_of_any_size);
    tcase_add_test(c, resume_in_the_middle);
    tcase_add_test(c, resume_on_other_ranks);
    tcase_add_test(c, buckets_depend_on_the_batch);
    tcase_add_test(c, orders_that_fail);
    tcase_add_test(c, options_are_read_strictly);
    tcase_add_test(c, every_failing_allocation_is_survived);
    suite_add_tcase(s, c);
    return run_suite(s);
}
