/* Streams on several ranks, whose shards end at different times; joins without a loader; and
 * loaders of all kinds that differ between ranks. */
#include "mpi_train.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft/sys/sampler.h>
#include <weft/sys/stream.h>

#define BATCH 4 /* rows a rank */

/* Rank r has rows[r] rows of its own, the rows of data_x and data_y from first[r] on, shard s of
 * its `shards` every shards-th. */
typedef struct uneven {
    int64_t first, rows;
    int64_t bad;    /* row of its own that cannot be read, -1: none */
    int64_t locked; /* batches that its shards' doors are locked for */
} uneven;

typedef struct cursor {
    const uneven *of;
    int64_t step;
} cursor;

static int shards_a_rank;

static weft_status open_shard(void *self, int64_t shard, int64_t shards, int64_t epoch,
                              const weft_stream_at *at, void **out, char *why, size_t why_size)
{
    uneven *u = self;
    (void)epoch, (void)at;
    if (u->locked-- > 0 || shards != (int64_t)shards_a_rank * all_world() ||
        shard / shards_a_rank != all_rank()) {
        snprintf(why, why_size, "locked");
        return WEFT_EIO;
    }
    cursor *c = calloc(1, sizeof *c);
    *c = (cursor){.of = u, .step = shards_a_rank};
    *out = c;
    return WEFT_OK;
}

static weft_status next_rows(void *self, const weft_rows *r, void *const data[], int64_t *got,
                             weft_stream_at *at, char *why, size_t why_size)
{
    const cursor *c = self;
    double *x = data[0];
    int32_t *y = data[1];
    int64_t from = (int64_t)r->shard % shards_a_rank, i = 0;
    for (int64_t k = at->state[0]; i < r->n; i++, k++) {
        int64_t row = from + k * c->step;
        if (row >= c->of->rows)
            break;
        if (row == c->of->bad) {
            snprintf(why, why_size, "row %lld is torn", (long long)row);
            at->state[0] = k + 1;
            return WEFT_EDATA;
        }
        memcpy(x + i * FEATURES, data_x + (c->of->first + row) * FEATURES, FEATURES * sizeof *x);
        y[i] = data_y[c->of->first + row];
    }
    at->state[0] += i;
    *got = i;
    return WEFT_OK;
}

static const weft_stream_ops ops = {
    .size = sizeof ops, .name = "uneven", .open = open_shard, .next = next_rows, .close = free};
static const weft_field field[2] = {
    {.present = true, .dtype = WEFT_F64, .rank = 1, .shape = {FEATURES}},
    {.present = true, .dtype = WEFT_I32}};

typedef struct job {
    weft_fabric *f;
    weft_module *model;
    weft_optimizer *sgd;
    weft_loader *train;
    uneven mine;
    double params[1000];
    size_t n;
    int64_t steps, rows, global, empty;
} job;

/* Rows of rank r: rank 1 has none, the last most. */
static int64_t rows_of(int r)
{
    return r == 1 ? 0 : 13 + 17 * r;
}

static void build(job *j, MPI_Comm comm, int64_t epochs, int shards, int workers)
{
    *j = (job){.mine = {.rows = rows_of(all_rank()), .bad = -1}};
    shards_a_rank = shards;
    for (int r = 0; r < all_rank(); r++)
        j->mine.first += rows_of(r);
    weft_open_mpi(&j->f, comm, WEFT_OPEN(.precision = "64-true", .seed = 3, .timeout = 20));
    j->model = small_net(j->f);
    j->sgd = weft_sgd(j->model, WEFT_SGD(.lr = 0.1));
    weft_setup(j->f, j->model, j->sgd);
    j->train = weft_loader_stream(
        j->f, &ops, &j->mine, field,
        WEFT_LOADER(.batch_size = BATCH, .epochs = epochs, .shards = shards, .workers = workers));
}

static weft_status take_step(job *j, weft_tensor *loss)
{
    weft_zero_grad(j->sgd);
    weft_backward(j->f, loss);
    return weft_step(j->sgd);
}

/* To the end, or to `most` steps. */
static void loop(job *j, int64_t most)
{
    for (weft_batch b; j->steps < most && weft_next(j->train, &b);) {
        weft_status s = take_step(j, weft_cross_entropy(weft_forward(j->model, b.x), b.y));
        j->steps += s == 0;
        j->rows += b.rows;
        j->empty += b.x && b.rows == 0;
        j->global += b.global_rows;
    }
    j->n = numbers_of(j->model, j->params);
}

/* The same training on one rank, with the union of what the ranks had in each of `most` steps. */
static size_t alone(int64_t epochs, int world, int64_t most, double *params, int64_t *steps)
{
    weft_fabric *f;
    static double x[8 * BATCH * FEATURES];
    static int32_t y[8 * BATCH];
    weft_open_mpi(&f, MPI_COMM_SELF, WEFT_OPEN(.precision = "64-true", .seed = 3));
    weft_module *m = small_net(f);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 0.1));
    weft_setup(f, m, o);
    *steps = 0;
    for (int64_t e = 0; e < epochs; e++)
        for (int64_t k = 0; k < most; k++, (*steps)++) {
            int64_t n = 0, first = 0;
            for (int r = 0; r < world; first += rows_of(r++))
                for (int64_t i = k * BATCH; i < (k + 1) * BATCH && i < rows_of(r); i++, n++) {
                    memcpy(x + n * FEATURES, data_x + (first + i) * FEATURES, FEATURES * sizeof *x);
                    y[n] = data_y[first + i];
                }
            if (!n)
                break;
            weft_tensor *tx = weft_tensor_of(f, x, 2, (const int64_t[]){n, FEATURES}, WEFT_F64);
            weft_tensor *ty = weft_tensor_of(f, y, 1, &n, WEFT_I32);
            weft_batch b = weft_batch_of(f, tx, ty, 0, n);
            weft_zero_grad(o);
            weft_backward(f, weft_cross_entropy(weft_forward(m, b.x), b.y));
            weft_step(o);
            weft_step_end(f);
        }
    size_t numbers = numbers_of(m, params);
    weft_close(&f);
    return numbers;
}

static int64_t sum_of(int64_t mine)
{
    MPI_Allreduce(MPI_IN_PLACE, &mine, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    return mine;
}

static int64_t all_rows(void)
{
    int64_t n = 0;
    for (int r = 0; r < all_world(); r++)
        n += rows_of(r);
    return n;
}

/* ---- ranks that end at different times */

START_TEST(joined_training_equals_one_rank)
{
    static double params[1000];
    for (int workers = 1; workers <= 2; workers++) {
        job j;
        int64_t steps, longest = 0, same = 0;
        build(&j, MPI_COMM_WORLD, 2, 1, workers);
        ck_all(j.train && !weft_setup_loader(j.f, j.train));
        loop(&j, INT64_MAX);
        ck_all(!weft_error(j.f) && j.rows == 2 * rows_of(all_rank()));
        ck_all(j.global == 2 * all_rows());
        for (int r = 0; r < all_world(); r++)
            longest = rows_of(r) > longest ? rows_of(r) : longest;
        steps = 2 * ((longest + BATCH - 1) / BATCH);
        MPI_Allreduce(&j.steps, &same, 1, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD);
        ck_all(j.steps == steps && same == steps);
        ck_all(j.empty == steps - 2 * ((rows_of(all_rank()) + BATCH - 1) / BATCH));
        ck_all(same_bytes(j.params, j.n * sizeof *j.params));
        ck_all(alone(2, all_world(), INT64_MAX, params, &steps) == j.n && steps == j.steps);
        ck_all(furthest(params, j.params, j.n) < 1e-12);
        ck_all(weft_loader_position(j.train) == steps && !weft_close(&j.f));
    }
}
END_TEST

START_TEST(places_of_rows)
{
    job j;
    int64_t seen = 0;
    build(&j, MPI_COMM_WORLD, 1, 3, 2);
    weft_setup_loader(j.f, j.train);
    for (weft_batch b; weft_next(j.train, &b); seen += b.global_rows) {
        int64_t mine[2] = {b.rows, b.base}, all_[2 * 8];
        MPI_Allgather(mine, 2, MPI_INT64_T, all_, 2, MPI_INT64_T, MPI_COMM_WORLD);
        int ok = 1;
        for (int64_t r = 0, at = seen; r < all_world(); at += all_[2 * r], r++)
            ok &= all_[2 * r + 1] == at;
        ck_all(ok && b.rows <= b.global_rows);
        take_step(&j, weft_cross_entropy(weft_forward(j.model, b.x), b.y));
    }
    ck_all(seen == all_rows() && !weft_error(j.f) && !weft_close(&j.f));
}
END_TEST

/* A stream that is not the loop's own loader: weft_backward weighs its batches. */
START_TEST(a_second_loader)
{
    static double params[1000];
    job j;
    int64_t steps;
    build(&j, MPI_COMM_WORLD, 1, 1, 1);
    weft_loader *first = weft_loader_arrays(j.f, 3 * all_world(), data_x, 1, &features, WEFT_F64,
                                            NULL, WEFT_DEFAULT, WEFT_LOADER(.batch_size = 1));
    ck_all(first && !weft_setup_loader(j.f, first));
    for (weft_batch a, b; weft_next(first, &a);) {
        if (!weft_next(j.train, &b)) { /* rank 1 has no rows, and says so */
            const int64_t none = 0;
            weft_tensor *x = weft_tensor_of(j.f, NULL, 2, (const int64_t[]){0, FEATURES}, WEFT_F64);
            b = weft_batch_of(j.f, x, weft_tensor_of(j.f, NULL, 1, &none, WEFT_I32), 0, 0);
        }
        j.steps += !take_step(&j, weft_cross_entropy(weft_forward(j.model, b.x), b.y));
    }
    j.n = numbers_of(j.model, j.params);
    ck_all(j.steps == 3 && !weft_error(j.f) && alone(1, all_world(), 3, params, &steps) == j.n);
    ck_all(furthest(params, j.params, j.n) < 1e-12 && !weft_close(&j.f));
}
END_TEST

/* No rank has anything. */
START_TEST(nothing_at_all)
{
    job j;
    build(&j, MPI_COMM_WORLD, 3, 2, 1);
    j.mine.rows = 0;
    weft_setup_loader(j.f, j.train);
    loop(&j, INT64_MAX);
    ck_all(!j.steps && !weft_error(j.f) && !weft_close(&j.f));
}
END_TEST

/* ---- errors */

static int all_know(const job *j, weft_status code, int rank, const char *text)
{
    char who[32];
    snprintf(who, sizeof who, "rank %d on", rank);
    return weft_error(j->f) == code && strstr(weft_message(j->f), who) != NULL &&
           strstr(weft_message(j->f), text) != NULL;
}

/* Also after the other ranks have ended, and on a rank that is the last one with rows. */
START_TEST(a_row_that_cannot_be_read)
{
    for (int bad = 0; bad < all_world(); bad++)
        for (int64_t at = 1; at < rows_of(bad); at += 1 + rows_of(bad) / 2) {
            job j;
            build(&j, MPI_COMM_WORLD, 1, 1, 2);
            j.mine.bad = all_rank() == bad ? at : -1;
            weft_setup_loader(j.f, j.train);
            loop(&j, INT64_MAX);
            ck_all(j.steps == at / BATCH && all_know(&j, WEFT_EDATA, bad, "is torn"));
            ck_all(!weft_clear(j.f));
            int64_t before = j.steps;
            loop(&j, INT64_MAX);
            ck_all(!weft_error(j.f) && same_bytes(j.params, j.n * sizeof *j.params));
            ck_all(j.steps >= before && sum_of(j.rows) < all_rows() && !weft_close(&j.f));
        }
}
END_TEST

START_TEST(a_shard_that_cannot_be_opened)
{
    for (int bad = 0; bad < all_world(); bad++) {
        job j;
        build(&j, MPI_COMM_WORLD, 1, 2, 1);
        j.mine.locked = all_rank() == bad ? 2 : 0;
        weft_setup_loader(j.f, j.train);
        loop(&j, INT64_MAX);
        ck_all(!j.steps && all_know(&j, WEFT_EIO, bad, "locked"));
        ck_all(weft_close(&j.f) == -WEFT_EIO);
    }
}
END_TEST

/* What sticks on one rank between backward and the next batch. */
START_TEST(an_error_between_steps)
{
    for (int bad = 0; bad < all_world(); bad++) {
        job j;
        int64_t n = 0;
        build(&j, MPI_COMM_WORLD, 1, 1, 1);
        weft_setup_loader(j.f, j.train);
        for (weft_batch b; weft_next(j.train, &b); n++) {
            take_step(&j, weft_cross_entropy(weft_forward(j.model, b.x), b.y));
            if (n == 1 && all_rank() == bad)
                weft_fail(j.f, WEFT_EUSER, "enough");
        }
        ck_all(n == 2 && all_know(&j, WEFT_EUSER, bad, "enough"));
        ck_all(weft_close(&j.f) == -WEFT_EUSER);
    }
}
END_TEST

START_TEST(streams_that_differ)
{
    for (int bad = 0; bad < all_world(); bad++) {
        job j;
        build(&j, MPI_COMM_WORLD, 1, all_rank() == bad ? 2 : 3, 1);
        weft_status s = weft_setup_loader(j.f, j.train);
        ck_all(s == (all_world() > 1 ? WEFT_ECONFIG : WEFT_OK));
        ck_all(all_world() == 1 || strstr(weft_message(j.f), "shards a rank"));
        ck_all(weft_close(&j.f) == -s);
    }
}
END_TEST

static weft_status order(void *self, uint64_t seed, int64_t epoch, int64_t rows, int64_t *out,
                         int64_t n, char *why, size_t why_size)
{
    (void)self, (void)seed, (void)why, (void)why_size;
    for (int64_t i = 0; i < n; i++)
        out[i] = (i + epoch) % rows;
    return WEFT_OK;
}

/* Orders that differ would train on some rows twice and on others never. */
START_TEST(orders_that_differ)
{
    static const weft_sampler_ops own = {.size = sizeof own, .name = "own", .order = order};
    double weights[ROWS];
    int64_t lengths[ROWS];
    for (int kind = 0; kind < 5; kind++)
        for (int bad = 0; bad < all_world(); bad++) {
            bool here = all_rank() == bad;
            weft_fabric *f;
            for (int i = 0; i < ROWS; i++) {
                weights[i] = 1 + (here && kind == 0 && i == 7);
                lengths[i] = i + (here && kind == 1 && i == 7);
            }
            weft_open_mpi(&f, MPI_COMM_WORLD, NULL);
            weft_loader_options o = {.global_batch = 8};
            o.weights = kind == 0 ? weights : NULL;
            o.lengths = kind == 1 ? lengths : NULL;
            o.shuffle = kind == 2 && !here;
            o.sampler = kind == 3 && here ? &own : NULL;
            o.last = kind == 4 && here ? "drop" : NULL;
            weft_loader *l =
                weft_loader_arrays(f, 296, data_x, 1, &features, WEFT_F64, NULL, WEFT_DEFAULT, &o);
            weft_status s = weft_setup_loader(f, l);
            ck_all(s == (all_world() > 1 ? WEFT_ECONFIG : WEFT_OK));
            ck_all(weft_close(&f) == -s);
        }
}
END_TEST

/* ---- resume */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *w)
{
    (void)st, (void)type, (void)w;
    return remove(path);
}

static void begin(job *j, MPI_Comm comm, int shards, int workers, const char *dir)
{
    build(j, comm, 2, shards, workers);
    weft_setup_loader(j->f, j->train);
    if (dir)
        weft_resume(j->f, dir);
}

/* Saved after any step, with other ranks at their ends, and gone on with bit for bit. */
START_TEST(resume_in_the_middle)
{
    char dir[64] = "";
    if (all_rank() == 0) {
        snprintf(dir, sizeof dir, "/tmp/weft-streams-XXXXXX");
        if (!mkdtemp(dir))
            dir[0] = '\0';
    }
    MPI_Bcast(dir, sizeof dir, MPI_CHAR, 0, MPI_COMM_WORLD);
    ck_all(dir[0]);
    for (int64_t stop = 1; stop <= 34; stop += 11) {
        job j, k;
        char run[100];
        snprintf(run, sizeof run, "%s/%d", dir, (int)stop);
        begin(&j, MPI_COMM_WORLD, 2, 2, NULL);
        loop(&j, stop);
        int64_t done = j.steps;
        ck_all(!weft_save(j.f, run));
        loop(&j, INT64_MAX);
        begin(&k, MPI_COMM_WORLD, 2, 3, run);
        ck_all(!weft_error(k.f) && weft_step_count(k.f) == done);
        ck_all(weft_loader_position(k.train) == done);
        k.steps = done;
        loop(&k, INT64_MAX);
        ck_all(j.steps == k.steps && j.n == k.n);
        ck_all(memcmp(j.params, k.params, j.n * sizeof *j.params) == 0);
        ck_all(!weft_close(&j.f) && !weft_close(&k.f));
        begin(&k, MPI_COMM_WORLD, 3, 1, run);
        ck_all(weft_error(k.f) == WEFT_ECONFIG && strstr(weft_message(k.f), "loader/shards"));
        ck_all(weft_close(&k.f) == -WEFT_ECONFIG);
        if (all_rank() == 0 && all_world() > 1) {
            begin(&k, MPI_COMM_SELF, 2, 1, run);
            ck_assert(weft_error(k.f) == WEFT_ECONFIG);
            ck_assert_ptr_nonnull(strstr(weft_message(k.f), "each rank's own, saved on"));
            weft_close(&k.f);
        }
        all_barrier();
    }
    if (all_rank() == 0)
        nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
END_TEST

/* ---- without a loader */

/* Rank r has 2 + 3 r batches of its own. */
static int64_t join_loop(job *j, int64_t fail_at, int bad)
{
    int64_t have = 2 + 3 * all_rank(), n = 0;
    for (; weft_join(j->f, n < have); n++) {
        int64_t rows = n < have ? 3 : 0;
        weft_tensor *x =
            weft_tensor_of(j->f, data_x, 2, (const int64_t[]){rows, FEATURES}, WEFT_F64);
        weft_tensor *y = weft_tensor_of(j->f, data_y, 1, &rows, WEFT_I32);
        weft_batch b = weft_batch_of(j->f, x, y, 0, 0);
        if (n == fail_at && all_rank() == bad)
            weft_fail(j->f, WEFT_EUSER, "enough");
        j->steps += !take_step(j, weft_cross_entropy(weft_forward(j->model, b.x), b.y));
    }
    return n;
}

START_TEST(joins_without_a_loader)
{
    job j;
    int64_t most = 2 + 3 * (all_world() - 1);
    build(&j, MPI_COMM_WORLD, 1, 1, 1);
    ck_all(join_loop(&j, -1, 0) == most && j.steps == most && !weft_error(j.f));
    j.n = numbers_of(j.model, j.params);
    ck_all(same_bytes(j.params, j.n * sizeof *j.params) && !weft_close(&j.f));
    for (int bad = 0; bad < all_world(); bad++) {
        build(&j, MPI_COMM_WORLD, 1, 1, 1);
        ck_all(join_loop(&j, most - 1, bad) == most && j.steps == most - 1);
        ck_all(all_know(&j, WEFT_EUSER, bad, "enough") && !weft_clear(j.f));
        ck_all(!weft_join(j.f, false) && !weft_error(j.f) && weft_join(j.f, all_rank() == bad));
        /* Nobody has more, and one has failed: all learn of it, at once. */
        if (all_rank() == bad)
            weft_fail(j.f, WEFT_EUSER, "late");
        ck_all(!weft_join(j.f, false) && all_know(&j, WEFT_EUSER, bad, "late"));
        ck_all(weft_close(&j.f) == -WEFT_EUSER);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("streams on ranks");
    TCase *c = tcase_create("streams");
    make_data();
    tcase_add_test(c, joined_training_equals_one_rank);
    tcase_add_test(c, places_of_rows);
    tcase_add_test(c, a_second_loader);
    tcase_add_test(c, nothing_at_all);
    tcase_add_test(c, a_row_that_cannot_be_read);
    tcase_add_test(c, a_shard_that_cannot_be_opened);
    tcase_add_test(c, an_error_between_steps);
    tcase_add_test(c, streams_that_differ);
    tcase_add_test(c, orders_that_differ);
    tcase_add_test(c, resume_in_the_middle);
    tcase_add_test(c, joins_without_a_loader);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    return all_main(&argc, &argv, suite);
}
