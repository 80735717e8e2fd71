/* Several workers, and what the program runs in them: transforms, collates, selves of their own. */
#include "data_fixture.h"

#include "data/object.h"
#include "device/device.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <weft/sys/sampler.h>

#define MOST 12 /* of a row's extent under collate */

/* A data set that counts, fails and dawdles. Row i of field k is 100 i + k. */
typedef struct own {
    atomic_int reads, gone, opened, closed;
    int64_t bad;      /* this row cannot be read */
    bool silent;      /* and nothing is said of it */
    int bad_worker;   /* this worker cannot be opened, from 1 */
    atomic_int fails; /* the k-th call of a transform or collate fails; 0: none */
    atomic_int inside, most_inside;
    bool dawdle;
} own;

static void dawdle(int64_t row)
{
    struct timespec t = {0, (long)((uint64_t)row * 2654435761u % 300000)};
    nanosleep(&t, NULL);
}

static weft_status own_read(void *self, int field, const int64_t *row, int64_t n, void *out,
                            char *why, size_t why_size)
{
    own *o = self;
    int inside = ++o->inside;
    if (inside > o->most_inside)
        o->most_inside = inside;
    o->reads++;
    if (o->dawdle && n)
        dawdle(row[0]);
    weft_status s = WEFT_OK;
    for (int64_t i = 0; i < n; i++) {
        if (row[i] == o->bad && field == 0) {
            if (!o->silent)
                snprintf(why, why_size, "row %lld: the disk is on strike", (long long)row[i]);
            s = WEFT_EIO;
            break;
        }
        ((int64_t *)out)[i] = row[i] * 100 + field;
    }
    o->inside--;
    return s;
}

static void own_destroy(void *self)
{
    ((own *)self)->gone++;
}

static const weft_dataset_ops own_ops = {
    .size = sizeof own_ops, .name = "own", .read = own_read, .destroy = own_destroy};
static const weft_field own_field[2] = {{.present = true, .dtype = WEFT_I64},
                                        {.present = true, .dtype = WEFT_I64}};

static weft_loader *loader(weft_fabric *f, const weft_dataset_ops *ops, own *o, int64_t rows,
                           const weft_field *field, const weft_loader_options *opt)
{
    weft_loader *l = weft_loader_new(f, ops, o, rows, field, opt);
    ck_assert_msg(l != NULL, "%s", weft_message(f));
    return l;
}

/* ---- any number of workers */

START_TEST(the_batches_are_the_same)
{
    static const struct {
        int workers, prefetch;
    } row[] = {{1, WEFT_OFF}, {1, 1}, {2, 0}, {3, 1}, {8, 2}, {64, 0}, {5, 17}};
    static const char *const last[] = {"uneven", "drop", "pad"};
    for (int m = 0; m < 3; m++) {
        char *first = NULL;
        for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
            own o = {.bad = -1, .dawdle = row[i].workers > 1};
            weft_fabric *f = fabric(1, 3, WEFT_F32);
            weft_loader *l =
                loader(f, &own_ops, &o, 50, own_field,
                       WEFT_LOADER(.batch_size = 4, .epochs = 3, .shuffle = true, .last = last[m],
                                   .workers = row[i].workers, .prefetch = row[i].prefetch));
            char *text = record(l, 1000);
            ck_assert_int_eq(weft_error(f), 0);
            drop(f);
            ck_assert_str_eq(first ? first : text, text);
            if (first)
                free(text);
            else
                first = text;
        }
        free(first);
    }
}
END_TEST

START_TEST(workers_work_at_once)
{
    own o = {.bad = -1, .dawdle = true};
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = loader(f, &own_ops, &o, 2000, own_field,
                            WEFT_LOADER(.global_batch = 4, .workers = 4, .prefetch = 8));
    for (weft_batch b; weft__loader_next(l, &b);)
        ;
    ck_assert_int_ge(o.most_inside, 3);
    ck_assert_int_le(o.most_inside, 4);
    drop(f);
}
END_TEST

/* What is read ahead is bounded by the ring, however many workers there are. */
START_TEST(memory_is_bounded)
{
    own o = {.bad = -1};
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = loader(f, &own_ops, &o, 4000, own_field,
                            WEFT_LOADER(.global_batch = 10, .workers = 3, .prefetch = 5));
    struct timespec t = {0, 30000000};
    weft_batch b;
    for (int n = 1; n <= 4; n++) {
        ck_assert(weft__loader_next(l, &b));
        nanosleep(&t, NULL);
        ck_assert_int_eq(o.reads, 2 * (n + 5)); /* x and y */
    }
    drop(f);
}
END_TEST

START_TEST(first_error_in_order)
{
    for (int workers = 1; workers <= 6; workers++) {
        own o = {.bad = 37, .dawdle = true};
        weft_fabric *f = fabric(1, 2, WEFT_F32);
        weft_loader *l = loader(f, &own_ops, &o, 100, own_field,
                                WEFT_LOADER(.global_batch = 10, .workers = workers));
        weft_batch b;
        int64_t n = 0;
        while (weft__loader_next(l, &b))
            n++;
        ck_assert_int_eq(n, 3);
        ck_assert(!weft__loader_next(l, &b)); /* it sticks */
        ck_assert_ptr_nonnull(
            strstr(weft_message(f), "rank 1 on here: own: field x, batch 3 of epoch 0"));
        expect(f, WEFT_EIO, "row 37: the disk is on strike");
        for (int64_t i = 4; i < 10; i++)
            ck_assert(weft__loader_next(l, &b) && b.index == i);
        ck_assert(!weft__loader_next(l, &b) && !weft_error(f));
        drop(f);
    }
}
END_TEST

START_TEST(a_silent_error_still_names_a_row)
{
    own o = {.bad = 37, .silent = true};
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l =
        loader(f, &own_ops, &o, 100, own_field, WEFT_LOADER(.global_batch = 10, .workers = 2));
    for (weft_batch b; weft__loader_next(l, &b);)
        ;
    expect(f, WEFT_EIO, "row 30 or one read with it");
    drop(f);
}
END_TEST

/* Dropped before, between and after batches, with a full ring and in the middle of reads. */
START_TEST(shutdown_from_any_state)
{
    for (int taken = 0; taken <= 12; taken++)
        for (int dawdles = 0; dawdles < 2; dawdles++) {
            own o = {.bad = taken % 3 ? -1 : 55, .dawdle = dawdles};
            weft_fabric *f = fabric(0, 1, WEFT_F32);
            weft_loader *l = loader(f, &own_ops, &o, 100, own_field,
                                    WEFT_LOADER(.global_batch = 9, .workers = 4, .prefetch = 4));
            weft_batch b;
            for (int n = 0; n < taken; n++)
                weft__loader_next(l, &b);
            if (taken % 4 == 0)
                ck_assert_int_eq(weft_rewind(l), 0);
            drop(f);
            ck_assert_int_eq(o.gone, 1);
        }
}
END_TEST

START_TEST(every_failing_allocation_is_survived)
{
    bool through = false;
    for (long k = 1; !through; k++) {
        own o = {.bad = -1};
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_batch b;
        weft__fail_alloc(k);
        weft_loader *l = weft_loader_new(f, &own_ops, &o, 50, own_field,
                                         WEFT_LOADER(.shuffle = true, .workers = 3));
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

/* ---- a worker's own self */

static weft_status open_worker(void *self, int worker, int workers, void **mine, char *why,
                               size_t why_size)
{
    own *o = self;
    if (worker + 1 == o->bad_worker) {
        snprintf(why, why_size, "%d of %d has no desk", worker, workers);
        return WEFT_ENOMEM;
    }
    own **w = malloc(2 * sizeof *w);
    w[0] = o;
    w[1] = NULL; /* who is inside */
    o->opened++;
    *mine = w;
    return WEFT_OK;
}

static void close_worker(void *mine)
{
    own **w = mine;
    w[0]->closed++;
    free(w);
}

static weft_status own_worker_read(void *mine, int field, const int64_t *row, int64_t n, void *out,
                                   char *why, size_t why_size)
{
    own **w = mine;
    ck_assert_ptr_null(w[1]); /* nobody else has it */
    w[1] = w[0];
    weft_status s = own_read(w[0], field, row, n, out, why, why_size);
    w[1] = NULL;
    return s;
}

static const weft_dataset_ops desk_ops = {.size = sizeof desk_ops,
                                          .name = "desks",
                                          .read = own_worker_read,
                                          .destroy = own_destroy,
                                          .open_worker = open_worker,
                                          .close_worker = close_worker};

START_TEST(a_self_for_each_worker)
{
    for (int prefetch = WEFT_OFF; prefetch <= 2; prefetch += 3) {
        own o = {.bad = -1, .dawdle = true};
        int workers = prefetch == WEFT_OFF ? 1 : 4;
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_loader *l =
            loader(f, &desk_ops, &o, 200, own_field,
                   WEFT_LOADER(.global_batch = 5, .workers = workers, .prefetch = prefetch));
        ck_assert_int_eq(o.opened, 0);
        for (weft_batch b; weft__loader_next(l, &b);)
            ck_assert(value(b.y, 4) == (double)(b.sample[4] * 100 + 1));
        weft_rewind(l);
        for (weft_batch b; weft__loader_next(l, &b);)
            ;
        ck_assert_int_eq(o.opened, workers);
        ck_assert_int_eq(o.closed, 0);
        drop(f);
        ck_assert_int_eq(o.closed, workers);
    }
}
END_TEST

START_TEST(a_worker_that_cannot_be_opened)
{
    own o = {.bad = -1, .bad_worker = 3};
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_batch b;
    weft_loader *l =
        loader(f, &desk_ops, &o, 20, own_field, WEFT_LOADER(.global_batch = 5, .workers = 4));
    ck_assert(!weft__loader_next(l, &b));
    expect(f, WEFT_ENOMEM, "desks: worker 2: 2 of 4 has no desk");
    o.bad_worker = 0;
    ck_assert(weft__loader_next(l, &b) && b.index == 0);
    drop(f);
    ck_assert(o.opened == 4 && o.closed == 4);
}
END_TEST

/* ---- transforms */

/* x becomes x + u, u of the row's own random numbers. */
static weft_status jitter(void *self, const weft_rows *r, void *const data[], char *why,
                          size_t why_size)
{
    own *o = self;
    float *x = data[0];
    if (o->fails && --o->fails == 0) {
        snprintf(why, why_size, "row %lld: out of paint", (long long)r->row[0]);
        return WEFT_EUSER;
    }
    for (int64_t i = 0; i < r->n; i++) {
        ck_assert(x[i] == (float)r->row[i]);
        x[i] += (float)weft_rows_uniform(r, i, 0) / 2 + (float)weft_rows_uniform(r, i, 1) / 4;
    }
    return WEFT_OK;
}

static double row_value[50];

static weft_loader *jittered(weft_fabric *f, own *o, int workers, int prefetch)
{
    for (int i = 0; i < 50; i++)
        row_value[i] = i;
    weft_loader *l = weft_loader_arrays(
        f, 50, row_value, 0, NULL, WEFT_F64, NULL, WEFT_DEFAULT,
        WEFT_LOADER(.global_batch = 12, .epochs = 2, .shuffle = true, .workers = workers,
                    .prefetch = prefetch, .transform = jitter, .transform_self = o));
    ck_assert_msg(l != NULL, "%s", weft_message(f));
    return l;
}

/* Augmented values depend on the row's place in the run alone: any ranks, any workers. */
START_TEST(transforms_are_the_same_everywhere)
{
    double alone[100], other;
    own o = {0};
    int64_t seen = 0, twice = 0;
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = jittered(f, &o, 1, WEFT_OFF);
    for (weft_batch b; weft__loader_next(l, &b);)
        for (int64_t i = 0; i < b.rows; i++)
            alone[b.base + i] = value(b.x, i);
    drop(f);
    for (int workers = 1; workers <= 4; workers += 3)
        for (int rank = 0; rank < 3; rank++) {
            f = fabric(rank, 3, WEFT_F32);
            l = jittered(f, &o, workers, 0);
            for (weft_batch b; weft__loader_next(l, &b);)
                for (int64_t i = 0; i < b.rows; i++, seen++) {
                    other = value(b.x, i);
                    ck_assert(other == alone[b.base + i]);
                }
            drop(f);
        }
    ck_assert_int_eq(seen, 200);
    for (int i = 0; i < 50; i++)
        for (int j = 50; j < 100; j++)
            twice += alone[i] == alone[j];
    ck_assert_int_le(twice, 1); /* another epoch, other numbers */
}
END_TEST

START_TEST(a_transform_fails)
{
    for (int workers = 1; workers <= 3; workers++) {
        own o = {.fails = workers == 1 ? 3 : 1};
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_loader *l = jittered(f, &o, workers, 0);
        int64_t n = 0;
        for (weft_batch b; weft__loader_next(l, &b);)
            n++;
        ck_assert(workers > 1 || n == 2);
        ck_assert_ptr_nonnull(strstr(weft_message(f), "arrays: the transform, batch "));
        expect(f, WEFT_EUSER, ": out of paint");
        drop(f);
    }
}
END_TEST

/* The data set's own transform gets the worker's self. */
static weft_status own_transform(void *mine, const weft_rows *r, void *const data[], char *why,
                                 size_t why_size)
{
    own **w = mine;
    int64_t *x = data[0], *y = data[1];
    (void)why, (void)why_size;
    w[0]->reads++;
    for (int64_t i = 0; i < r->n; i++)
        x[i] += y[i];
    return WEFT_OK;
}

START_TEST(a_data_set_with_a_transform)
{
    weft_dataset_ops ops = desk_ops;
    own o = {.bad = -1};
    ops.transform = own_transform;
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = loader(f, &ops, &o, 20, own_field, WEFT_LOADER(.workers = 2));
    weft_batch b;
    ck_assert(weft__loader_next(l, &b));
    for (int64_t i = 0; i < b.rows; i++)
        ck_assert(value(b.x, i) == (double)(200 * i + 1));
    drop(f);
}
END_TEST

/* ---- collate: row i is the sequence i, i, ... of i % MOST + 1 numbers */

static int64_t length_of(int64_t row)
{
    return row % MOST + 1;
}

static weft_status pad(void *self, const weft_rows *r, void *const data[], char *why,
                       size_t why_size)
{
    own *o = self;
    int64_t longest = 0;
    float *x = data[0];
    int64_t *y = data[1];
    o->reads++;
    for (int64_t i = 0; i < r->n; i++) {
        if (r->row[i] == o->bad) {
            if (o->silent) { /* breaks the rules instead */
                r->shape[0][0] = MOST + 1;
                return WEFT_OK;
            }
            snprintf(why, why_size, "row %lld is empty", (long long)r->row[i]);
            return WEFT_EDATA;
        }
        longest = length_of(r->row[i]) > longest ? length_of(r->row[i]) : longest;
    }
    r->shape[0][0] = longest;
    for (int64_t i = 0; i < r->n; i++) {
        for (int64_t j = 0; j < longest; j++)
            x[i * longest + j] = j < length_of(r->row[i]) ? (float)r->row[i] : -1;
        y[i] = length_of(r->row[i]);
    }
    return WEFT_OK;
}

static const weft_dataset_ops pad_ops = {
    .size = sizeof pad_ops, .name = "sequences", .collate = pad, .destroy = own_destroy};
static const weft_field pad_field[2] = {
    {.present = true, .dtype = WEFT_F32, .rank = 1, .shape = {MOST}, .name = "tokens"},
    {.present = true, .dtype = WEFT_I64, .name = "length"}};

/* f64: all values are cast, from staging; f32: none is. */
START_TEST(padded_sequences)
{
    for (int wide = 0; wide < 2; wide++)
        for (int workers = 1; workers <= 3; workers += 2) {
            own o = {.bad = -1};
            int64_t widths = 0, rows = 0;
            weft_fabric *f = fabric(0, 2, wide ? WEFT_F64 : WEFT_F32);
            weft_loader *l =
                loader(f, &pad_ops, &o, 100, pad_field,
                       WEFT_LOADER(.global_batch = 6, .shuffle = true, .workers = workers));
            for (weft_batch b; weft__loader_next(l, &b); rows += b.rows) {
                int64_t longest = 0, width = weft_dim(b.x, 1);
                ck_assert(weft_batch_field(&b, "tokens") == b.x);
                for (int64_t i = 0; i < b.rows; i++) {
                    int64_t n = length_of(b.sample[i]);
                    ck_assert(value(b.y, i) == (double)n);
                    longest = n > longest ? n : longest;
                    for (int64_t j = 0; j < width; j++)
                        ck_assert(value(b.x, i * width + j) == (j < n ? (double)b.sample[i] : -1));
                }
                ck_assert_int_eq(width, longest);
                widths |= 1 << width;
            }
            ck_assert_msg(!weft_error(f), "%s", weft_message(f));
            ck_assert_int_eq(rows, 50);
            ck_assert(widths & (widths - 1)); /* several */
            drop(f);
        }
}
END_TEST

START_TEST(a_collate_fails)
{
    for (int silent = 0; silent < 2; silent++) {
        own o = {.bad = 11, .silent = silent};
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_loader *l =
            loader(f, &pad_ops, &o, 100, pad_field, WEFT_LOADER(.global_batch = 6, .workers = 2));
        weft_batch b;
        ck_assert(weft__loader_next(l, &b) && !weft__loader_next(l, &b));
        ck_assert_ptr_nonnull(strstr(weft_message(f), "field tokens, batch 1 of epoch 0"));
        expect(f, silent ? WEFT_ESHAPE : WEFT_EDATA,
               silent ? "extent 0 is 13, at most 12 can be" : "row 11 is empty");
        ck_assert(weft__loader_next(l, &b) && b.index == 2);
        drop(f);
    }
}
END_TEST

/* ---- any number of fields */

START_TEST(eight_fields)
{
    int32_t v[8][10];
    weft_array array[9] = {{0}};
    static const char *const name[8] = {"a", "b", "c", "d", "e", "f", NULL, "h"};
    for (int k = 0; k < 8; k++) {
        array[k] =
            (weft_array){.name = name[k], .data = v[k], .dtype = WEFT_I32, .rank = 1, .shape = {2}};
        for (int i = 0; i < 10; i++)
            v[k][i] = 10 * k + i;
    }
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l =
        weft_loader_fields(f, 5, 8, array, WEFT_LOADER(.global_batch = 2, .workers = 2));
    ck_assert_msg(l != NULL, "%s", weft_message(f));
    for (weft_batch b; weft__loader_next(l, &b);) {
        ck_assert_int_eq(b.fields, 8);
        ck_assert(weft_batch_field(&b, "h") == b.field[7]);
        ck_assert(weft_batch_field(&b, "field6") == b.field[6]);
        for (int k = 0; k < 8; k++)
            for (int64_t i = 0; i < 2 * b.rows; i++)
                ck_assert(value(b.field[k], i) == (double)(10 * k + 2 * b.sample[0] + i));
    }
    ck_assert_ptr_null(weft_loader_fields(f, 5, 9, array, NULL));
    expect(f, WEFT_EARG, "9 fields");
    ck_assert_ptr_null(weft_loader_fields(f, 5, 0, array, NULL));
    expect(f, WEFT_EARG, "0 fields");
    array[3].data = NULL;
    ck_assert_ptr_null(weft_loader_fields(f, 5, 8, array, NULL));
    expect(f, WEFT_EARG, "5 rows of d at NULL");
    array[3].data = v[3];
    array[7].shape[0] = -1;
    ck_assert_ptr_null(weft_loader_fields(f, 5, 8, array, NULL));
    expect(f, WEFT_ESHAPE, "rows of h");
    drop(f);
}
END_TEST

START_TEST(options_are_read_strictly)
{
    static const weft_dataset_ops half = {
        .size = sizeof half, .open_worker = open_worker, .read = own_read};
    static const weft_dataset_ops none = {.size = sizeof none};
    static const weft_dataset_ops many = {.size = sizeof many, .read = own_read, .fields = 9};
    static const weft_dataset_ops few = {.size = sizeof few, .read = own_read, .fields = -1};
    own o = {.bad = -1};
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    const weft_dataset_ops *bad[] = {&half, &none, &many, &few};
    for (int i = 0; i < 4; i++) {
        ck_assert_ptr_null(weft_loader_new(f, bad[i], &o, 10, own_field, NULL));
        expect(f, WEFT_EARG, i < 2 ? "ops table of full size" : "1 to 8");
    }
    ck_assert_ptr_null(weft_loader_new(f, &own_ops, &o, 10, own_field, WEFT_LOADER(.workers = -1)));
    expect(f, WEFT_EARG, "workers is -1");
    ck_assert_ptr_null(weft_loader_new(f, &own_ops, &o, 10, own_field, WEFT_LOADER(.workers = 65)));
    expect(f, WEFT_EARG, "workers is 65");
    ck_assert_ptr_null(weft_loader_new(f, &own_ops, &o, 10, own_field,
                                       WEFT_LOADER(.workers = 2, .prefetch = WEFT_OFF)));
    expect(f, WEFT_EARG, "workers is 2");
    ck_assert_ptr_null(f->objects);
    ck_assert_int_eq(o.gone, 0);
    drop(f);
}
END_TEST

/* Batches of 1 MiB of memory, of floats; one of 4 KiB. */
static int workers_of(weft_device *d, int64_t rows, const float *x, int prefetch)
{
    const int64_t width = 1024;
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    f->device = d;
    weft_loader *l =
        weft_loader_arrays(f, 512, x, 1, &width, WEFT_F32, NULL, WEFT_F32,
                           WEFT_LOADER(.global_batch = rows, .epochs = 2, .prefetch = prefetch));
    weft__slot *slot;
    ck_assert_msg(l != NULL, "%s", weft_message(f));
    for (int64_t i = 0; i < 4; i++) {
        ck_assert(!weft__ring_take(&l->ring, &slot) && slot);
        ck_assert_mem_eq(slot->data[0], x + i * rows % 512 * width, (size_t)(rows * width) * 4);
    }
    const int running = l->ring.running;
    drop(f);
    return running;
}

static float *counted(void)
{
    float *x = weft__new(512 * 1024, sizeof *x);
    for (int i = 0; i < 512 * 1024; i++)
        x[i] = (float)i;
    return x;
}

START_TEST(one_core_reads_large_batches_itself)
{
    cpu_set_t all, one;
    float *x = counted();
    ck_assert(!sched_getaffinity(0, sizeof all, &all));
    CPU_ZERO(&one);
    for (size_t i = 0; !CPU_COUNT(&one); i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    ck_assert(!sched_setaffinity(0, sizeof one, &one));
    ck_assert_int_eq(workers_of(NULL, 256, x, 0), 0);
    ck_assert_int_eq(workers_of(NULL, 256, x, 2), 1); /* as it is told */
    ck_assert_int_eq(workers_of(NULL, 1, x, 0), 1);
    ck_assert(!sched_setaffinity(0, sizeof all, &all));
    if (CPU_COUNT(&all) > 2)
        ck_assert_int_eq(workers_of(NULL, 256, x, 0), 1);
    weft__free(x);
}
END_TEST

START_TEST(threads_that_compute_copy_batches)
{
    float *x = counted();
    weft_device *d;
    cpu_set_t all;
    ck_assert(!sched_getaffinity(0, sizeof all, &all));
    const int cores = CPU_COUNT(&all);
    ck_assert_int_eq(weft__device_open(&d, "cpu", 0, cores > 1 ? cores : 2), WEFT_OK);
    ck_assert_int_eq(workers_of(d, 256, x, 0), 0);
    ck_assert_int_eq(workers_of(d, 128, x, WEFT_OFF), 0);
    ck_assert_int_eq(workers_of(d, 256, x, 1), 1);
    weft__device_close(d);
    weft__free(x);
}
END_TEST

int main(void)
{
    if (!make_dir())
        return 99;
    Suite *s = suite_create("workers");
    TCase *c = tcase_create("workers");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, the_batches_are_the_same);
    tcase_add_test(c, workers_work_at_once);
    tcase_add_test(c, memory_is_bounded);
    tcase_add_test(c, first_error_in_order);
    tcase_add_test(c, a_silent_error_still_names_a_row);
    tcase_add_test(c, shutdown_from_any_state);
    tcase_add_test(c, every_failing_allocation_is_survived);
    tcase_add_test(c, a_self_for_each_worker);
    tcase_add_test(c, a_worker_that_cannot_be_opened);
    tcase_add_test(c, transforms_are_the_same_everywhere);
    tcase_add_test(c, a_transform_fails);
    tcase_add_test(c, a_data_set_with_a_transform);
    tcase_add_test(c, padded_sequences);
    tcase_add_test(c, a_collate_fails);
    tcase_add_test(c, eight_fields);
    tcase_add_test(c, options_are_read_strictly);
    tcase_add_test(c, one_core_reads_large_batches_itself);
    tcase_add_test(c, threads_that_compute_copy_batches);
    suite_add_tcase(s, c);
    return run_suite(s);
}
