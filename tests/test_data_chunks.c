/* Chunked and compressed HDF5 files, files with several fields, and what is damaged in them. */
#include "data/hdf5.h"
#include "data_fixture.h"

#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <sys/stat.h>

/* Element i of a data set of any shape: every value fits u8, and a half. */
static double element(int64_t i)
{
    return (double)((i * 7 + i / 13) % 251);
}

static hid_t half_type(void)
{
    hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(t, 15, 10, 5, 0, 10);
    H5Tset_size(t, 2);
    H5Tset_ebias(t, 15);
    return t;
}

static void put(hid_t file, const char *name, int rank, const hsize_t *dim, hid_t type, hid_t plist)
{
    hsize_t n = 1;
    for (int d = 0; d < rank; d++)
        n *= dim[d];
    double *all = malloc((n + 1) * sizeof *all);
    for (hsize_t i = 0; i < n; i++)
        all[i] = element((int64_t)i);
    hid_t space = H5Screate_simple(rank, dim, NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    ck_assert_int_ge(set, 0);
    ck_assert_int_ge(H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, all), 0);
    H5Dclose(set);
    H5Sclose(space);
    free(all);
}

/* libhdf5 itself leaks over damaged object headers, which come first. */
#ifdef __SANITIZE_ADDRESS__
#define DAMAGED_FROM 2048
#else
#define DAMAGED_FROM 0
#endif

static bool latest, narrow; /* form of new files */

static hid_t new_file(const char *name)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), create = H5Pcreate(H5P_FILE_CREATE);
    if (latest)
        H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    if (narrow)
        H5Pset_sizes(create, 4, 4);
    hid_t file = H5Fcreate(path_of(name), H5F_ACC_TRUNC, create, access);
    H5Pclose(access);
    H5Pclose(create);
    ck_assert_int_ge(file, 0);
    return file;
}

enum { PLAIN, DEFLATE = 1, SHUFFLE = 2, SUM = 4 };

static hid_t chunked(int rank, const hsize_t *chunk, int filters)
{
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(plist, rank, chunk);
    if (filters & SHUFFLE)
        H5Pset_shuffle(plist);
    if (filters & DEFLATE)
        H5Pset_deflate(plist, 4);
    if (filters & SUM)
        H5Pset_fletcher32(plist);
    return plist;
}

static const char *one_set(const char *name, int rank, const hsize_t *dim, const hsize_t *chunk,
                           hid_t type, int filters)
{
    hid_t file = new_file(name), plist = chunked(rank, chunk, filters);
    put(file, "x", rank, dim, type, plist);
    H5Pclose(plist);
    H5Fclose(file);
    return path_of(name);
}

/* All rows come, as they were written, for any chunks. */
static void check_rows(const char *path, int rank, const hsize_t *dim, const weft_loader_options *o)
{
    weft_fabric *f = fabric(0, 1, WEFT_F64);
    weft_loader *l = weft_loader_hdf5(f, path, o);
    int64_t width = 1, seen = 0;
    ck_assert_msg(l != NULL, "%s", weft_message(f));
    for (int d = 1; d < rank; d++)
        width *= (int64_t)dim[d];
    for (weft_batch b; weft__loader_next(l, &b);) {
        ck_assert_int_eq(b.x->rank, rank);
        for (int64_t i = 0; i < b.rows; i++, seen++)
            for (int64_t j = 0; j < width; j++)
                ck_assert_msg(value(b.x, i * width + j) == element(b.sample[i] * width + j),
                              "row %d, column %d", (int)b.sample[i], (int)j);
    }
    ck_assert_msg(!weft_error(f), "%s", weft_message(f));
    ck_assert_int_eq(seen, (int64_t)dim[0]);
    drop(f);
}

START_TEST(every_shape_of_chunk)
{
    static const struct {
        int rank;
        hsize_t dim[4], chunk[4];
    } row[] = {
        {1, {37}, {1}},
        {1, {37}, {10}},
        {1, {37}, {37}},
        {2, {37, 12}, {5, 12}},
        {2, {37, 12}, {5, 5}},
        {2, {37, 12}, {1, 1}},
        {3, {37, 4, 6}, {8, 4, 6}},
        {3, {37, 4, 6}, {8, 3, 4}},
        {4, {37, 2, 3, 5}, {7, 2, 2, 3}},
        {4, {3, 2, 3, 5}, {3, 1, 3, 2}},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
        for (int filters = 0; filters < 8; filters++) {
            hid_t type = filters % 3 == 0 ? H5T_NATIVE_UINT8
                         : i % 2          ? H5T_NATIVE_INT32
                                          : H5T_NATIVE_DOUBLE;
            const char *path =
                one_set("shape.h5", row[i].rank, row[i].dim, row[i].chunk, type, filters);
            check_rows(path, row[i].rank, row[i].dim, WEFT_LOADER(.global_batch = 8));
            check_rows(path, row[i].rank, row[i].dim,
                       WEFT_LOADER(.global_batch = 9, .shuffle = true, .workers = 3));
        }
}
END_TEST

/* Newer files have other indices: of one chunk, implicit, arrays. */
START_TEST(other_forms_of_files)
{
    const hsize_t dim[2] = {37, 12}, one[2] = {37, 12}, many[2] = {5, 5};
    latest = true;
    for (int filters = 0; filters < 8; filters++)
        for (int k = 0; k < 2; k++) {
            const char *path =
                one_set("latest.h5", 2, dim, k ? many : one, H5T_NATIVE_INT32, filters);
            check_rows(path, 2, dim, WEFT_LOADER(.global_batch = 8, .shuffle = true));
        }
    latest = false;
    narrow = true; /* addresses of 4 bytes */
    check_rows(one_set("narrow.h5", 2, dim, many, H5T_NATIVE_INT32, DEFLATE), 2, dim, NULL);
    narrow = false;
}
END_TEST

/* A data set of n chunks of one element, grown from nothing if `grows`. */
static void check_index(int64_t n, bool grows, int attributes)
{
    const hsize_t dim = (hsize_t)n, chunk = 1, most = H5S_UNLIMITED, none = 0;
    weft__hdf5 h = {.fd = -1, .path = "index"};
    weft__set set = {.rows = n, .field = {.dtype = WEFT_I32}};
    hid_t file = new_file("index.h5"), plist = chunked(1, &chunk, DEFLATE);
    hid_t space = H5Screate_simple(1, grows ? &none : &dim, grows ? &most : NULL);
    hid_t x = H5Dcreate2(file, "x", H5T_NATIVE_INT32, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    int32_t *v = calloc((size_t)n, sizeof *v);
    if (grows) /* as h5py's resize does, with what pushes the messages apart */
        H5Dset_extent(x, &dim);
    for (int i = 0; i < attributes; i++) {
        char name[32];
        snprintf(name, sizeof name, "attribute %d", i);
        hid_t scalar = H5Screate(H5S_SCALAR);
        H5Aclose(H5Acreate2(x, name, H5T_NATIVE_INT32, scalar, H5P_DEFAULT, H5P_DEFAULT));
        H5Sclose(scalar);
    }
    H5Dwrite(x, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, v);
    H5Dclose(x);
    H5Sclose(space);
    H5Fclose(file);
    free(v);
    ck_assert_int_eq(weft__hdf5_gate(path_of("index.h5"), &h.fd, &h.size), 0);
    file = H5Fopen(path_of("index.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
    x = H5Dopen2(file, "x", H5P_DEFAULT);
    space = H5Dget_space(x);
    ck_assert_int_eq(weft__hdf5_chunks(&h, "x", x, plist, &set), 0);
    memset(set.chunks.at, 0, (size_t)n * sizeof *set.chunks.at);
    ck_assert_int_eq(weft__hdf5_tree(&h, "x", x, &set.chunks), latest ? 1 : 0);
    for (hsize_t i = 0; i < dim && !latest; i += i < 100 ? 1 : 97) {
        hsize_t offset, bytes;
        unsigned skipped;
        haddr_t at;
        H5Dget_chunk_info(x, space, i, &offset, &skipped, &at, &bytes);
        const weft__chunk_at *c = &set.chunks.at[offset];
        ck_assert(c->offset == (int64_t)at && c->bytes == (int64_t)bytes && c->skipped == skipped);
    }
    weft__chunks_free(&set.chunks);
    close(h.fd);
    H5Sclose(space);
    H5Dclose(x);
    H5Fclose(file);
    H5Pclose(plist);
}

START_TEST(indices_are_read_in_linear_time)
{
    for (int grows = 0; grows < 2; grows++)
        for (int attributes = 0; attributes <= 30; attributes += 15) {
            check_index(1, grows, attributes);
            check_index(70, grows, attributes); /* two leaves */
            check_index(5000, grows, attributes);
        }
    latest = true;
    check_index(70, true, 3);
    latest = false;
}
END_TEST

/* Looks at every batch in the worker, before it becomes a tensor: the fixture's are small. */
static weft_status look(void *self, const weft_rows *r, void *const data[], char *why,
                        size_t why_size)
{
    const float *x = data[0];
    const int64_t width = r->shape[0][0];
    *(atomic_long *)self += r->n;
    for (int64_t i = 0; i < r->n * width; i++)
        if (x[i] != (float)element(r->row[i / width] * width + i % width)) {
            snprintf(why, why_size, "wrong at %d of row %d", (int)(i % width),
                     (int)r->row[i / width]);
            return WEFT_EUSER;
        }
    return WEFT_OK;
}

/* More chunks than the cache has places for: 24 MiB, in pieces of 512 KiB. */
START_TEST(cache_is_smaller_than_the_data)
{
    const hsize_t dim[2] = {96, 65536}, chunk[2] = {4, 32768};
    const char *path = one_set("large.h5", 2, dim, chunk, H5T_NATIVE_FLOAT, SUM);
    for (int shuffle = 0; shuffle < 2; shuffle++) {
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        atomic_long rows = 0;
        weft_loader *l = weft_loader_hdf5(f, path,
                                          WEFT_LOADER(.global_batch = 5, .shuffle = shuffle,
                                                      .transform = look, .transform_self = &rows,
                                                      .prefetch = WEFT_OFF, .cache_mb = 2));
        ck_assert_msg(l != NULL, "%s", weft_message(f));
        for (int n = 0; n < 20; n++)
            weft__loader_pass(l);
        ck_assert_int_eq(rows, 96);
        ck_assert_msg(!weft_error(f), "%s", weft_message(f));
        drop(f);
    }
}
END_TEST

/* ---- several fields */

START_TEST(fields_by_name)
{
    const hsize_t dim[3] = {20, 2, 3}, chunk[3] = {6, 2, 3};
    hid_t file = new_file("fields.h5"), zip = chunked(3, chunk, DEFLATE | SHUFFLE);
    hid_t half = half_type();
    put(file, "image", 3, dim, H5T_NATIVE_UINT8, zip);
    put(file, "label", 1, dim, H5T_NATIVE_INT64, H5P_DEFAULT);
    put(file, "weight", 1, dim, H5T_NATIVE_FLOAT, H5P_DEFAULT);
    put(file, "half", 2, dim, half, H5P_DEFAULT);
    H5Tclose(half);
    H5Pclose(zip);
    H5Fclose(file);
    weft_fabric *f = fabric(1, 2, WEFT_F64);
    const double scale[] = {0.5, 0, 2, 0}, shift[] = {0, 0, -1, 0};
    weft_loader *l =
        weft_loader_hdf5(f, path_of("fields.h5"),
                         WEFT_LOADER(.fields = "image,label,weight,half", .scales = scale,
                                     .shifts = shift, .global_batch = 8, .shuffle = true));
    ck_assert_msg(l != NULL, "%s", weft_message(f));
    for (weft_batch b; weft__loader_next(l, &b);) {
        ck_assert_int_eq(b.fields, 4);
        ck_assert(b.field[0] == b.x && b.field[1] == b.y);
        ck_assert(weft_batch_field(&b, "weight") == b.field[2]);
        ck_assert(weft_batch_field(&b, "half") == b.field[3] && !weft_batch_field(&b, "other"));
        ck_assert(b.x->dtype == WEFT_F64 && b.y->dtype == WEFT_I64);
        ck_assert(b.field[2]->dtype == WEFT_F64 && b.field[3]->dtype == WEFT_F64);
        for (int64_t i = 0; i < b.rows; i++) {
            ck_assert(value(b.x, i * 6 + 4) == element(b.sample[i] * 6 + 4) / 2);
            ck_assert(value(b.y, i) == element(b.sample[i]));
            ck_assert(value(b.field[2], i) == 2 * element(b.sample[i]) - 1);
            ck_assert(value(b.field[3], i * 2 + 1) == element(b.sample[i] * 2 + 1));
        }
        for (int k = 0; k < 4; k++)
            ck_assert(b.field[k]->rows.batch && b.field[k]->rows.ids == b.sample);
    }
    ck_assert_msg(!weft_error(f), "%s", weft_message(f));
    drop(f);
}
END_TEST

static void refuse(const char *path, const weft_loader_options *o, weft_status code,
                   const char *text)
{
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    ck_assert_ptr_null(weft_loader_hdf5(f, path, o));
    expect(f, code, text);
    ck_assert_ptr_null(f->objects);
    drop(f);
}

START_TEST(field_lists_are_read_strictly)
{
    const hsize_t dim[1] = {10}, less[1] = {9};
    hid_t file = new_file("list.h5");
    put(file, "x", 1, dim, H5T_NATIVE_FLOAT, H5P_DEFAULT);
    put(file, "y", 1, dim, H5T_NATIVE_FLOAT, H5P_DEFAULT);
    put(file, "w", 1, less, H5T_NATIVE_FLOAT, H5P_DEFAULT);
    H5Fclose(file);
    const char *p = path_of("list.h5");
    const double bad[] = {1, NAN}, zero[] = {0, 0}, one[] = {1, 1};
    refuse(p, WEFT_LOADER(.fields = "x,y,z"), WEFT_ENOENT, "no data set z");
    refuse(p, WEFT_LOADER(.fields = "x,y,w"), WEFT_EFORMAT, "x has 10 rows, w has 9");
    refuse(p, WEFT_LOADER(.fields = ""), WEFT_EARG, "fields is \"\"");
    refuse(p, WEFT_LOADER(.fields = "x,,y"), WEFT_EARG, "fields is \"x,,y\"");
    refuse(p, WEFT_LOADER(.fields = "x,"), WEFT_EARG, "fields is \"x,\"");
    refuse(p, WEFT_LOADER(.fields = "x,x,x,x,x,x,x,x,x"), WEFT_EARG, "1 to 8 names");
    refuse(p, WEFT_LOADER(.fields = "x", .y = "y"), WEFT_EARG, "leave out .x and .y");
    refuse(p, WEFT_LOADER(.cache_mb = -1), WEFT_EARG, "cache_mb is -1");
    refuse(p, WEFT_LOADER(.scales = bad), WEFT_EARG, "field y with scale nan");
    refuse(p, WEFT_LOADER(.scales = zero, .shifts = one), WEFT_EARG, "a shift needs a scale");
    refuse(p, WEFT_LOADER(.scales = one, .scale = 2), WEFT_EARG, "the one or the other");
}
END_TEST

/* ---- what cannot be read, or is damaged */

START_TEST(other_filters_by_name)
{
    const hsize_t dim[2] = {16, 4}, chunk[2] = {4, 4};
    hid_t file = new_file("nbit.h5"), plist = chunked(2, chunk, 0);
    H5Pset_nbit(plist);
    put(file, "x", 2, dim, H5T_NATIVE_INT32, plist);
    H5Pclose(plist);
    H5Fclose(file);
    refuse(path_of("nbit.h5"), NULL, WEFT_ENOTSUP, "filter 5 (nbit)");
    file = new_file("offset.h5");
    plist = chunked(2, chunk, SHUFFLE);
    H5Pset_scaleoffset(plist, H5Z_SO_INT, 0);
    put(file, "x", 2, dim, H5T_NATIVE_INT32, plist);
    H5Pclose(plist);
    H5Fclose(file);
    refuse(path_of("offset.h5"), NULL, WEFT_ENOTSUP, "filter 6 (scaleoffset)");
}
END_TEST

START_TEST(chunks_never_written)
{
    const hsize_t dim[1] = {20}, chunk[1] = {5}, start = 0, some = 10;
    int32_t v[10] = {0};
    hid_t file = new_file("holes.h5"), plist = chunked(1, chunk, DEFLATE);
    hid_t space = H5Screate_simple(1, dim, NULL), half = H5Screate_simple(1, &some, NULL);
    hid_t set = H5Dcreate2(file, "x", H5T_NATIVE_INT32, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &some, NULL);
    H5Dwrite(set, H5T_NATIVE_INT32, half, space, H5P_DEFAULT, v);
    H5Dclose(set);
    H5Sclose(space);
    H5Sclose(half);
    H5Pclose(plist);
    H5Fclose(file);
    refuse(path_of("holes.h5"), NULL, WEFT_EFORMAT, "chunk 2 of data set x was never written");
}
END_TEST

START_TEST(user_block)
{
    const hsize_t dim[1] = {20}, chunk[1] = {5};
    hid_t create = H5Pcreate(H5P_FILE_CREATE), plist = chunked(1, chunk, 0);
    H5Pset_userblock(create, 512);
    hid_t file = H5Fcreate(path_of("block.h5"), H5F_ACC_TRUNC, create, H5P_DEFAULT);
    put(file, "x", 1, dim, H5T_NATIVE_INT32, plist);
    H5Pclose(create);
    H5Pclose(plist);
    H5Fclose(file);
    refuse(path_of("block.h5"), NULL, WEFT_ENOTSUP, "user block of 512 bytes");
}
END_TEST

/* Where the stored bytes of chunk number i lie. */
static haddr_t chunk_at(const char *path, hsize_t i, hsize_t *bytes)
{
    hsize_t offset[4];
    unsigned mask;
    haddr_t at;
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t set = H5Dopen2(file, "x", H5P_DEFAULT), space = H5Dget_space(set);
    ck_assert_int_ge(H5Dget_chunk_info(set, space, i, offset, &mask, &at, bytes), 0);
    H5Sclose(space);
    H5Dclose(set);
    H5Fclose(file);
    return at;
}

static void flip(const char *path, haddr_t at)
{
    unsigned char c;
    int fd = open(path, O_RDWR);
    ck_assert_int_eq(pread(fd, &c, 1, (off_t)at), 1);
    c ^= 0x55;
    ck_assert_int_eq(pwrite(fd, &c, 1, (off_t)at), 1);
    close(fd);
}

/* A damaged chunk fails its batch, in order, with all that names it; the others are good. */
static void damaged(int filters, int workers, const char *text)
{
    const hsize_t dim[2] = {40, 8}, chunk[2] = {5, 8};
    const char *path = one_set("torn.h5", 2, dim, chunk, H5T_NATIVE_INT32, filters);
    hsize_t bytes;
    haddr_t at = chunk_at(path, 3, &bytes);
    flip(path, at + bytes / 2);
    weft_fabric *f = fabric(1, 2, WEFT_F32);
    weft_loader *l = weft_loader_hdf5(f, path, WEFT_LOADER(.global_batch = 10, .workers = workers));
    weft_batch b;
    ck_assert_msg(l != NULL, "%s", weft_message(f));
    ck_assert(weft__loader_next(l, &b) && b.sample[0] == 5);
    ck_assert(!weft__loader_next(l, &b));
    ck_assert_ptr_nonnull(strstr(weft_message(f), "torn.h5: field x, batch 1 of epoch 0: chunk 3 "
                                                  "(rows 15 to 19, "));
    ck_assert_ptr_nonnull(strstr(weft_message(f), "rank 1 on here"));
    expect(f, WEFT_EFORMAT, text);
    ck_assert(weft__loader_next(l, &b) && b.sample[0] == 25);
    ck_assert(value(b.x, 3) == element(25 * 8 + 3));
    drop(f);
}

START_TEST(damaged_chunks)
{
    for (int workers = 1; workers <= 4; workers += 3) {
        damaged(DEFLATE, workers, "damaged");
        damaged(DEFLATE | SHUFFLE, workers, "damaged");
        damaged(SUM, workers, "wrong checksum");
    }
}
END_TEST

START_TEST(every_damage_is_survived)
{
    const hsize_t dim[2] = {12, 8}, chunk[2] = {3, 8};
    const char *path = one_set("any.h5", 2, dim, chunk, H5T_NATIVE_INT32, DEFLATE | SHUFFLE | SUM);
    hsize_t bytes;
    haddr_t at = chunk_at(path, 1, &bytes);
    for (hsize_t i = 0; i < bytes; i++) {
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        flip(path, at + i);
        weft_loader *l = weft_loader_hdf5(f, path, WEFT_LOADER(.prefetch = WEFT_OFF));
        weft_batch b;
        ck_assert(l && !weft__loader_next(l, &b));
        expect(f, WEFT_EFORMAT, "chunk 1");
        flip(path, at + i);
        drop(f);
    }
}
END_TEST

/* Whatever byte of the structure, the index or a chunk is wrong: values, or an error, and no crash. */
START_TEST(damage_anywhere_never_crashes)
{
    const hsize_t dim[2] = {40, 2}, chunk[2] = {1, 2};
    const char *path = one_set("where.h5", 2, dim, chunk, H5T_NATIVE_INT32, DEFLATE);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    for (off_t at = DAMAGED_FROM; at < st.st_size; at += 7) {
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_batch b;
        flip(path, (haddr_t)at);
        weft_loader *l = weft_loader_hdf5(f, path, WEFT_LOADER(.prefetch = WEFT_OFF));
        while (l && weft__loader_next(l, &b))
            ;
        ck_assert(l || weft_error(f));
        flip(path, (haddr_t)at);
        drop(f);
    }
}
END_TEST

START_TEST(a_file_that_shrinks)
{
    const hsize_t dim[2] = {40, 8}, chunk[2] = {5, 8};
    const char *path = one_set("shrinks.h5", 2, dim, chunk, H5T_NATIVE_INT32, DEFLATE);
    hsize_t bytes, last = 0;
    haddr_t at, end = 0;
    for (hsize_t i = 0; i < 8; i++)
        if ((at = chunk_at(path, i, &bytes)) > end) {
            end = at;
            last = i;
        }
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = weft_loader_hdf5(f, path, WEFT_LOADER(.global_batch = 5));
    ck_assert_int_eq(truncate(path, (off_t)end + 2), 0);
    weft_batch b;
    while (weft__loader_next(l, &b))
        ck_assert_int_lt(b.index, (int64_t)last);
    expect(f, WEFT_EFORMAT, "the file became shorter");
    drop(f);
    refuse(path, NULL, WEFT_EFORMAT, "truncated");
}
END_TEST

START_TEST(every_failing_allocation_is_survived)
{
    const hsize_t dim[2] = {40, 8}, chunk[2] = {5, 3};
    const char *path = one_set("alloc.h5", 2, dim, chunk, H5T_NATIVE_INT32, DEFLATE | SHUFFLE);
    bool through = false;
    for (long k = 1; !through; k++) {
        weft_fabric *f = fabric(0, 1, WEFT_F32);
        weft_batch b;
        weft__fail_alloc(k);
        weft_loader *l =
            weft_loader_hdf5(f, path, WEFT_LOADER(.fields = "x", .shuffle = true, .workers = 3));
        through = l && weft__loader_next(l, &b);
        through = through && weft__fail_alloc(0) > 0;
        if (!through)
            expect(f, WEFT_ENOMEM, "no memory");
        if (!through && l)
            ck_assert(weft__loader_next(l, &b));
        ck_assert_int_lt(k, 80);
        drop(f);
    }
}
END_TEST

START_TEST(steady_steps_allocate_nothing)
{
    const hsize_t dim[2] = {200, 8}, chunk[2] = {5, 3};
    const char *path = one_set("steady.h5", 2, dim, chunk, H5T_NATIVE_INT32, DEFLATE | SHUFFLE);
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = weft_loader_hdf5(
        f, path, WEFT_LOADER(.global_batch = 7, .epochs = 3, .shuffle = true, .workers = 2));
    weft_batch b;
    ck_assert(weft__loader_next(l, &b));
    weft__fail_alloc(1000000);
    while (weft__loader_next(l, &b))
        ;
    ck_assert_int_eq(weft__fail_alloc(0), 1000000);
    ck_assert_int_eq(weft_error(f), 0);
    drop(f);
}
END_TEST

int main(void)
{
    if (!make_dir())
        return 99;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    Suite *s = suite_create("chunks");
    TCase *c = tcase_create("chunks");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, every_shape_of_chunk);
    tcase_add_test(c, other_forms_of_files);
    tcase_add_test(c, indices_are_read_in_linear_time);
    tcase_add_test(c, cache_is_smaller_than_the_data);
    tcase_add_test(c, fields_by_name);
    tcase_add_test(c, field_lists_are_read_strictly);
    tcase_add_test(c, other_filters_by_name);
    tcase_add_test(c, chunks_never_written);
    tcase_add_test(c, user_block);
    tcase_add_test(c, damaged_chunks);
    tcase_add_test(c, every_damage_is_survived);
    tcase_add_test(c, damage_anywhere_never_crashes);
    tcase_add_test(c, a_file_that_shrinks);
    tcase_add_test(c, every_failing_allocation_is_survived);
    tcase_add_test(c, steady_steps_allocate_nothing);
    suite_add_tcase(s, c);
    return run_suite(s);
}
