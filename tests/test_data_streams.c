/* Streams on one rank: shards that take turns, their ends, their state, and what fails. */
#include "data_fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <weft/sys/sampler.h>
#include <weft/sys/stream.h>

/* Numbers 0..rows-1, of which shard s has s, s + shards, ... x is the number, y the shard. */
typedef struct numbers {
    int64_t rows;
    int64_t bad;      /* this number cannot be given */
    int64_t no_entry; /* this shard cannot be opened, -1: all can */
    int64_t lie;      /* what *got is beyond the truth */
    bool forgetful;   /* keeps no state: open skips what was given out */
    bool dawdle;
    atomic_int opened, closed, gone;
} numbers;

typedef struct cursor {
    numbers *of;
    int64_t at, step, shard;
    atomic_int inside;
} cursor;

static weft_status open_shard(void *self, int64_t shard, int64_t shards, int64_t epoch,
                              const weft_stream_at *at, void **out, char *why, size_t why_size)
{
    numbers *n = self;
    if (shard == n->no_entry) {
        snprintf(why, why_size, "the door is locked in epoch %d", (int)epoch);
        return WEFT_EIO;
    }
    cursor *c = calloc(1, sizeof *c);
    *c = (cursor){.of = n, .at = at->state[0], .step = shards, .shard = shard};
    if (at->rows == 0)
        c->at = shard;
    else if (n->forgetful)
        c->at = shard + at->rows * shards;
    n->opened++;
    *out = c;
    return WEFT_OK;
}

static weft_status next_rows(void *self, const weft_rows *r, void *const data[], int64_t *got,
                             weft_stream_at *at, char *why, size_t why_size)
{
    cursor *c = self;
    int64_t *x = data[0], *y = data[1], i;
    ck_assert_int_eq(c->inside++, 0); /* one at a time for a shard */
    ck_assert(!r->row && (int64_t)r->shard == c->shard && r->base == at->rows);
    if (c->of->dawdle) {
        struct timespec t = {0, (long)((uint64_t)c->at * 2654435761u % 200000)};
        nanosleep(&t, NULL);
    }
    for (i = 0; i < r->n && c->at < c->of->rows; i++, c->at += c->step) {
        if (c->at == c->of->bad) {
            snprintf(why, why_size, "number %lld is unlucky", (long long)c->at);
            c->at += c->step;
            c->inside--;
            return WEFT_EDATA;
        }
        x[i] = c->at;
        y[i] = c->shard;
    }
    *got = i + c->of->lie;
    if (!c->of->forgetful)
        at->state[0] = c->at;
    c->inside--;
    return WEFT_OK;
}

static void close_shard(void *self)
{
    cursor *c = self;
    c->of->closed++;
    free(c);
}

static void destroy(void *self)
{
    ((numbers *)self)->gone++;
}

static const weft_stream_ops ops = {.size = sizeof ops,
                                    .name = "numbers",
                                    .open = open_shard,
                                    .next = next_rows,
                                    .close = close_shard,
                                    .destroy = destroy};
static const weft_field field[2] = {{.present = true, .dtype = WEFT_I64},
                                    {.present = true, .dtype = WEFT_I64}};

static weft_loader *stream(weft_fabric *f, numbers *n, const weft_loader_options *o)
{
    weft_loader *l = weft_loader_stream(f, &ops, n, field, o);
    ck_assert_msg(l != NULL, "%s", weft_message(f));
    return l;
}

#define NUMBERS(r)                                                                                 \
    {                                                                                              \
        .rows = r, .bad = -1, .no_entry = -1                                                       \
    }

/* Every number once an epoch, in the order of the turns. */
START_TEST(every_row_once)
{
    for (int shards = 1; shards <= 5; shards++)
        for (int64_t rows = 0; rows <= 40; rows += rows < 12 ? 1 : 7) {
            numbers n = NUMBERS(rows);
            int times[64] = {0};
            int64_t base = 0, index = 0, epoch = 0;
            weft_fabric *f = fabric(0, 1, WEFT_F32);
            weft_loader *l = stream(
                f, &n, WEFT_LOADER(.batch_size = 3, .epochs = 2, .shards = shards, .workers = 2));
            for (weft_batch b; weft__loader_next(l, &b); index++) {
                index = b.epoch > epoch ? 0 : index;
                epoch = b.epoch;
                ck_assert(b.base == base && b.index == index && !b.sample);
                ck_assert(b.global_rows == b.rows && b.rows > 0);
                ck_assert(b.x->rows.batch && b.x->rows.local == b.rows && !b.x->rows.ids);
                base += b.rows;
                for (int64_t i = 0; i < b.rows; i++) {
                    times[(int)value(b.x, i)]++;
                    ck_assert(value(b.y, i) == (int)value(b.x, i) % shards);
                }
            }
            ck_assert_msg(!weft_error(f), "%s", weft_message(f));
            ck_assert(!weft__loader_next(l, &(weft_batch){0}) && weft__loader_at_end(l));
            for (int64_t i = 0; i < rows; i++)
                ck_assert_int_eq(times[i], 2);
            ck_assert_int_eq(base, 2 * rows);
            drop(f);
            ck_assert(n.opened == n.closed && n.gone == 1);
        }
}
END_TEST

START_TEST(the_batches_are_the_same)
{
    char *first = NULL;
    for (int workers = 1; workers <= 7; workers += 2)
        for (int prefetch = workers == 1 ? WEFT_OFF : 0; prefetch <= 3; prefetch += 3 - !prefetch) {
            numbers n = NUMBERS(57);
            n.dawdle = workers > 1;
            weft_fabric *f = fabric(1, 2, WEFT_F32);
            weft_loader *l = stream(f, &n,
                                    WEFT_LOADER(.batch_size = 4, .epochs = 2, .shards = 3,
                                                .workers = workers, .prefetch = prefetch));
            char *text = record(l, 1000);
            ck_assert_str_eq(first ? first : text, text);
            if (first)
                free(text);
            else
                first = text;
            drop(f);
        }
    ck_assert_uint_gt(strlen(first), 200);
    free(first);
}
END_TEST

/* Stopped after any batch, with batches read ahead that are forgotten. */
START_TEST(resume_in_the_middle)
{
    for (int forgetful = 0; forgetful < 2; forgetful++)
        for (int64_t stop = 0; stop <= 30; stop++) {
            numbers n = NUMBERS(41), k = NUMBERS(41);
            n.forgetful = k.forgetful = forgetful;
            memory m = {0};
            weft_fabric *f = fabric(0, 1, WEFT_F32), *g = fabric(0, 1, WEFT_F32);
            const weft_loader_options o = {
                .batch_size = 4, .epochs = 2, .shards = 3, .workers = 1 + (int)stop % 3};
            weft_loader *l = stream(f, &n, &o), *again = stream(g, &k, &o);
            free(record(l, stop));
            ck_assert_int_eq(visit(&m, WEFT_VISIT_SAVE, l), 0);
            free(record(again, 5));
            ck_assert_int_eq(visit(&m, WEFT_VISIT_CHECK, again), 0);
            ck_assert_int_eq(weft_loader_position(again), 5);
            ck_assert_int_eq(visit(&m, WEFT_VISIT_LOAD, again), 0);
            ck_assert_int_eq(weft_loader_position(again), weft_loader_position(l));
            char *rest = record(l, 1000), *resumed = record(again, 1000);
            ck_assert_str_eq(rest, resumed);
            free(rest);
            free(resumed);
            drop(f);
            drop(g);
        }
}
END_TEST

/* CHECK changes nothing: not even what a later SAVE says. */
START_TEST(other_shards_are_refused)
{
    numbers n = NUMBERS(41);
    memory m = {0};
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = stream(f, &n, WEFT_LOADER(.batch_size = 4, .shards = 3));
    weft_loader *other = stream(f, &n, WEFT_LOADER(.batch_size = 4, .shards = 2));
    free(record(l, 3));
    free(record(other, 1));
    visit(&m, WEFT_VISIT_SAVE, l);
    ck_assert_int_eq(visit(&m, WEFT_VISIT_CHECK, other), WEFT_ECONFIG);
    m.value[5][1] = -1; /* rows of shard 0 */
    ck_assert_int_eq(visit(&m, WEFT_VISIT_CHECK, l), WEFT_EFORMAT);
    ck_assert_ptr_nonnull(strstr(weft__why(), "before its beginning"));
    weft_batch b;
    ck_assert(weft__loader_next(l, &b) && value(b.x, 0) == 12);
    drop(f);
}
END_TEST

START_TEST(rewind_begins_again)
{
    numbers n = NUMBERS(41);
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = stream(f, &n, WEFT_LOADER(.batch_size = 4, .shards = 2, .evaluation = true));
    char *first = record(l, 1000);
    ck_assert_int_eq(weft_rewind(l), 0);
    free(record(l, 2));
    ck_assert_int_eq(weft_rewind(l), 0);
    char *again = record(l, 1000);
    ck_assert_str_eq(first, again);
    free(first);
    free(again);
    drop(f);
}
END_TEST

/* ---- what fails */

START_TEST(failures_are_named_and_passed)
{
    for (int workers = 1; workers <= 4; workers++) {
        numbers n = NUMBERS(40);
        n.bad = 21; /* shard 3 of 6: 3, 9, 15, 21 */
        weft_fabric *f = fabric(1, 2, WEFT_F32);
        weft_loader *l =
            stream(f, &n, WEFT_LOADER(.batch_size = 2, .shards = 3, .workers = workers));
        weft_batch b;
        for (int i = 0; i < 3; i++)
            ck_assert(weft__loader_next(l, &b));
        ck_assert(!weft__loader_next(l, &b));
        ck_assert_ptr_nonnull(strstr(
            weft_message(f), "rank 1 on here: numbers: shard 3 of 6, after row 2 of epoch 0"));
        expect(f, WEFT_EDATA, "number 21 is unlucky");
        ck_assert(weft__loader_next(l, &b) && value(b.x, 0) == 16);
        drop(f);
    }
}
END_TEST

START_TEST(a_shard_that_cannot_be_opened)
{
    numbers n = NUMBERS(40);
    n.no_entry = 1;
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = stream(f, &n, WEFT_LOADER(.batch_size = 2, .shards = 2));
    weft_batch b;
    ck_assert(weft__loader_next(l, &b) && !weft__loader_next(l, &b));
    expect(f, WEFT_EIO, "shard 1 of 2, after row 0 of epoch 0: the door is locked in epoch 0");
    drop(f);
    ck_assert(n.opened == 1 && n.closed == 1 && n.gone == 1);
}
END_TEST

START_TEST(rows_that_cannot_be)
{
    for (int64_t lie = -100; lie <= 100; lie += 200) {
        numbers n = NUMBERS(40);
        n.lie = lie;
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_loader *l = stream(f, &n, WEFT_LOADER(.batch_size = 2));
        ck_assert(!weft__loader_next(l, &(weft_batch){0}));
        expect(f, WEFT_EUSER, lie < 0 ? "gave -98 rows of at most 2" : "gave 102 rows");
        drop(f);
    }
}
END_TEST

/* ---- threads that cannot be had */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static int threads_left = -1; /* until one fails, once */

/* Comes before libc's. */
int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    if (threads_left >= 0 && threads_left-- == 0)
        return EAGAIN;
    return real(t, a, run, arg);
}

/* The workers that did start may have read ahead: nothing of it is lost, nothing comes twice. */
START_TEST(threads_that_cannot_be_had)
{
    char *first = NULL;
    for (int k = -1; k < 4; k++) {
        numbers n = NUMBERS(57);
        struct timespec t = {0, 3000000};
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_loader *l = stream(f, &n, WEFT_LOADER(.batch_size = 4, .shards = 3, .workers = 4));
        threads_left = k;
        if (k >= 0) {
            ck_assert(!weft__loader_next(l, &(weft_batch){0}));
            expect(f, WEFT_ENOMEM, "no thread for reading ahead");
        }
        nanosleep(&t, NULL);
        char *text = record(l, 1000);
        ck_assert_str_eq(first ? first : text, text);
        if (first)
            free(text);
        else
            first = text;
        drop(f);
        ck_assert_int_eq(n.opened, n.closed);
    }
    free(first);
}
END_TEST
#endif

START_TEST(shutdown_from_any_state)
{
    for (int taken = 0; taken <= 30; taken += 3) {
        numbers n = NUMBERS(60);
        n.dawdle = taken % 2;
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_loader *l =
            stream(f, &n, WEFT_LOADER(.batch_size = 3, .shards = 2, .workers = 4, .epochs = 2));
        free(record(l, taken));
        drop(f);
        ck_assert(n.opened == n.closed && n.gone == 1);
    }
}
END_TEST

START_TEST(every_failing_allocation_is_survived)
{
    bool through = false;
    for (long k = 1; !through; k++) {
        numbers n = NUMBERS(60);
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_batch b;
        weft__fail_alloc(k);
        weft_loader *l = weft_loader_stream(f, &ops, &n, field, WEFT_LOADER(.workers = 3));
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
END_TEST

START_TEST(steady_steps_allocate_nothing)
{
    numbers n = NUMBERS(600);
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l =
        stream(f, &n, WEFT_LOADER(.batch_size = 4, .workers = 3, .epochs = 2, .scale = 2));
    weft_batch b;
    ck_assert(weft__loader_next(l, &b));
    weft__fail_alloc(1000000);
    while (weft__loader_next(l, &b))
        ;
    ck_assert_int_eq(weft__fail_alloc(0), 1000000);
    drop(f);
}
END_TEST

/* ---- a transform, a cast, and rows of varying size */

static weft_status shout(void *self, const weft_rows *r, void *const data[], char *why,
                         size_t why_size)
{
    float *x = data[0];
    (void)self, (void)why, (void)why_size;
    for (int64_t i = 0; i < r->n; i++)
        x[i] += (float)weft_rows_uniform(r, i, 3) / 2;
    return WEFT_OK;
}

START_TEST(transforms_depend_on_the_place_in_the_shard)
{
    double first[60];
    for (int workers = 1; workers <= 3; workers++) {
        numbers n = NUMBERS(30);
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_loader *l = stream(f, &n,
                                WEFT_LOADER(.batch_size = 4, .shards = 3, .workers = workers,
                                            .scale = 1, .transform = shout, .epochs = 2));
        for (weft_batch b; weft__loader_next(l, &b);)
            for (int64_t i = 0; i < b.rows; i++) {
                double v = value(b.x, i);
                int k = (int)v + (b.epoch ? 30 : 0);
                if (workers == 1)
                    first[k] = v;
                ck_assert(v == first[k]);
            }
        int equal = 0;
        for (int k = 0; k < 30; k++)
            equal += first[k] == first[k + 30];
        ck_assert_int_le(equal, 1);
        drop(f);
    }
}
END_TEST

static void refuse(int world, const weft_stream_ops *o, const weft_loader_options *opt,
                   const char *text)
{
    numbers n = NUMBERS(60);
    weft_fabric *f = fabric(0, world, WEFT_F32);
    ck_assert_ptr_null(weft_loader_stream(f, o, &n, field, opt));
    expect(f, WEFT_EARG, text);
    ck_assert(!f->objects && !n.gone);
    drop(f);
}

START_TEST(options_are_read_strictly)
{
    const weft_stream_ops none = {.size = sizeof none, .open = open_shard};
    weft_stream_ops many = ops;
    many.fields = 9;
    const double weights[] = {1};
    const int64_t lengths[] = {1};
    refuse(1, NULL, NULL, "open and next");
    refuse(1, &none, NULL, "open and next");
    refuse(1, &many, NULL, "9 fields");
    refuse(1, &ops, WEFT_LOADER(.shuffle = true), "a stream has no order");
    refuse(1, &ops, WEFT_LOADER(.last = "drop"), "a stream has no order");
    refuse(1, &ops, WEFT_LOADER(.weights = weights), "a stream has no order");
    refuse(1, &ops, WEFT_LOADER(.lengths = lengths), "a stream has no order");
    refuse(1, &ops, WEFT_LOADER(.samples = 4), "a stream has no order");
    refuse(1, &ops, WEFT_LOADER(.replacement = true), "a stream has no order");
    refuse(1, &ops, WEFT_LOADER(.shards = -1), "shards is -1");
    refuse(1, &ops, WEFT_LOADER(.shards = 5000), "shards is 5000");
    refuse(3, &ops, WEFT_LOADER(.global_batch = 8), "on each of 3 ranks");
    refuse(3, &ops, WEFT_LOADER(.global_batch = 9, .batch_size = 3), "exclude each other");
    numbers n = NUMBERS(60);
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    ck_assert_ptr_null(weft_loader_stream(f, &ops, &n, NULL, NULL));
    expect(f, WEFT_EARG, "at NULL");
    drop(f);
}
END_TEST

int main(void)
{
    if (!make_dir())
        return 99;
    Suite *s = suite_create("streams");
    TCase *c = tcase_create("streams");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, every_row_once);
    tcase_add_test(c, the_batches_are_the_same);
    tcase_add_test(c, resume_in_the_middle);
    tcase_add_test(c, other_shards_are_refused);
    tcase_add_test(c, rewind_begins_again);
    tcase_add_test(c, failures_are_named_and_passed);
    tcase_add_test(c, a_shard_that_cannot_be_opened);
    tcase_add_test(c, rows_that_cannot_be);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(c, threads_that_cannot_be_had);
#endif
    tcase_add_test(c, shutdown_from_any_state);
    tcase_add_test(c, every_failing_allocation_is_survived);
    tcase_add_test(c, steady_steps_allocate_nothing);
    tcase_add_test(c, transforms_depend_on_the_place_in_the_shard);
    tcase_add_test(c, options_are_read_strictly);
    suite_add_tcase(s, c);
    return run_suite(s);
}
