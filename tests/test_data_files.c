/* IDX files, plain and gzipped, and raw files of tokens. */
#include "data_fixture.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <zlib.h>

/* ---- IDX */

static void big_endian(gzFile out, uint64_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        gzputc(out, (int)(v >> 8 * i & 255));
}

/* Value i: -100, -97, ... where the type has a sign, or a fraction. */
static double element(int type, int64_t i)
{
    double v = (double)(i * 3 % 199);
    return type == 0x08 ? v : type >= 0x0D ? v / 4 - 100 : v - 100;
}

static void put(gzFile out, int type, int64_t i)
{
    double v = element(type, i);
    float f = (float)v;
    uint32_t u;
    uint64_t w;
    memcpy(&u, &f, sizeof u);
    memcpy(&w, &v, sizeof w);
    if (type == 0x0D)
        big_endian(out, u, 4);
    else if (type == 0x0E)
        big_endian(out, w, 8);
    else
        big_endian(out, (uint64_t)(int64_t)v, type <= 0x09 ? 1 : type == 0x0B ? 2 : 4);
}

/* mode "wb" or "wbT" (no compression). `values` may be fewer or more than the extents say. */
static const char *idx(const char *name, const char *mode, int type, int rank, const int64_t *dim,
                       int64_t values)
{
    gzFile out = gzopen(path_of(name), mode);
    int64_t n = 1;
    big_endian(out, (uint64_t)type << 8 | (uint64_t)rank, 4);
    for (int d = 0; d < rank; d++) {
        big_endian(out, (uint64_t)dim[d], 4);
        n *= values < 0 ? dim[d] : 1;
    }
    for (int64_t i = 0; i < (values < 0 ? n : values); i++)
        put(out, type, i);
    gzclose(out);
    return path_of(name);
}

START_TEST(idx_of_every_type)
{
    static const struct {
        int type;
        weft_dtype dtype;
    } row[] = {{0x08, WEFT_U8},  {0x09, WEFT_I32}, {0x0B, WEFT_I32},
               {0x0C, WEFT_I32}, {0x0D, WEFT_F64}, {0x0E, WEFT_F64}};
    const int64_t dim[3] = {25, 3, 4};
    for (int i = 0; i < 6; i++)
        for (int zip = 0; zip < 2; zip++) {
            const char *mode = zip ? "wb" : "wbT";
            const char *x = idx("x.idx", mode, row[i].type, 3, dim, -1);
            const char *y = idx("y.idx", i % 2 ? "wb" : "wbT", 0x08, 1, dim, -1);
            weft_fabric *f = fabric(1, 2, WEFT_F64);
            weft_loader *l = weft_loader_idx(
                f, x, y, WEFT_LOADER(.global_batch = 6, .shuffle = true, .workers = 2));
            int64_t rows = 0;
            ck_assert_msg(l != NULL, "%s", weft_message(f));
            for (weft_batch b; weft__loader_next(l, &b); rows += b.rows) {
                ck_assert(b.x->dtype == row[i].dtype && b.y->dtype == WEFT_U8);
                ck_assert(b.x->rank == 3 && b.x->shape[1] == 3 && b.x->shape[2] == 4);
                for (int64_t k = 0; k < b.rows * 12; k++)
                    ck_assert(value(b.x, k) ==
                              element(row[i].type, b.sample[k / 12] * 12 + k % 12));
                for (int64_t k = 0; k < b.rows; k++)
                    ck_assert(value(b.y, k) == element(0x08, b.sample[k]));
            }
            ck_assert_msg(!weft_error(f), "%s", weft_message(f));
            ck_assert_int_eq(rows, 12);
            drop(f);
        }
}
END_TEST

static void refuse_idx(const char *x, const char *y, weft_status code, const char *text)
{
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    ck_assert_ptr_null(weft_loader_idx(f, x, y, NULL));
    expect(f, code, text);
    ck_assert_ptr_null(f->objects);
    drop(f);
}

START_TEST(broken_idx_files)
{
    const int64_t dim[3] = {10, 2, 3}, huge[3] = {1 << 30, 1 << 30, 1 << 30}, zero[1] = {0};
    const char *good = idx("good", "wbT", 0x08, 3, dim, -1);
    struct stat st;
    refuse_idx(NULL, NULL, WEFT_EARG, "path of x is NULL");
    refuse_idx("/nowhere", NULL, WEFT_ENOENT, "No such file");
    refuse_idx(dir, NULL, WEFT_EFORMAT, "not a regular file");
    refuse_idx(good, "/nowhere", WEFT_ENOENT, "No such file");
    refuse_idx(good, idx("nine", "wb", 0x08, 1, (int64_t[]){9}, -1), WEFT_EFORMAT, "has 10 rows, ");
    refuse_idx(idx("type", "wb", 0x0A, 1, dim, 10), NULL, WEFT_EFORMAT, "begins with 0x00000a01");
    refuse_idx(idx("rank", "wb", 0x08, 9, (const int64_t[9]){1}, 0), NULL, WEFT_EFORMAT,
               "begins with 0x00000809");
    refuse_idx(idx("zero", "wb", 0x08, 1, zero, 0), NULL, WEFT_EFORMAT, "extent 0 is 0");
    refuse_idx(idx("huge", "wb", 0x08, 3, huge, 5), NULL, WEFT_EFORMAT, "extent 2");
    refuse_idx(idx("short", "wbT", 0x08, 3, dim, 59), NULL, WEFT_EFORMAT, "1 are missing");
    refuse_idx(idx("short.gz", "wb", 0x08, 3, dim, 50), NULL, WEFT_EFORMAT, "10 are missing");
    refuse_idx(idx("long", "wbT", 0x08, 3, dim, 61), NULL, WEFT_EFORMAT, "goes on after");
    refuse_idx(idx("long.gz", "wb", 0x08, 3, dim, 61), NULL, WEFT_EFORMAT, "goes on after");
    fclose(fopen(path_of("empty"), "w"));
    refuse_idx(path_of("empty"), NULL, WEFT_EFORMAT, "ends after 0 bytes");
    const char *cut = idx("cut.gz", "wb", 0x08, 3, dim, -1);
    stat(cut, &st);
    ck_assert_int_eq(truncate(cut, st.st_size - 9), 0);
    refuse_idx(cut, NULL, WEFT_EFORMAT, "cut.gz");
}
END_TEST

START_TEST(an_idx_file_that_shrinks)
{
    const int64_t dim[2] = {40, 8};
    const char *path = idx("shrinks", "wbT", 0x08, 2, dim, -1);
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = weft_loader_idx(f, path, NULL, WEFT_LOADER(.global_batch = 5));
    weft_batch b;
    ck_assert_int_eq(truncate(path, 12 + 8 * 20), 0);
    for (int i = 0; i < 4; i++)
        ck_assert(weft__loader_next(l, &b));
    ck_assert(!weft__loader_next(l, &b));
    expect(f, WEFT_EFORMAT, "row 20: the file became shorter");
    drop(f);
}
END_TEST

/* ---- tokens */

#define TOKENS 1000

static uint32_t token(int64_t i)
{
    return (uint32_t)(i * 7919 % 65536);
}

/* `wide` bytes a token after a header of `offset` bytes. */
static const char *tokens(const char *name, int wide, int64_t offset, int64_t n)
{
    FILE *out = fopen(path_of(name), "w");
    for (int64_t i = 0; i < offset; i++)
        fputc(0xEE, out);
    for (int64_t i = 0; i < n; i++) {
        uint32_t v = token(i);
        uint16_t u = (uint16_t)v;
        fwrite(wide == 2 ? (void *)&u : (void *)&v, (size_t)wide, 1, out);
    }
    fclose(out);
    return path_of(name);
}

static void check_tokens(const char *path, const weft_token_options *t,
                         const weft_loader_options *o, int64_t rows)
{
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = weft_loader_tokens(f, path, t, o);
    ck_assert_msg(l != NULL, "%s", weft_message(f));
    ck_assert_int_eq(weft_loader_rows(l), rows);
    int64_t stride = t->stride ? t->stride : t->length;
    for (weft_batch b; weft__loader_next(l, &b);) {
        ck_assert(b.x->dtype == WEFT_I32 && b.y->dtype == WEFT_I32 && b.x->rank == 2);
        ck_assert(b.x->shape[1] == t->length && b.y->shape[1] == t->length);
        for (int64_t i = 0; i < b.rows; i++)
            for (int64_t j = 0; j < t->length; j++) {
                ck_assert(value(b.x, i * t->length + j) == token(b.sample[i] * stride + j));
                ck_assert(value(b.y, i * t->length + j) == token(b.sample[i] * stride + j + 1));
            }
    }
    ck_assert_msg(!weft_error(f), "%s", weft_message(f));
    drop(f);
}

START_TEST(windows_of_tokens)
{
    static const struct {
        const char *dtype;
        int wide;
        int64_t offset, length, stride, rows;
    } row[] = {
        {NULL, 2, 0, 64, 0, 15},        {"u16", 2, 1024, 64, 0, 15}, {"i32", 4, 0, 64, 0, 15},
        {"u32", 4, 1024, 10, 0, 99},    {NULL, 2, 0, 100, 1, 900},   {NULL, 2, 0, 7, 3, 331},
        {NULL, 2, 0, TOKENS - 1, 0, 1}, {NULL, 2, 0, 1, 0, 999},     {"u32", 4, 3, 5, 9, 111},
        {NULL, 2, 0, TOKENS - 2, 1, 2}, {"u16", 2, 7, 333, 333, 3},  {"i32", 4, 8, 333, 332, 3},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        const char *path = tokens("t.bin", row[i].wide, row[i].offset, TOKENS);
        const weft_token_options *t = WEFT_TOKENS(.length = row[i].length, .stride = row[i].stride,
                                                  .offset = row[i].offset, .dtype = row[i].dtype);
        check_tokens(path, t, WEFT_LOADER(.global_batch = 4), row[i].rows);
        check_tokens(path, t, WEFT_LOADER(.global_batch = 3, .shuffle = true, .workers = 3),
                     row[i].rows);
        check_tokens(path, t, WEFT_LOADER(.global_batch = 5, .replacement = true, .samples = 50),
                     row[i].rows);
    }
}
END_TEST

static void refuse(const char *path, const weft_token_options *t, weft_status code,
                   const char *text)
{
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    ck_assert_ptr_null(weft_loader_tokens(f, path, t, NULL));
    expect(f, code, text);
    ck_assert_ptr_null(f->objects);
    drop(f);
}

START_TEST(broken_token_files)
{
    const char *path = tokens("b.bin", 2, 0, TOKENS);
    refuse(NULL, NULL, WEFT_EARG, "path is NULL");
    refuse("/nowhere", NULL, WEFT_ENOENT, "No such file");
    refuse(dir, NULL, WEFT_EFORMAT, "not a regular file");
    refuse(path, NULL, WEFT_EFORMAT, "1025 or more whole tokens"); /* 1024 is the default */
    refuse(path, WEFT_TOKENS(.length = TOKENS), WEFT_EFORMAT, "1001 or more");
    refuse(path, WEFT_TOKENS(.length = 8, .offset = 3), WEFT_EFORMAT, "1997 bytes");
    refuse(path, WEFT_TOKENS(.length = 8, .offset = 5000), WEFT_EFORMAT, "-3000 bytes");
    refuse(path, WEFT_TOKENS(.length = -1), WEFT_EARG, "length -1");
    refuse(path, WEFT_TOKENS(.stride = -1), WEFT_EARG, "stride -1");
    refuse(path, WEFT_TOKENS(.offset = -1), WEFT_EARG, "offset -1");
    refuse(path, WEFT_TOKENS(.dtype = "u8"), WEFT_EARG, "u8");
}
END_TEST

START_TEST(tokens_too_large_or_gone)
{
    const char *path = tokens("large.bin", 4, 0, TOKENS);
    const uint32_t large = 0x80000001u;
    FILE *out = fopen(path, "r+");
    fseek(out, 4 * 37, SEEK_SET);
    fwrite(&large, 4, 1, out);
    fclose(out);
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    weft_loader *l = weft_loader_tokens(f, path, WEFT_TOKENS(.length = 10, .dtype = "u32"),
                                        WEFT_LOADER(.global_batch = 2));
    weft_batch b;
    ck_assert(weft__loader_next(l, &b) && !weft__loader_next(l, &b));
    expect(f, WEFT_EDATA, "row 3: token 7 is 2147483649");
    drop(f);
    path = tokens("gone.bin", 2, 0, TOKENS);
    f = fabric(0, 1, WEFT_F32);
    l = weft_loader_tokens(f, path, WEFT_TOKENS(.length = 10), WEFT_LOADER(.global_batch = 2));
    ck_assert_int_eq(truncate(path, 2 * 53), 0);
    ck_assert(weft__loader_next(l, &b) && weft__loader_next(l, &b) && !weft__loader_next(l, &b));
    expect(f, WEFT_EFORMAT, "row 5: the file became shorter");
    drop(f);
}
END_TEST

/* A file of llm.c: header and tokens of `wide` bytes. */
static const char *llmc(const char *name, int wide, int32_t says, int64_t n)
{
    const int32_t head[3] = {wide == 2 ? 20240520 : 20240801, wide == 2 ? 1 : 7, says};
    const char *path = tokens(name, wide, 1024, n);
    FILE *out = fopen(path, "r+");
    fwrite(head, sizeof head, 1, out);
    fclose(out);
    return path;
}

START_TEST(headers_of_llmc)
{
    for (int wide = 2; wide <= 4; wide += 2) {
        const char *path = llmc("llm.bin", wide, TOKENS, TOKENS),
                   *dtype = wide == 2 ? "u16" : "u32";
        check_tokens(path, WEFT_TOKENS(.length = 10, .offset = 1024, .dtype = dtype),
                     WEFT_LOADER(.global_batch = 4), 99);
        refuse(path, WEFT_TOKENS(.length = 10, .dtype = dtype), WEFT_EFORMAT, ".offset = 1024");
        refuse(path, WEFT_TOKENS(.length = 10, .offset = 1024, .dtype = wide == 2 ? "u32" : "u16"),
               WEFT_EFORMAT, dtype);
        path = llmc("short.bin", wide, TOKENS + 1, TOKENS);
        refuse(path, WEFT_TOKENS(.length = 10, .offset = 1024, .dtype = dtype), WEFT_EFORMAT,
               "tells of 1001 tokens, there are 1000");
    }
}
END_TEST

/* What was needed at most since the process began, in KiB. */
static long peak(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss;
}

/* Nothing but the windows is read: of 6 GiB, which take no place on disk, most is never seen. */
START_TEST(memory_does_not_grow_with_the_file)
{
    const int64_t size = (int64_t)6 << 30, length = 1024;
    const char *path = tokens("sparse.bin", 2, 0, TOKENS);
    int64_t rows = 0, far = 0;
    ck_assert_int_eq(truncate(path, (off_t)size), 0);
    weft_fabric *f = fabric(0, 1, WEFT_F32);
    const long before = peak();
    weft_loader *l = weft_loader_tokens(
        f, path, WEFT_TOKENS(.length = length, .stride = 1),
        WEFT_LOADER(.global_batch = 4, .workers = 2, .replacement = true, .samples = 4000));
    ck_assert_msg(l != NULL, "%s", weft_message(f));
    ck_assert_int_eq(weft_loader_rows(l), size / 2 - length);
    for (weft_batch b; weft__loader_next(l, &b); rows += b.rows)
        for (int64_t i = 0; i < b.rows; i++)
            far += b.sample[i] > INT32_MAX;
    ck_assert_msg(!weft_error(f), "%s", weft_message(f));
    ck_assert_int_eq(rows, 4000);
    ck_assert_int_gt(far, 500);
    ck_assert_int_lt(peak() - before, 8 << 10);
    drop(f);
    /* The last tokens are where they ought to be. */
    FILE *out = fopen(path, "r+");
    const uint16_t last[2] = {7, 9};
    fseeko(out, (off_t)size - 4, SEEK_SET);
    fwrite(last, sizeof last, 1, out);
    fclose(out);
    f = fabric(0, 1, WEFT_F32);
    l = weft_loader_tokens(f, path, WEFT_TOKENS(.length = 1, .offset = size - 6), NULL);
    weft_batch b;
    ck_assert(l && weft__loader_next(l, &b) && b.rows == 2);
    ck_assert(value(b.x, 1) == 7 && value(b.y, 1) == 9);
    drop(f);
}
END_TEST

START_TEST(every_failing_allocation_is_survived)
{
    const int64_t dim[2] = {40, 8};
    const char *x = idx("a.gz", "wb", 0x0B, 2, dim, -1), *t = tokens("a.bin", 2, 0, TOKENS);
    for (int kind = 0; kind < 2; kind++) {
        bool through = false;
        for (long k = 1; !through; k++) {
            weft_fabric *f = fabric(0, 1, WEFT_F32);
            weft_batch b;
            weft__fail_alloc(k);
            weft_loader *l =
                kind ? weft_loader_idx(f, x, NULL, WEFT_LOADER(.shuffle = true))
                     : weft_loader_tokens(f, t, WEFT_TOKENS(.length = 9), WEFT_LOADER(.seed = 1));
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
    Suite *s = suite_create("files");
    TCase *c = tcase_create("files");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, idx_of_every_type);
    tcase_add_test(c, broken_idx_files);
    tcase_add_test(c, an_idx_file_that_shrinks);
    tcase_add_test(c, windows_of_tokens);
    tcase_add_test(c, broken_token_files);
    tcase_add_test(c, tokens_too_large_or_gone);
    tcase_add_test(c, headers_of_llmc);
    tcase_add_test(c, memory_does_not_grow_with_the_file);
    tcase_add_test(c, every_failing_allocation_is_survived);
    suite_add_tcase(s, c);
    return run_suite(s);
}
