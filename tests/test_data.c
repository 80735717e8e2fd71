/* Loaders of HDF5 files and arrays, options, and the state of a loader. */
#include "data_fixture.h"

#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <weft/sys/state.h>
#include <zlib.h>

#define N 37
#define WIDTH 6

/* What every test file holds in row i, column j of x; y holds i % 10. */
static double cell(int64_t i, int64_t j)
{
    return (double)((i * 7 + j * 3) % 251);
}

static hid_t native(weft_dtype t)
{
    return t == WEFT_U8    ? H5T_NATIVE_UINT8
           : t == WEFT_I32 ? H5T_NATIVE_INT32
           : t == WEFT_I64 ? H5T_NATIVE_INT64
           : t == WEFT_F32 ? H5T_NATIVE_FLOAT
                           : H5T_NATIVE_DOUBLE;
}

/* A data set of n rows of (2, 3), or of (), of the file's type; plist may be H5P_DEFAULT. */
static void put(hid_t file, const char *name, int64_t n, int rank, hid_t type, hid_t plist)
{
    double *all = malloc((size_t)(n * WIDTH + 1) * sizeof *all);
    hsize_t dim[3] = {(hsize_t)n, 2, 3};
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < WIDTH; j++)
            all[rank == 1 ? i : i * WIDTH + j] = rank == 1 ? (double)(i % 10) : cell(i, j);
    hid_t space = H5Screate_simple(rank, dim, NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    ck_assert_int_ge(set, 0);
    if (n)
        ck_assert_int_ge(H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, all), 0);
    H5Dclose(set);
    H5Sclose(space);
    free(all);
}

static hid_t new_file(const char *name)
{
    hid_t file = H5Fcreate(path_of(name), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    ck_assert_int_ge(file, 0);
    return file;
}

static const char *good_file(const char *name, weft_dtype x, weft_dtype y)
{
    hid_t file = new_file(name);
    put(file, "x", N, 3, native(x), H5P_DEFAULT);
    put(file, "y", N, 1, native(y), H5P_DEFAULT);
    H5Fclose(file);
    return path_of(name);
}

/* ---- values through the loader */

static void check_batch(const weft_fabric *f, const weft_batch *b, weft_dtype x, weft_dtype y)
{
    ck_assert_int_eq(b->x->rank, 3);
    ck_assert_int_eq(b->x->shape[0], b->rows);
    ck_assert_int_eq(b->y->rank, 1);
    ck_assert_int_eq(b->x->dtype, x == WEFT_F32 || x == WEFT_F64 ? f->dtype : x);
    ck_assert_int_eq(b->y->dtype, y == WEFT_F32 || y == WEFT_F64 ? f->dtype : y);
    for (int64_t i = 0; i < b->rows; i++) {
        for (int64_t j = 0; j < WIDTH; j++)
            ck_assert(value(b->x, i * WIDTH + j) == cell(b->sample[i], j));
        ck_assert(value(b->y, i) == (double)(b->sample[i] % 10));
    }
    for (int k = 0; k < 2; k++) {
        const weft__rows *r = k ? &b->y->rows : &b->x->rows;
        ck_assert(r->batch && r->ids == b->sample && r->base == b->base);
        ck_assert(r->local == b->rows && r->global == b->global_rows);
    }
}

static void round_trip(const char *path, weft_dtype x, weft_dtype y, int world, int prefetch)
{
    int times[N] = {0};
    for (int rank = 0; rank < world; rank++) {
        weft_fabric *f = fabric(rank, world, x == WEFT_I32 ? WEFT_F64 : WEFT_F32);
        weft_loader *l = weft_loader_hdf5(f, path,
                                          WEFT_LOADER(.global_batch = 8, .epochs = 2,
                                                      .shuffle = world > 1, .prefetch = prefetch));
        int64_t n = 0;
        ck_assert_msg(l != NULL, "%s", weft_message(f));
        for (weft_batch b; weft__loader_next(l, &b); n++) {
            check_batch(f, &b, x, y);
            ck_assert_int_eq(b.epoch * 5 + b.index, n);
            ck_assert_int_eq(b.global_rows, b.index == 4 ? 5 : 8);
            ck_assert_int_ge(b.base, b.epoch * N + b.index * 8);
            for (int64_t i = 0; i < b.rows; i++)
                times[b.sample[i]]++;
        }
        ck_assert_int_eq(weft_error(f), 0);
        ck_assert_int_eq(n, 10);
        ck_assert_int_eq(weft_loader_position(l), 10);
        drop(f);
    }
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(times[i], 2);
}

START_TEST(hdf5_round_trip)
{
    static const weft_dtype type[] = {WEFT_U8, WEFT_I32, WEFT_I64, WEFT_F32, WEFT_F64};
    for (int i = 0; i < 25; i++) {
        const char *path = good_file("good.h5", type[i / 5], type[i % 5]);
        for (int world = 1; world <= 9; world += 4)
            round_trip(path, type[i / 5], type[i % 5], world, i % 4 - 1);
    }
}
END_TEST

START_TEST(user_block_and_other_names)
{
    hid_t plist = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_userblock(plist, 1024);
    hid_t file = H5Fcreate(path_of("block.h5"), H5F_ACC_TRUNC, plist, H5P_DEFAULT);
    H5Pclose(plist);
    hid_t group = H5Gcreate2(file, "set", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put(group, "images", N, 3, H5T_NATIVE_FLOAT, H5P_DEFAULT);
    H5Gclose(group);
    H5Fclose(file);
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = weft_loader_hdf5(f, path_of("block.h5"), WEFT_LOADER(.x = "/set/images"));
    weft_batch b;
    ck_assert_msg(l && weft__loader_next(l, &b), "%s", weft_message(f));
    ck_assert_ptr_null(b.y);
    for (int64_t i = 0; i < b.rows * WIDTH; i++)
        ck_assert(value(b.x, i) == cell(i / WIDTH, i % WIDTH));
    ck_assert_ptr_null(
        weft_loader_hdf5(f, path_of("block.h5"), WEFT_LOADER(.x = "set/images", .y = "labels")));
    expect(f, WEFT_ENOENT, "no data set labels");
    drop(f);
}
END_TEST

START_TEST(casts_keep_every_value)
{
    double x[4] = {-0.0, NAN, -INFINITY, 0.1};
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = weft_loader_arrays(f, 4, x, 0, NULL, WEFT_F64, x, WEFT_F64, NULL);
    weft_batch b;
    ck_assert(weft__loader_next(l, &b));
    for (int k = 0; k < 2; k++) {
        const weft_tensor *t = k ? b.y : b.x;
        ck_assert(t->dtype == WEFT_F32 && signbit(value(t, 0)) && isnan(value(t, 1)));
        ck_assert(value(t, 2) == -INFINITY && value(t, 3) == (double)0.1f);
    }
    drop(f);
}
END_TEST

START_TEST(integers_scale)
{
    const char *path = good_file("u8.h5", WEFT_U8, WEFT_U8);
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l =
        weft_loader_hdf5(f, path, WEFT_LOADER(.scale = 1 / 255.0, .shift = -0.5, .epochs = 1));
    weft_batch b;
    ck_assert(weft__loader_next(l, &b));
    ck_assert_int_eq(b.x->dtype, WEFT_F32);
    ck_assert_int_eq(b.y->dtype, WEFT_U8);
    for (int64_t i = 0; i < b.rows * WIDTH; i++)
        ck_assert(fabs(value(b.x, i) - (cell(i / WIDTH, i % WIDTH) / 255 - 0.5)) < 1e-7);
    drop(f);
}
END_TEST

/* ---- a data set of the test's own, that counts, fails and dawdles */

typedef struct own {
    int64_t bad; /* this row cannot be read */
    atomic_int reads, gone;
    int sleep_ms;
    _Atomic(pthread_t) reader;
} own;

static weft_status own_read(void *self, int field, const int64_t *row, int64_t n, void *out,
                            char *why, size_t why_size)
{
    own *o = self;
    struct timespec t = {o->sleep_ms / 1000, o->sleep_ms % 1000 * 1000000L};
    o->reads++;
    o->reader = pthread_self();
    if (o->sleep_ms)
        nanosleep(&t, NULL);
    for (int64_t i = 0; i < n; i++) {
        if (row[i] == o->bad && field == 0) {
            snprintf(why, why_size, "row %lld: the disk is on strike", (long long)row[i]);
            return WEFT_EIO;
        }
        ((int64_t *)out)[i] = row[i] * 100 + field;
    }
    return WEFT_OK;
}

static void own_destroy(void *self)
{
    ((own *)self)->gone++;
}

static const weft_dataset_ops own_ops = {
    .size = sizeof own_ops, .name = "own", .read = own_read, .destroy = own_destroy};
static const weft_field own_field[2] = {{.present = true, .dtype = WEFT_I64},
                                        {.present = true, .dtype = WEFT_I64}};

static weft_loader *own_loader(weft_fabric *f, own *o, int64_t rows, const weft_loader_options *opt)
{
    weft_loader *l = weft_loader_new(f, &own_ops, o, rows, own_field, opt);
    ck_assert_msg(l != NULL, "%s", weft_message(f));
    return l;
}

START_TEST(failing_row_is_named_and_sticks)
{
    for (int prefetch = -1; prefetch <= 3; prefetch++) {
        own o = {.bad = 37};
        weft_fabric *f = fabric(1, 2, WEFT_F32);
        weft_loader *l =
            own_loader(f, &o, 100, WEFT_LOADER(.global_batch = 10, .prefetch = prefetch));
        weft_batch b;
        int64_t n = 0;
        while (weft__loader_next(l, &b))
            n++;
        ck_assert_int_eq(n, 3); /* in order: the good batches before it came first */
        ck_assert(!weft__loader_next(l, &b));
        ck_assert_ptr_nonnull(
            strstr(weft_message(f), "rank 1 on here: own: field x, batch 3 of epoch 0"));
        expect(f, WEFT_EIO, "row 37: the disk is on strike");
        ck_assert(weft__loader_next(l, &b)); /* goes on after the failed batch */
        ck_assert_int_eq(b.index, 4);
        drop(f);
        ck_assert_int_eq(o.gone, 1);
    }
}
END_TEST

START_TEST(no_worker_before_the_first_batch)
{
    own o = {.bad = -1};
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = own_loader(f, &o, 100, WEFT_LOADER(.global_batch = 10, .prefetch = 2));
    struct timespec t = {0, 20000000};
    weft_batch b;
    nanosleep(&t, NULL);
    ck_assert_int_eq(o.reads, 0);
    ck_assert(weft__loader_next(l, &b));
    nanosleep(&t, NULL);
    ck_assert_int_eq(o.reads, 6); /* x and y of this batch and of two ahead, no more */
    ck_assert(!pthread_equal(o.reader, pthread_self()));
    ck_assert_int_eq(weft_loader_position(l), 1);
    drop(f);
}
END_TEST

START_TEST(ids_stay_until_the_next_batch)
{
    own o = {.bad = -1};
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = own_loader(f, &o, 64, WEFT_LOADER(.global_batch = 4, .prefetch = 1));
    struct timespec t = {0, 2000000};
    for (weft_batch b; weft__loader_next(l, &b);) {
        nanosleep(&t, NULL); /* the worker has all the time to run ahead */
        for (int64_t i = 0; i < 4; i++)
            ck_assert_int_eq(b.sample[i], b.index * 4 + i);
    }
    drop(f);
}
END_TEST

START_TEST(freeing_does_not_wait)
{
    for (int sleep_ms = 0; sleep_ms <= 20; sleep_ms += 20) {
        own o = {.bad = -1, .sleep_ms = sleep_ms};
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_loader *l = own_loader(f, &o, 100000, WEFT_LOADER(.global_batch = 1, .prefetch = 2));
        weft_batch b;
        ck_assert(weft__loader_next(l, &b));
        double before = weft__now();
        drop(f); /* the ring is full, or its worker in the middle of a read */
        ck_assert(weft__now() - before < 0.5);
        ck_assert_int_eq(o.gone, 1);
    }
}
END_TEST

START_TEST(steady_steps_allocate_nothing)
{
    for (int prefetch = -1; prefetch <= 2; prefetch += 3) {
        own o = {.bad = -1};
        weft_fabric *f = fabric(0, 2, WEFT_F32);
        weft_loader *l = own_loader(
            f, &o, 100,
            WEFT_LOADER(.global_batch = 7, .epochs = 4, .shuffle = true, .prefetch = prefetch));
        weft_batch b;
        ck_assert(weft__loader_next(l, &b));
        weft__fail_alloc(1000000);
        while (weft__loader_next(l, &b))
            ;
        ck_assert_int_eq(weft__fail_alloc(0), 1000000);
        ck_assert_int_eq(weft_error(f), 0);
        drop(f);
    }
}
END_TEST

START_TEST(every_failing_allocation_is_survived)
{
    const char *path = good_file("alloc.h5", WEFT_U8, WEFT_U8);
    bool through = false;
    for (long k = 1; !through; k++) {
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_batch b;
        weft__fail_alloc(k);
        weft_loader *l = weft_loader_hdf5(f, path, WEFT_LOADER(.shuffle = true, .scale = 2));
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

START_TEST(worker_or_not_the_batches_are_the_same)
{
    static const char *const last[] = {"uneven", "drop", "pad"};
    for (int m = 0; m < 3; m++) {
        char *text[3];
        for (int i = 0; i < 3; i++) {
            own o = {.bad = -1};
            weft_fabric *f = fabric(1, 3, WEFT_F32);
            text[i] =
                record(own_loader(f, &o, 50,
                                  WEFT_LOADER(.batch_size = 4, .epochs = 3, .shuffle = true,
                                              .last = last[m], .prefetch = i ? i * 3 - 2 : -1)),
                       1000);
            drop(f);
        }
        ck_assert_str_eq(text[0], text[1]);
        ck_assert_str_eq(text[0], text[2]);
        for (int i = 0; i < 3; i++)
            free(text[i]);
    }
}
END_TEST

START_TEST(resume_in_the_middle_of_an_epoch)
{
    for (int64_t stop = 0; stop <= 18; stop++) {
        own o = {.bad = -1}, p = {.bad = -1};
        memory m = {0};
        weft_fabric *f = fabric(0, 2, WEFT_F32), *g = fabric(0, 2, WEFT_F32);
        g->seed = 7; /* the checkpoint's seed counts */
        weft_loader *l =
            own_loader(f, &o, 50, WEFT_LOADER(.global_batch = 9, .epochs = 3, .shuffle = true));
        weft_loader *k =
            own_loader(g, &p, 50, WEFT_LOADER(.global_batch = 9, .epochs = 3, .shuffle = true));
        free(record(l, stop));
        ck_assert_int_eq(visit(&m, WEFT_VISIT_SAVE, l), 0);
        free(record(k, 4)); /* its worker runs when the state comes */
        ck_assert_int_eq(visit(&m, WEFT_VISIT_CHECK, k), 0);
        ck_assert_int_eq(weft_loader_position(k), 4);
        ck_assert_int_eq(visit(&m, WEFT_VISIT_LOAD, k), 0);
        ck_assert_int_eq(weft_loader_position(k), stop);
        char *rest = record(l, 100), *resumed = record(k, 100);
        ck_assert_str_eq(rest, resumed);
        free(rest);
        free(resumed);
        drop(f);
        drop(g);
    }
}
END_TEST

START_TEST(resume_with_another_batch_size)
{
    own o = {.bad = -1};
    memory m = {0};
    weft_batch b;
    weft_fabric *f = fabric(0, 1, WEFT_F32), *g = fabric(1, 2, WEFT_F32);
    weft_loader *l = own_loader(f, &o, 48, WEFT_LOADER(.global_batch = 4, .epochs = 2));
    weft_loader *twice = own_loader(g, &o, 48, WEFT_LOADER(.global_batch = 8, .epochs = 2));
    weft_loader *odd = own_loader(g, &o, 48, WEFT_LOADER(.global_batch = 5, .epochs = 2));
    weft_loader *other = own_loader(g, &o, 47, WEFT_LOADER(.global_batch = 4, .epochs = 2));
    free(record(l, 12 + 4));
    visit(&m, WEFT_VISIT_SAVE, l);
    ck_assert_int_eq(visit(&m, WEFT_VISIT_CHECK, twice), 0);
    ck_assert_int_eq(visit(&m, WEFT_VISIT_LOAD, twice), 0);
    ck_assert(weft__loader_next(twice, &b));
    ck_assert_int_eq(b.epoch, 1);
    ck_assert_int_eq(b.index, 2);
    ck_assert_int_eq(b.sample[0], 16 + 4);
    ck_assert_int_eq(b.base, 48 + 16 + 4);
    ck_assert_int_eq(visit(&m, WEFT_VISIT_CHECK, odd), WEFT_ECONFIG);
    ck_assert_ptr_nonnull(strstr(weft__why(), "row 16 of an epoch in batches of 4; batches of 5"));
    ck_assert_int_eq(visit(&m, WEFT_VISIT_CHECK, other), WEFT_ECONFIG);
    ck_assert_ptr_nonnull(strstr(weft__why(), "48 rows of data, this data set has 47"));
    ck_assert_int_eq(weft_loader_position(other), 0);
    drop(f);
    drop(g);
}
END_TEST

START_TEST(rewind_begins_again)
{
    own o = {.bad = -1};
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = own_loader(f, &o, 20, WEFT_LOADER(.global_batch = 6, .evaluation = true));
    ck_assert(weft__loader_is_evaluation(l));
    char *first = record(l, 100);
    ck_assert_int_eq(weft_rewind(l), 0);
    char *again = record(l, 2);
    ck_assert_int_eq(weft_rewind(l), 0);
    free(again);
    again = record(l, 100);
    ck_assert_str_eq(first, again);
    free(first);
    free(again);
    drop(f);
}
END_TEST

/* ---- files that must be refused */

static void refuse(const char *path, const weft_loader_options *o, weft_status code,
                   const char *text)
{
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    ck_assert_ptr_null(weft_loader_hdf5(f, path, o));
    ck_assert_msg(strstr(weft_message(f), path) != NULL, "no path in: %s", weft_message(f));
    expect(f, code, text);
    ck_assert_ptr_null(f->objects);
    drop(f);
}

static hid_t layout(H5D_layout_t how)
{
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(plist, how);
    return plist;
}

static const char *with(const char *name, int64_t n, hid_t type, hid_t plist, int64_t rows_of_y)
{
    hid_t file = new_file(name);
    put(file, "x", n, 3, type, plist);
    if (rows_of_y)
        put(file, "y", rows_of_y, 1, H5T_NATIVE_UINT8, H5P_DEFAULT);
    H5Fclose(file);
    if (plist != H5P_DEFAULT)
        H5Pclose(plist);
    return path_of(name);
}

START_TEST(files_of_another_kind)
{
    FILE *out = fopen(path_of("text"), "w");
    for (int i = 0; i < 1000; i++)
        fprintf(out, "not a data set\n");
    fclose(out);
    fclose(fopen(path_of("empty"), "w"));
    mkfifo(path_of("pipe"), 0600);
    refuse(path_of("missing.h5"), NULL, WEFT_ENOENT, "No such file");
    refuse(path_of("text"), NULL, WEFT_EFORMAT, "not an HDF5 file");
    refuse(path_of("empty"), NULL, WEFT_EFORMAT, "not an HDF5 file");
    refuse(path_of("pipe"), NULL, WEFT_EFORMAT, "not a regular file");
    refuse(dir, NULL, WEFT_EFORMAT, "not a regular file");
}
END_TEST

START_TEST(truncated_files)
{
    const char *path = good_file("cut.h5", WEFT_F64, WEFT_F64);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(truncate(path, st.st_size - 10), 0);
    refuse(path, NULL, WEFT_EFORMAT, "truncated, 10 bytes of");
    for (off_t size = st.st_size - 11; size >= 0; size = size > 600 ? size - 97 : size - 1) {
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        ck_assert_int_eq(truncate(path, size), 0);
        ck_assert_ptr_null(weft_loader_hdf5(f, path, NULL));
        expect(f, WEFT_EFORMAT, "cut.h5");
        drop(f);
    }
}
END_TEST

/* libhdf5 itself leaks over damaged object headers, so a leak checker sees the superblock's only. */
#ifdef __SANITIZE_ADDRESS__
#define DAMAGED 96
#else
#define DAMAGED (1 << 14)
#endif

START_TEST(damaged_metadata_never_crashes)
{
    const char *path = good_file("bad.h5", WEFT_U8, WEFT_U8);
    FILE *file = fopen(path, "r+");
    static unsigned char whole[1 << 14];
    size_t n = fread(whole, 1, sizeof whole, file);
    for (size_t at = 0; at < n && at < DAMAGED; at += at < 1000 ? 3 : 41) {
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_batch b;
        unsigned char flipped = whole[at] ^ 0x55;
        fseek(file, (long)at, SEEK_SET);
        fwrite(&flipped, 1, 1, file);
        fflush(file);
        weft_loader *l = weft_loader_hdf5(f, path, NULL);
        if (l)
            weft__loader_next(l, &b);
        else
            ck_assert_int_ne(weft_error(f), 0);
        drop(f);
        fseek(file, (long)at, SEEK_SET);
        fwrite(&whole[at], 1, 1, file);
    }
    fclose(file);
}
END_TEST

START_TEST(layouts_that_are_not_plain_rows)
{
    hid_t d = H5P_DEFAULT, u8 = H5T_NATIVE_UINT8;
    refuse(with("compact.h5", N, u8, layout(H5D_COMPACT), N), NULL, WEFT_EFORMAT, "compact");
    refuse(with("rows.h5", N, u8, d, N - 2), NULL, WEFT_EFORMAT, "x has 37 rows, y has 35");
    refuse(with("only.h5", N, u8, d, 0), WEFT_LOADER(.x = "z"), WEFT_ENOENT, "no data set z");
    refuse(path_of("only.h5"), WEFT_LOADER(.x = "a/b"), WEFT_ENOENT, "no data set a/b");
    refuse(path_of("only.h5"), WEFT_LOADER(.x = "x/b"), WEFT_ENOENT, "no data set x/b");
    refuse(path_of("only.h5"), WEFT_LOADER(.x = "/"), WEFT_ENOENT, "no data set /");
    hid_t outside = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(outside, path_of("raw"), 0, 100000);
    refuse(with("outside.h5", N, u8, outside, N), NULL, WEFT_EFORMAT, "in other files");
}
END_TEST

START_TEST(types_that_are_not_taken)
{
    hid_t d = H5P_DEFAULT;
    refuse(with("i16.h5", N, H5T_NATIVE_INT16, d, N), NULL, WEFT_EDTYPE,
           "signed integer of 2 bytes");
    refuse(with("i8.h5", N, H5T_NATIVE_INT8, d, N), NULL, WEFT_EDTYPE, "signed integer of 1 bytes");
    refuse(with("be.h5", N, H5T_IEEE_F32BE, d, N), NULL, WEFT_EDTYPE,
           "float of 4 bytes, big-endian");
    hid_t file = new_file("text.h5"), type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, 5);
    H5Dclose(H5Dcreate2(file, "x", type, space, d, d, d));
    H5Dclose(H5Dcreate2(file, "scalar", H5T_NATIVE_FLOAT, space, d, d, d));
    H5Gclose(H5Gcreate2(file, "group", d, d, d));
    H5Lcreate_soft("/x", file, "soft", d, d);
    H5Lcreate_external("good.h5", "/x", file, "abroad", d, d);
    H5Sclose(space);
    hsize_t n = N;
    space = H5Screate_simple(1, &n, NULL);
    H5Dclose(H5Dcreate2(file, "hollow", H5T_NATIVE_FLOAT, space, d, d, d));
    H5Sclose(space);
    H5Tclose(type);
    H5Fclose(file);
    refuse(path_of("text.h5"), NULL, WEFT_EDTYPE, "string of 5 bytes");
    refuse(path_of("text.h5"), WEFT_LOADER(.x = "scalar"), WEFT_EFORMAT, "0 dimensions");
    refuse(path_of("text.h5"), WEFT_LOADER(.x = "group"), WEFT_EFORMAT, "not a data set");
    refuse(path_of("text.h5"), WEFT_LOADER(.x = "soft"), WEFT_EFORMAT, "soft or external link");
    refuse(path_of("text.h5"), WEFT_LOADER(.x = "abroad"), WEFT_EFORMAT, "soft or external link");
    refuse(path_of("text.h5"), WEFT_LOADER(.x = "hollow"), WEFT_EFORMAT, "never written");
}
END_TEST

static off_t start_of(const char *path)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), x = H5Dopen2(file, "x", H5P_DEFAULT);
    haddr_t at = H5Dget_offset(x);
    H5Dclose(x);
    H5Fclose(file);
    return (off_t)at;
}

START_TEST(a_file_that_shrinks_while_it_is_read)
{
    const char *path = with("shrink.h5", N, H5T_NATIVE_DOUBLE, H5P_DEFAULT, 0);
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_batch b;
    int64_t n = 1;
    weft_loader *l =
        weft_loader_hdf5(f, path, WEFT_LOADER(.global_batch = 10, .prefetch = WEFT_OFF));
    ck_assert(l && weft__loader_next(l, &b));
    ck_assert_int_eq(truncate(path, start_of(path) + 20 * WIDTH * 8 + 5), 0);
    while (weft__loader_next(l, &b))
        n++;
    ck_assert_int_eq(n, 2);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "field x, batch 2 of epoch 0: row 20"));
    expect(f, WEFT_EFORMAT, "became shorter");
    drop(f);
}
END_TEST

START_TEST(the_program_keeps_its_hdf5_errors)
{
    H5E_auto2_t before, after;
    void *data;
    H5Eget_auto2(H5E_DEFAULT, &before, &data);
    ck_assert_int_ge(H5Eset_auto2(H5E_DEFAULT, (H5E_auto2_t)(void (*)(void))H5Eprint2, stderr), 0);
    refuse(with("quiet.h5", N, H5T_NATIVE_INT16, H5P_DEFAULT, N), NULL, WEFT_EDTYPE, "2 bytes");
    H5Eget_auto2(H5E_DEFAULT, &after, &data);
    ck_assert(after == (H5E_auto2_t)(void (*)(void))H5Eprint2 && data == stderr);
    H5Eset_auto2(H5E_DEFAULT, before, data);
}
END_TEST

/* ---- options, arrays, batches made in place */

START_TEST(options_are_read_strictly)
{
    static const struct {
        weft_loader_options o;
        const char *text;
    } bad[] = {
        {{.global_batch = 8, .batch_size = 4}, "exclude each other"},
        {{.global_batch = -1}, "global_batch is -1"},
        {{.batch_size = -3}, "batch_size is -3"},
        {{.batch_size = INT64_MAX / 2}, "too large"},
        {{.global_batch = INT64_MAX}, "more than can be counted"},
        {{.epochs = -1}, "epochs is -1"},
        {{.epochs = INT64_MAX}, "more than can be counted"},
        {{.prefetch = -2}, "prefetch is -2"},
        {{.prefetch = 5000}, "prefetch is 5000"},
        {{.last = "dorp"}, "did you mean \"drop\"?"},
        {{.shift = 1}, "a shift needs a scale"},
        {{.scale = INFINITY}, "finite"},
        {{.evaluation = true, .shuffle = true}, "in order"},
        {{.evaluation = true, .last = "pad"}, "every row once"},
        {{.global_batch = 64, .last = "drop"}, "leaves none"},
    };
    own o = {.bad = -1};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        weft_fabric *f = fabric(0, 4, WEFT_F32);
        ck_assert_ptr_null(weft_loader_new(f, &own_ops, &o, 50, own_field, &bad[i].o));
        expect(f, WEFT_EARG, bad[i].text);
        drop(f);
    }
    ck_assert_int_eq(o.gone, 0); /* what was never taken is not destroyed */
    ck_assert_ptr_null(weft_loader_hdf5(NULL, "x", NULL));
}
END_TEST

START_TEST(defaults_and_facts)
{
    own o = {.bad = -1};
    weft_fabric *f = fabric(0, 4, WEFT_F32);
    weft_loader *l = own_loader(f, &o, 100, NULL),
                *m = own_loader(f, &o, 100, WEFT_LOADER(.batch_size = 5));
    ck_assert_int_eq(weft__loader_global_batch(l), 32);
    ck_assert_int_eq(weft__loader_global_batch(m), 20);
    ck_assert_int_eq(weft_loader_batches(l), 4);
    ck_assert_int_eq(weft_loader_epochs(l), 1);
    ck_assert_int_eq(weft_loader_rows(l), 100);
    ck_assert(!weft__loader_is_setup(l));
    ck_assert_int_eq(weft__loader_setup(l), WEFT_OK);
    ck_assert_int_eq(weft__loader_setup(l), WEFT_ESTATE);
    ck_assert(weft__loader_fabric(l) == f);
    weft__object_free(f->objects); /* one of them early */
    drop(f);
    ck_assert_int_eq(o.gone, 2);
}
END_TEST

START_TEST(arrays_and_empty_parts)
{
    float x[5][2];
    int64_t y[5], shape = 2;
    for (int i = 0; i < 5; i++) {
        x[i][0] = (float)i;
        x[i][1] = (float)-i;
        y[i] = i;
    }
    int64_t rows = 0, none = 0;
    for (int rank = 0; rank < 4; rank++) {
        weft_fabric *f = fabric(rank, 4, WEFT_F64);
        weft_loader *l = weft_loader_arrays(f, 5, x, 1, &shape, WEFT_F32, y, WEFT_I64,
                                            WEFT_LOADER(.global_batch = 4));
        for (weft_batch b; weft__loader_next(l, &b); rows += b.rows) {
            ck_assert_int_eq(b.x->dtype, WEFT_F64);
            ck_assert_int_eq(b.x->shape[0], b.rows);
            none += b.rows == 0;
            ck_assert(b.x->rows.batch && b.y->rows.batch);
            for (int64_t i = 0; i < b.rows; i++)
                ck_assert(value(b.x, 2 * i + 1) == -(double)b.sample[i] &&
                          value(b.y, i) == b.base + i);
        }
        drop(f);
    }
    ck_assert_int_eq(rows, 5);
    ck_assert_int_eq(none, 3); /* of the last batch's one row */
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_batch b;
    weft_loader *l =
        weft_loader_arrays(f, 0, NULL, 0, NULL, WEFT_DEFAULT, NULL, WEFT_DEFAULT, NULL);
    ck_assert(l && !weft__loader_next(l, &b));
    ck_assert_int_eq(weft_error(f), 0);
    ck_assert_ptr_null(weft_loader_arrays(f, 5, x, 1, &shape, WEFT_BF16, NULL, WEFT_DEFAULT, NULL));
    expect(f, WEFT_EDTYPE, "bf16");
    drop(f);
}
END_TEST

START_TEST(batches_made_in_place)
{
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    float x[6] = {0};
    weft_tensor *a = weft_tensor_of(f, x, 2, (int64_t[]){3, 2}, WEFT_F32);
    weft_tensor *b = weft_tensor_of(f, x, 1, (int64_t[]){2}, WEFT_F32);
    weft_batch got = weft_batch_of(f, a, NULL, 30, 12);
    ck_assert(got.x == a && got.rows == 3 && got.global_rows == 12 && got.base == 30);
    ck_assert(a->rows.batch && a->rows.local == 3 && a->rows.global == 12 && a->rows.base == 30);
    ck_assert_ptr_null(weft_batch_of(f, NULL, b, 0, 0).x);
    ck_assert_ptr_null(weft_batch_of(f, a, b, 0, 0).x);
    expect(f, WEFT_ESHAPE, "same number of rows");
    ck_assert_ptr_null(weft_batch_of(f, a, NULL, 0, 2).x);
    expect(f, WEFT_EARG, "global_rows 2 for 3 rows");
    drop(f);
}
END_TEST

/* ---- the converter */

static void be32(gzFile out, uint32_t v)
{
    unsigned char b[4] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16),
                          (unsigned char)(v >> 8), (unsigned char)v};
    gzwrite(out, b, 4);
}

/* n things of 2 x 3, or labels; `bytes` of them are there. */
static const char *idx(const char *name, const char *mode, uint32_t magic, uint32_t n,
                       uint32_t bytes)
{
    gzFile out = gzopen(path_of(name), mode);
    be32(out, magic);
    be32(out, n);
    if (magic == 0x803) {
        be32(out, 2);
        be32(out, 3);
    }
    for (uint32_t i = 0; i < bytes; i++)
        gzputc(out, (int)cell(i / WIDTH, i % WIDTH));
    gzclose(out);
    return path_of(name);
}

/* Runs the converter; what it said is in said. @return its exit status. */
static int convert(char said[500], const char *options, const char *images, const char *labels)
{
    char command[2000];
    snprintf(command, sizeof command, "'%s' %s '%s' '%s' '%s/idx.h5' 2>&1", getenv("WEFT_IDX2HDF5"),
             options, images, labels, dir);
    FILE *p = popen(command, "r");
    said[fread(said, 1, 499, p)] = '\0';
    int rc = pclose(p);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

START_TEST(converter_of_idx_files)
{
    char said[500];
    double sum[2] = {0, 0};
    if (!getenv("WEFT_IDX2HDF5"))
        return;
    const char *images = idx("images", "wbT", 0x803, 20, 120);
    const char *labels = idx("labels.gz", "wb", 0x801, 20, 20);
    for (int shuffled = 0; shuffled < 2; shuffled++) {
        int rc = convert(said, shuffled ? "--shuffle-labels 3" : "", images, labels);
        ck_assert_msg(rc == 0 && !*said, "%s", said);
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_loader *l = weft_loader_hdf5(f, path_of("idx.h5"), WEFT_LOADER(.scale = 1));
        weft_batch b;
        bool same = true;
        ck_assert_msg(l && weft__loader_next(l, &b), "%s", weft_message(f));
        ck_assert(b.rows == 20 && b.x->rank == 2 && b.x->shape[1] == 6);
        for (int64_t i = 0; i < 20; i++) {
            ck_assert(value(b.x, i * 6 + 5) == cell(i, 5));
            same = same && value(b.y, i) == cell(i / 6, i % 6);
            sum[shuffled] += value(b.y, i);
        }
        ck_assert(same == !shuffled);
        drop(f);
    }
    ck_assert(sum[0] == sum[1]);
}
END_TEST

START_TEST(converter_refuses_broken_files)
{
    char said[500];
    if (!getenv("WEFT_IDX2HDF5"))
        return;
    const struct {
        const char *images, *labels, *text;
    } bad[] = {
        {idx("i1", "wbT", 0x803, 20, 119), idx("l", "wb", 0x801, 20, 20), "1 are missing"},
        {idx("i2", "wb", 0x803, 20, 121), idx("l", "wb", 0x801, 20, 20), "goes on after"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_int_eq(convert(said, "", bad[i].images, bad[i].labels), 1);
        ck_assert_msg(strstr(said, bad[i].text) != NULL, "%s", said);
    }
    const char *good = idx("i", "wb", 0x803, 20, 120);
    ck_assert_int_eq(convert(said, "", good, idx("l19", "wb", 0x801, 19, 19)), 1);
    ck_assert_ptr_nonnull(strstr(said, "has 20 images"));
    ck_assert_int_eq(convert(said, "", good, good), 1);
    ck_assert_ptr_nonnull(strstr(said, "begins with 0x00000803"));
    ck_assert_int_eq(convert(said, "", "/nowhere", good), 1);
    ck_assert_ptr_nonnull(strstr(said, "No such file"));
    ck_assert_int_eq(convert(said, "--shuffle-labels 3x", good, good), 1);
    ck_assert_int_eq(convert(said, "--bogus", good, good), 1);
    struct stat st;
    const char *cut = idx("cut.gz", "wb", 0x803, 20, 120);
    stat(cut, &st);
    ck_assert_int_eq(truncate(cut, st.st_size - 9), 0);
    ck_assert_int_eq(convert(said, "", cut, idx("l", "wb", 0x801, 20, 20)), 1);
}
END_TEST

int main(void)
{
    if (!make_dir())
        return 99;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    Suite *s = suite_create("data");
    TCase *c = tcase_create("data");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, hdf5_round_trip);
    tcase_add_test(c, user_block_and_other_names);
    tcase_add_test(c, casts_keep_every_value);
    tcase_add_test(c, integers_scale);
    tcase_add_test(c, failing_row_is_named_and_sticks);
    tcase_add_test(c, no_worker_before_the_first_batch);
    tcase_add_test(c, ids_stay_until_the_next_batch);
    tcase_add_test(c, freeing_does_not_wait);
    tcase_add_test(c, steady_steps_allocate_nothing);
    tcase_add_test(c, every_failing_allocation_is_survived);
    tcase_add_test(c, worker_or_not_the_batches_are_the_same);
    tcase_add_test(c, resume_in_the_middle_of_an_epoch);
    tcase_add_test(c, resume_with_another_batch_size);
    tcase_add_test(c, rewind_begins_again);
    tcase_add_test(c, files_of_another_kind);
    tcase_add_test(c, truncated_files);
    tcase_add_test(c, damaged_metadata_never_crashes);
    tcase_add_test(c, layouts_that_are_not_plain_rows);
    tcase_add_test(c, types_that_are_not_taken);
    tcase_add_test(c, a_file_that_shrinks_while_it_is_read);
    tcase_add_test(c, the_program_keeps_its_hdf5_errors);
    tcase_add_test(c, options_are_read_strictly);
    tcase_add_test(c, defaults_and_facts);
    tcase_add_test(c, arrays_and_empty_parts);
    tcase_add_test(c, batches_made_in_place);
    tcase_add_test(c, converter_of_idx_files);
    tcase_add_test(c, converter_refuses_broken_files);
    suite_add_tcase(s, c);
    return run_suite(s);
}
