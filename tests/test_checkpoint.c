/* Checkpoints on one rank: round trips, damage, strictness, full disks, rotation, faults. */
#include "checkpoint/checkpoint.h"
#include "checkpoint/manifest.h"
#include "checkpoint/shard.h"
#include "checkpoint/slabs.h"
#include "comm/comm.h"
#include "core/alloc.h"
#include "core/error.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft/log.h>
#include <xxhash.h>

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

/* ---- a device whose addresses the host cannot use ---- */

#define SHIFT ((uintptr_t)1 << 60)

static weft_status fake_upload(weft_stream *s, weft_dev to, const void *from, size_t n)
{
    (void)s;
    memcpy((void *)(to.addr - SHIFT), from, n);
    return WEFT_OK;
}

static weft_status fake_download(weft_stream *s, void *to, weft_dev from, size_t n)
{
    (void)s;
    memcpy(to, (void *)(from.addr - SHIFT), n);
    return WEFT_OK;
}

static weft_status fake_sync(weft_stream *s)
{
    (void)s;
    return WEFT_OK;
}

static const weft_device_ops fake_ops = {.size = sizeof fake_ops,
                                         .name = "fake",
                                         .upload = fake_upload,
                                         .download = fake_download,
                                         .sync = fake_sync};
static weft_device fake = {.ops = &fake_ops};
static weft_stream stream = {.device = &fake};

/* ---- a program's state ---- */

#define BIG ((int64_t)2500003) /* f32: three blocks */

struct program {
    float *big;
    int64_t items; /* what differs between programs, see state */
    int64_t i64[3], count;
    double rank0, values[7], best;
    float w[5 * 7 * 3];
    int32_t i32[4];
    uint16_t half[6], bf[5];
    uint8_t u8[11];
    char text[64]; /* no gaps before its end: compared as bytes */
};

static weft_status tensor(weft_visitor *v, const char *name, weft_dtype t, void *p, bool device,
                          int rank, int64_t a, int64_t b, int64_t c)
{
    int64_t shape[] = {a, b, c}, n = 1;
    for (int d = 0; d < rank; d++)
        n *= shape[d];
    weft_slab slab = {.count = n, .host = device ? NULL : p, .data = {(uintptr_t)p + SHIFT}};
    weft_state_item item = {.name = name,
                            .kind = WEFT_STATE_TENSOR,
                            .dtype = t,
                            .rank = rank,
                            .nslabs = 1,
                            .slabs = &slab};
    memcpy(item.shape, shape, sizeof shape);
    return v->item(v, &item);
}

static weft_status numbers(weft_visitor *v, const char *name, weft_state_kind kind, void *p,
                           int64_t n, weft_placement placement)
{
    weft_state_item item = {
        .name = name, .kind = kind, .placement = placement, .values = p, .count = n};
    return v->item(v, &item);
}

static weft_status tensors(struct program *p, weft_visitor *v)
{
    WEFT_TRY(
        tensor(v, "w", WEFT_F32, p->w, true, 3, 5, p->items == 2 ? 21 : 7, p->items == 2 ? 1 : 3));
    WEFT_TRY(tensor(v, "big", WEFT_F32, p->big, true, 1, BIG, 0, 0));
    WEFT_TRY(tensor(v, "half", WEFT_F16, p->half, false, 2, 2, 3, 0));
    WEFT_TRY(tensor(v, "bf", WEFT_BF16, p->bf, true, 1, 5, 0, 0));
    WEFT_TRY(tensor(v, "i32", WEFT_I32, p->i32, false, 2, 2, 2, 0));
    WEFT_TRY(tensor(v, "i64", WEFT_I64, p->i64, true, 1, 3, 0, 0));
    WEFT_TRY(tensor(v, "u8", WEFT_U8, p->u8, true, 1, 11, 0, 0));
    WEFT_TRY(tensor(v, "none", WEFT_F32, p->w, true, 2, 4, 0, 0));
    WEFT_TRY(tensor(v, "w/part", WEFT_F32, p->w, true, 1, 0, 0, 0));
    return tensor(v, "rank0", WEFT_F64, &p->rank0, true, 0, 0, 0, 0);
}

static weft_status state(void *self, weft_visitor *v)
{
    struct program *p = self;
    WEFT_TRY(weft_state_enter(v, "model"));
    WEFT_TRY(tensors(p, v));
    weft_state_leave(v);
    WEFT_TRY(weft_state_i64(v, "count", &p->count));
    if (p->items != 1)
        WEFT_TRY(weft_state_f64(v, p->items == 3 ? "bset" : "best", &p->best));
    WEFT_TRY(numbers(v, "values", WEFT_STATE_F64, p->values, p->items == 4 ? 6 : 7, WEFT_ROOT));
    WEFT_TRY(numbers(v, "own", WEFT_STATE_I64, p->i64, 3, WEFT_PER_RANK));
    return weft_state_text(v, "text", p->text, p->items == 5 ? 4 : sizeof p->text);
}

static struct program *program(int seed)
{
    struct program *p = weft__new(1, sizeof *p);
    unsigned char *bytes = (unsigned char *)p;
    srand((unsigned)seed);
    for (size_t i = 0; i < sizeof *p; i++)
        bytes[i] = (unsigned char)rand();
    p->big = weft__new((size_t)BIG, sizeof *p->big);
    for (int64_t i = 0; i < BIG; i++)
        p->big[i] = (float)(i * 7 + seed);
    const double odd[] = {0.0, -0.0, INFINITY, -INFINITY, 5e-324, 1.7976931348623157e308, 0.1};
    memcpy(p->values, odd, sizeof odd);
    const uint64_t payload = 0xfff8000000001234u + (unsigned)seed;
    memcpy(&p->best, &payload, sizeof payload);
    p->i64[0] = INT64_MIN;
    p->i64[1] = INT64_MAX;
    p->count = INT64_MIN + seed;
    snprintf(p->text, sizeof p->text, "caf\xc3\xa9 \"%d\"\n\\", seed);
    p->items = 0;
    return p;
}

static void drop(struct program *p)
{
    weft__free(p->big);
    weft__free(p);
}

static bool equal(struct program *a, struct program *b)
{
    bool same = memcmp(a->big, b->big, (size_t)BIG * sizeof *a->big) == 0;
    float *big = a->big;
    same = same && strcmp(a->text, b->text) == 0;
    a->big = b->big;
    same = same && memcmp(a, b, offsetof(struct program, text)) == 0;
    a->big = big;
    return same;
}

/* ---- places and calls ---- */

static char dir[64], warned[4096];

static void hear(void *user, weft_level level, const char *text)
{
    (void)user;
    if (level <= WEFT_LOG_WARNING)
        snprintf(warned + strlen(warned), sizeof warned - strlen(warned), "%s\n", text);
}

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/weft-checkpoint-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    strcat(dir, "/run/a");
    warned[0] = '\0';
    weft_log_to(hear, NULL);
}

static void teardown(void)
{
    char command[200];
    dir[strlen(dir) - 6] = '\0';
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

static weft__checkpoint handle(struct program *p)
{
    static weft_comm *self;
    if (!self && weft__comm_self(&self))
        abort();
    return (weft__checkpoint){.comm = self,
                              .device = &fake,
                              .stream = &stream,
                              .state = state,
                              .self = p,
                              .host = "here",
                              .keep = 2};
}

static weft_status save(struct program *p, int64_t step)
{
    weft__checkpoint c = handle(p);
    weft_status s = weft__checkpoint_save(&c, dir, step);
    weft__checkpoint_free(&c);
    return s;
}

static weft_status resume(struct program *p, int64_t *step)
{
    weft__checkpoint c = handle(p);
    return weft__checkpoint_resume(&c, dir, step);
}

/* A path under dir; of a shard if name is NULL. */
static char *at(int64_t step, const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/step-%06lld", dir, (long long)step);
    DIR *d = name ? NULL : opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strncmp(e->d_name, "shard-", 6) == 0)
            snprintf(path + strlen(path), 200, "/%.150s", e->d_name);
    if (d)
        closedir(d);
    else
        snprintf(path + strlen(path), 100, "/%.90s", name);
    return path;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void flip(const char *path, long byte)
{
    unsigned char b;
    int fd = open(path, O_RDWR);
    ck_assert(fd >= 0 && pread(fd, &b, 1, byte) == 1);
    b ^= 1u << byte % 8;
    ck_assert_int_eq(pwrite(fd, &b, 1, byte), 1);
    close(fd);
}

static char *slurp(const char *path, long *n)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st))
        abort(); /* no assertion: children call this too */
    char *text = calloc(1, (size_t)st.st_size + 1);
    if (read(fd, text, (size_t)st.st_size) != st.st_size)
        abort();
    close(fd);
    *n = st.st_size;
    return text;
}

/* How many names in dir hold a text. */
static int named(const char *part)
{
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        n += strstr(e->d_name, part) != NULL;
    closedir(d);
    return n;
}

/* ---- round trips ---- */

START_TEST(everything_comes_back)
{
    struct program *a = program(1), *b = program(2);
    int64_t step = 77;
    ck_assert_int_eq(resume(b, &step), WEFT_OK);
    ck_assert_int_eq(step, -1);
    ck_assert_msg(save(a, 12) == WEFT_OK, "%s", weft__why());
    ck_assert_msg(resume(b, &step) == WEFT_OK, "%s", weft__why());
    ck_assert_int_eq(step, 12);
    ck_assert(equal(b, a));
    drop(b);
    b = program(3);
    weft__checkpoint c = handle(b);
    step = 0;
    ck_assert_msg(weft__checkpoint_load(&c, at(12, "../latest"), &step) == WEFT_OK, "%s",
                  weft__why());
    ck_assert_int_eq(step, 12);
    ck_assert(equal(b, a));
    ck_assert_str_eq(warned, "");
    drop(a);
    drop(b);
}
END_TEST

START_TEST(a_layout_is_used_again)
{
    struct program *a = program(1), *b = program(2);
    weft__checkpoint c = handle(a);
    int64_t step;
    ck_assert_int_eq(weft__checkpoint_save(&c, dir, 1), WEFT_OK);
    struct weft__layout *first = c.layout;
    a->big[5] = 3;
    ck_assert_int_eq(weft__checkpoint_save(&c, dir, 2), WEFT_OK);
    ck_assert_ptr_eq(c.layout, first);
    ck_assert_int_eq(resume(b, &step), WEFT_OK);
    ck_assert(step == 2 && equal(b, a));
    weft__checkpoint_free(&c);
    drop(a);
    drop(b);
}
END_TEST

START_TEST(doubles_are_exact_text)
{
    const char *const wrong[] = {"",
                                 "0x1.8p+0",
                                 "1.5",
                                 "nan",
                                 "nan:7ff0000000000000",
                                 "0x1.8000000000000p+0 ",
                                 "0X1.8000000000000p+0",
                                 "0x1.8000000000000p0",
                                 "-nan:7ff8000000000000"};
    char text[WEFT__F64_TEXT];
    uint64_t bits = 1, back;
    for (int i = 0; i < 200000; i++) {
        bits = XXH3_64bits_withSeed(&bits, 8, (unsigned)i) | (i % 3 ? 0 : 0x7ff0000000000000u);
        double d;
        memcpy(&d, &bits, 8);
        weft__f64_write(text, bits);
        ck_assert(weft__f64_read(text, &back) && back == bits);
        ck_assert(isnan(d) || strtod(text, NULL) == d);
    }
    for (int i = 0; i < COUNT(wrong); i++)
        ck_assert_msg(!weft__f64_read(wrong[i], &back), "%s", wrong[i]);
}
END_TEST

START_TEST(boxes_cover_a_range_in_order)
{
    const int64_t shape[] = {3, 4, 1, 5};
    int64_t stride[] = {20, 5, 5, 1};
    for (int64_t first = 0; first < 60; first++)
        for (int64_t n = 1; n <= 60 - first; n++) {
            int64_t done = 0;
            int boxes = 0;
            for (; done < n; boxes++) {
                weft__box b = weft__first_box(4, shape, first + done, n - done);
                int64_t from = 0, last = 0, count = 1;
                for (int d = 0; d < 4; d++) {
                    from += b.start[d] * stride[d];
                    last += (b.start[d] + b.extent[d] - 1) * stride[d];
                    count *= b.extent[d];
                }
                ck_assert(from == first + done && count == b.count && last == from + count - 1);
                done += count;
            }
            ck_assert(done == n && boxes <= 7);
        }
}
END_TEST

/* ---- damage ---- */

/* The newest is refused with `named` in the warning, the one before it is loaded. */
static void refused(struct program *a, const char *name)
{
    struct program *b = program(9);
    int64_t step = 0;
    warned[0] = '\0';
    ck_assert_msg(resume(b, &step) == WEFT_OK, "%s", weft__why());
    ck_assert_msg(step == 1 && equal(b, a), "%s: step %lld", name, (long long)step);
    ck_assert_msg(strstr(warned, name) != NULL, "%s is not in: %s", name, warned);
    drop(b);
}

/* Bytes of tensors, spread over the shard; its structure ends before the first. */
static void flip_tensors(struct program *a)
{
    long n;
    char *text = slurp(at(2, "MANIFEST"), &n), shard[400];
    snprintf(shard, sizeof shard, "%s", at(2, NULL));
    for (char *p = strstr(text, "\"slabs\":[["); p; p = strstr(p + 1, "\"slabs\":[[")) {
        long long rank, first, count, offset;
        ck_assert_int_eq(
            sscanf(p, "\"slabs\":[[%lld,%lld,%lld,%lld", &rank, &first, &count, &offset), 4);
        const long long byte[] = {offset, offset + count - 1, offset + count / 2};
        for (int i = 0; i < 3; i++) {
            flip(shard, (long)byte[i]);
            refused(a, strrchr(shard, '/') + 1);
            ck_assert_msg(strstr(warned, "\"model/") != NULL, "%s", warned);
            flip(shard, (long)byte[i]);
        }
    }
    free(text);
}

START_TEST(a_flipped_byte_is_found)
{
    struct program *a = program(1), *b = program(2);
    long n;
    int64_t step;
    ck_assert(save(a, 1) == WEFT_OK && save(b, 2) == WEFT_OK);
    free(slurp(at(2, "MANIFEST"), &n));
    for (long i = 0; i < n; i += i < n - 40 ? 37 : 1) {
        flip(at(2, "MANIFEST"), i);
        refused(a, "step-000002/MANIFEST");
        flip(at(2, "MANIFEST"), i);
    }
    flip_tensors(a);
    ck_assert(resume(a, &step) == WEFT_OK && step == 2 && equal(a, b));
    drop(a);
    drop(b);
}
END_TEST

START_TEST(structure_is_no_data)
{
    struct program *a = program(1), *b = program(2);
    int64_t step;
    ck_assert_int_eq(save(a, 1), WEFT_OK);
    flip(at(1, NULL), 100);
    ck_assert_int_eq(unlink(at(1, "checkpoint.h5")), 0);
    ck_assert(resume(b, &step) == WEFT_OK && step == 1 && equal(b, a));
    ck_assert(strstr(warned, "structure is damaged") && strstr(warned, "checkpoint.h5 is missing"));
    drop(a);
    drop(b);
}
END_TEST

START_TEST(files_of_a_wrong_size_are_found)
{
    struct program *a = program(1), *b = program(2);
    char shard[400], aside[420];
    struct stat st;
    ck_assert(save(a, 1) == WEFT_OK && save(b, 2) == WEFT_OK);
    snprintf(shard, sizeof shard, "%s", at(2, NULL));
    snprintf(aside, sizeof aside, "%s.away", shard);
    stat(shard, &st);
    ck_assert_int_eq(truncate(shard, st.st_size + 1), 0);
    refused(a, "instead of");
    ck_assert_int_eq(truncate(shard, st.st_size), 0);
    ck_assert_int_eq(rename(shard, aside), 0);
    refused(a, "is missing");
    ck_assert_int_eq(symlink(aside, shard), 0);
    refused(a, "cannot open");
    unlink(shard);
    ck_assert_int_eq(mkfifo(shard, 0600), 0);
    refused(a, "no plain file");
    unlink(shard);
    ck_assert_int_eq(rename(aside, shard), 0);
    for (long size = st.st_size - 1; size >= 0; size = size > 4 ? size / 4 : size - 1) {
        ck_assert_int_eq(truncate(shard, size), 0);
        refused(a, "instead of");
    }
    ck_assert_int_eq(truncate(at(2, "MANIFEST"), 100), 0);
    refused(a, "MANIFEST");
    ck_assert_int_eq(unlink(at(2, "MANIFEST")), 0);
    refused(a, "MANIFEST is missing");
    drop(a);
    drop(b);
}
END_TEST

START_TEST(all_bad_is_an_error)
{
    struct program *a = program(1), *b = program(2), *c = program(2);
    int64_t step = 5;
    ck_assert_int_eq(save(a, 1), WEFT_OK);
    unlink(at(1, "MANIFEST"));
    ck_assert_int_eq(resume(b, &step), WEFT_EFORMAT);
    ck_assert(step == 5 && equal(b, c));
    ck_assert_ptr_nonnull(strstr(weft__why(), "MANIFEST is missing"));
    drop(a);
    drop(b);
    drop(c);
}
END_TEST

/* ---- strictness ---- */

/* Replaces `from` in a MANIFEST by `to` and seals it again. */
static weft_status edited(const char *good, const char *from, const char *to)
{
    const char *p = strstr(good, from);
    weft__manifest m = {0};
    ck_assert_msg(p != NULL, "%s is not in the MANIFEST", from);
    size_t room = strlen(good) + strlen(to) + 64;
    char *text = calloc(1, room);
    snprintf(text, room, "%.*s%s%s", (int)(p - good), good, to, p + strlen(from));
    size_t n = strlen(text);
    n = n > WEFT__SEAL_BYTES ? n - WEFT__SEAL_BYTES : 0;
    snprintf(text + n, WEFT__SEAL_BYTES + 1, WEFT__SEAL_FORMAT,
             (unsigned long long)XXH3_64bits(text, n));
    weft_status s = weft__manifest_decode(&m, "x", text, (int64_t)strlen(text));
    weft__manifest_free(&m);
    free(text);
    return s;
}

/* One tensor (2, 3) of f32 in two shards, and values. */
#define GOOD                                                                                       \
    "{\"format\":\"weft-checkpoint\",\"version\":1,\"weft\":\"0.1.0\",\"time\":\"now\","           \
    "\"step\":7,\"world\":2,\"save\":\"0123456789abcdef\",\"block\":4194304,"                      \
    "\"index\":{\"name\":\"checkpoint.h5\",\"size\":9,\"image\":9,"                                \
    "\"digest\":\"00000000000000aa\"},"                                                            \
    "\"files\":[{\"name\":\"shard-0123456789abcdef-00000.h5\",\"size\":64,\"image\":48,"           \
    "\"digest\":\"0000000000000001\"},{\"name\":\"shard-0123456789abcdef-00001.h5\","              \
    "\"size\":64,\"image\":40,\"digest\":\"0000000000000002\"}],\"items\":["                       \
    "{\"name\":\"w\",\"kind\":\"tensor\",\"dtype\":\"f32\",\"placement\":\"sharded\","             \
    "\"shape\":[2,3],\"slabs\":[[0,0,4,48,\"1111111111111111\"],"                                  \
    "[1,4,2,40,\"2222222222222222\"]]},"                                                           \
    "{\"name\":\"n\",\"kind\":\"i64\",\"placement\":\"root\",\"values\":[[1,2]]},"                 \
    "{\"name\":\"d\",\"kind\":\"f64\",\"placement\":\"per-rank\",\"values\":[[\"inf\"],"           \
    "[\"-inf\"]]},"                                                                                \
    "{\"name\":\"t\",\"kind\":\"text\",\"placement\":\"root\",\"values\":[\"hello\"]}]"            \
    ",\n\"digest\":\"0123456789abcdef\"}\n"

static const struct {
    const char *from, *to;
} malformed[] = {
    {"weft-checkpoint", "weft-checkpiont"},
    {"\"version\":1", "\"version\":2"},
    {"\"version\":1", "\"version\":1.0"},
    {"\"step\":7", "\"step\":-7"},
    {"\"step\":7", "\"step\":\"7\""},
    {"\"step\":7", "\"step\":9223372036854775808"},
    {"\"step\":7,", ""},
    {"\"step\":7,", "\"step\":7,\"step\":7,"},
    {"\"step\":7,", "\"step\":7,\"more\":7,"},
    {"\"world\":2", "\"world\":0"},
    {"\"world\":2", "\"world\":3"},
    {"\"world\":2", "\"world\":4611686018427387904"},
    {"\"save\":\"0123", "\"save\":\"012X"},
    {"\"save\":\"0123", "\"save\":\"../3"},
    {"4194304", "4194305"},
    {"checkpoint.h5", "../../../etc/passwd"},
    {"\"shard-0123456789abcdef-00001.h5", "\"/shard-0123456789abcdef-00001.h5"},
    {"shard-0123456789abcdef-00001", "shard-0123456789abcdef-00000"},
    {"shard-0123456789abcdef-00001", "shard-0123456789abcdee-00001"},
    {"\"size\":64", "\"size\":-64"},
    {"\"image\":48", "\"image\":65"},
    {"\"digest\":\"0000000000000001\"", "\"digest\":\"000000000000001\""},
    {"\"digest\":\"0000000000000001\"", "\"digest\":\"000000000000000G\""},
    {"\"kind\":\"tensor\"", "\"kind\":\"tensors\""},
    {"\"f32\"", "\"f33\""},
    {"\"f32\"", "\"?\""},
    {"\"f32\"", "\"f64\""},
    {"\"sharded\"", "\"somewhere\""},
    {"\"sharded\"", "\"per-rank\""},
    {"[2,3]", "[2,4]"},
    {"[2,3]", "[2,-3]"},
    {"[2,3]", "[2,3.0]"},
    {"[2,3]", "[3037000500,3037000500]"},
    {"[2,3]", "[1,1,1,1,1,1,1,2,3]"},
    {"[2,3]", "{}"},
    {"[0,0,4,48,", "[2,0,4,48,"},
    {"[0,0,4,48,", "[-1,0,4,48,"},
    {"[0,0,4,48,", "[0,0,3,48,"},
    {"[0,0,4,48,", "[0,0,5,44,"},
    {"[0,0,4,48,", "[0,0,0,48,"},
    {"[0,0,4,48,", "[0,1,4,48,"},
    {"[0,0,4,48,", "[0,-1,4,48,"},
    {"[0,0,4,48,", "[0,0,9223372036854775807,48,"},
    {"[0,0,4,48,", "[0,9223372036854775807,4,48,"},
    {"[0,0,4,48,", "[0,0,4,49,"},
    {"[0,0,4,48,", "[0,0,4,9223372036854775800,"},
    {"[0,0,4,48,", "[0,0,4,47,"},
    {"[0,0,4,48,", "[0,0,4,-8,"},
    {"[0,0,4,48,", "[1,0,4,44,"},
    {"\"1111111111111111\"", "\"11111111111111112222222222222222\""},
    {"\"1111111111111111\"]", "\"1111111111111111\",0]"},
    {"\"1111111111111111\"", "\"11111111111111 1\""},
    {"],[1,4,2,40,\"2222222222222222\"]", "]"},
    {"\"name\":\"n\"", "\"name\":\"w\""},
    {"\"name\":\"n\"", "\"name\":\"n\\u0000\""},
    {"\"name\":\"n\"", "\"name\":\"n\xff\""},
    {"\"root\",\"values\":[[1,2]]", "\"sharded\",\"values\":[[1,2]]"},
    {"[[1,2]]", "[[1,2],[1,2]]"},
    {"[[1,2]]", "[[1,2.0]]"},
    {"[[1,2]]", "[1,2]"},
    {"[[1,2]]", "[[1,99999999999999999999]]"},
    {"\"-inf\"", "\"-Inf\""},
    {"\"-inf\"", "1"},
    {"[\"-inf\"]", "[\"-inf\",\"inf\"]"},
    {",[\"-inf\"]", ""},
    {"[\"hello\"]", "[1]"},
    {"[\"hello\"]", "\"hello\""},
    {"}]\n", "}\n"},
    {"\"items\"", "\"item\""},
    {",\n\"digest\"", ",\"digest\":1,\n\"digest\""},
};

START_TEST(a_manifest_is_read_strictly)
{
    ck_assert_msg(edited(GOOD, "now", "then") == WEFT_OK, "%s", weft__why());
    for (int i = 0; i < COUNT(malformed); i++) {
        if (strstr(malformed[i].from, "}]\n"))
            continue;
        weft_status s = edited(GOOD, malformed[i].from, malformed[i].to);
        ck_assert_msg(s == WEFT_EFORMAT, "%s -> %s gave %d", malformed[i].from, malformed[i].to, s);
    }
    for (size_t n = 0; n < strlen(GOOD); n++) {
        weft__manifest m = {0};
        ck_assert_int_eq(weft__manifest_decode(&m, "x", GOOD, (int64_t)n), WEFT_EFORMAT);
        weft__manifest_free(&m);
    }
}
END_TEST

START_TEST(what_does_not_fit_is_named)
{
    static const char *const expected[] = {
        "its \"best\" is not in the program", "\"model/w\" is f32 (5, 7, 3) in it, f32 (5, 21, 1)",
        "the program's \"bset\" is not in it (nearest: \"best\")", "\"values\" has 7 values",
        "\"text\" has 12 bytes"};
    struct program *a = program(1), *b = program(2), *same = program(2);
    int64_t step = 5;
    ck_assert(save(a, 1) == WEFT_OK && save(a, 2) == WEFT_OK);
    for (int i = 0; i < COUNT(expected); i++) {
        b->items = i + 1;
        ck_assert_int_eq(resume(b, &step), WEFT_ECONFIG);
        ck_assert_msg(strstr(weft__why(), expected[i]) != NULL, "%s: %s", expected[i], weft__why());
        b->items = 0;
        ck_assert(step == 5 && equal(b, same));
    }
    drop(a);
    drop(b);
    drop(same);
}
END_TEST

/* ---- saving ---- */

START_TEST(a_step_is_saved_once)
{
    struct program *a = program(1), *b = program(2);
    struct stat before, after;
    int64_t step;
    ck_assert_int_eq(save(a, 3), WEFT_OK);
    stat(at(3, "MANIFEST"), &before);
    ck_assert_int_eq(save(b, 3), WEFT_OK);
    stat(at(3, "MANIFEST"), &after);
    ck_assert(before.st_ino == after.st_ino && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
    flip(at(3, "MANIFEST"), 9);
    ck_assert_int_eq(save(b, 3), WEFT_OK);
    ck_assert_ptr_nonnull(strstr(warned, "is now step-000003.bad-"));
    ck_assert_int_eq(named(".bad-"), 1);
    ck_assert(resume(a, &step) == WEFT_OK && step == 3 && equal(a, b));
    drop(a);
    drop(b);
}
END_TEST

START_TEST(old_ones_go_and_foreign_ones_stay)
{
    struct program *a = program(1);
    char link[16] = "", path[200];
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(save(a, i), WEFT_OK);
        if (i == 0)
            close(open(at(0, "notes.txt"), O_CREAT | O_WRONLY, 0600));
        if (i == 1) {
            snprintf(path, sizeof path, "%s/step-000009.tmp-0123456789abcdef", dir);
            ck_assert_int_eq(mkdir(path, 0700), 0);
            close(open(strcat(path, "/MANIFEST"), O_CREAT | O_WRONLY, 0600));
            snprintf(path, sizeof path, "%s/step-old.tmp-x", dir);
            ck_assert_int_eq(mkdir(path, 0700), 0);
        }
    }
    ck_assert(exists(at(0, "notes.txt")) && exists(at(0, "MANIFEST")));
    ck_assert(!exists(at(1, ".")) && !exists(at(2, ".")) && exists(at(3, ".")) &&
              exists(at(4, ".")));
    ck_assert(named("step-0") == 3 && named(".tmp-") == 1);
    ck_assert_ptr_nonnull(strstr(warned, "step-000000 is old but cannot be removed"));
    ck_assert_int_eq(readlink(at(4, "../latest"), link, sizeof link - 1), 11);
    ck_assert_str_eq(link, "step-000004");
    /* Going on from an older step never takes what was just saved. */
    ck_assert_int_eq(save(a, 2), WEFT_OK);
    ck_assert(exists(at(2, "MANIFEST")) && exists(at(4, "MANIFEST")));
    drop(a);
}
END_TEST

START_TEST(damaged_ones_do_not_count_as_kept)
{
    struct program *a = program(1);
    ck_assert(save(a, 1) == WEFT_OK && save(a, 2) == WEFT_OK);
    flip(at(2, "MANIFEST"), 50);
    ck_assert_int_eq(save(a, 3), WEFT_OK);
    ck_assert(exists(at(1, "MANIFEST")));
    drop(a);
}
END_TEST

static void limit(rlim_t bytes)
{
    const struct rlimit l = {bytes, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &l);
}

START_TEST(a_full_disk_is_an_error)
{
    struct program *a = program(1), *b = program(2);
    const rlim_t sizes[] = {0, 100, 70000, 5000000, 10000000};
    int64_t step;
    ck_assert_int_eq(save(a, 1), WEFT_OK);
    for (int i = 0; i < COUNT(sizes); i++) {
        limit(sizes[i]); /* of Check's files too: no assertion may run in between */
        weft_status s = save(b, 2);
        limit(RLIM_INFINITY);
        ck_assert_int_eq(s, WEFT_EIO);
        ck_assert_ptr_nonnull(strstr(weft__why(), "File too large"));
        ck_assert_int_eq(named("step-"), 1);
    }
    ck_assert(resume(b, &step) == WEFT_OK && step == 1 && equal(b, a));
    ck_assert_int_eq(save(b, 2), WEFT_OK);
    drop(a);
    drop(b);
}
END_TEST

static weft_status bad_state(void *self, weft_visitor *v)
{
    int64_t x = 0;
    return weft_state_i64(v, self, &x);
}

START_TEST(bad_names_are_refused)
{
    static const char *const name[] = {"", "a//b", "/a", "a/", ".", "..", "a/../b", "a\n", "\xff"};
    for (int i = 0; i < COUNT(name); i++) {
        weft__checkpoint c = handle((void *)name[i]);
        c.state = bad_state;
        ck_assert_int_eq(weft__checkpoint_save(&c, dir, 1), WEFT_EARG);
    }
    const char *fine = "a.b/..c/d e";
    weft__checkpoint c = handle((void *)fine);
    c.state = bad_state;
    ck_assert_int_eq(weft__checkpoint_save(&c, dir, 1), WEFT_OK);
    weft__checkpoint_free(&c);
}
END_TEST

START_TEST(every_lost_allocation_is_an_error)
{
    struct program *a = program(1), *b = program(2);
    int64_t step = -1;
    int failed = 0;
    ck_assert_int_eq(save(a, 1), WEFT_OK);
    for (long k = 1, left = 0; left == 0; k++) {
        weft__fail_alloc(k);
        weft_status s = save(b, 2);
        left = weft__fail_alloc(0) > 0;
        failed += s == WEFT_ENOMEM;
        ck_assert_msg(s == WEFT_ENOMEM || s == WEFT_OK, "%d %s", s, weft__why());
        ck_assert_int_eq(named(".tmp-"), 0);
    }
    ck_assert_int_gt(failed, 20);
    for (long k = 1, left = 0; left == 0; k++) {
        weft__fail_alloc(k);
        weft_status s = resume(a, &step);
        left = weft__fail_alloc(0) > 0;
        ck_assert_msg(s == WEFT_ENOMEM || s == WEFT_OK, "%d %s", s, weft__why());
    }
    ck_assert(step == 2 && equal(a, b));
    drop(a);
    drop(b);
}
END_TEST

/* ---- what others see ---- */

static int shell(const char *command)
{
    char whole[2000];
    snprintf(whole, sizeof whole, "cd %s/step-000001 && %s", dir, command);
    int rc = system(whole);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

START_TEST(tools_see_whole_tensors)
{
    struct program *a = program(1);
    ck_assert_int_eq(save(a, 1), WEFT_OK);
    if (shell("command -v h5ls h5dump >/dev/null") == 0) {
        ck_assert_int_eq(shell("h5ls -r checkpoint.h5 | grep -q '/model/big *Dataset {2500003}'"),
                         0);
        ck_assert_int_eq(shell("h5ls -r checkpoint.h5 | grep -q '/model/w *Dataset {5, 7, 3}'"), 0);
        ck_assert_int_eq(shell("h5ls -d checkpoint.h5/model/big | grep -q ' 1, 8, 15, 22, 29'"), 0);
        ck_assert_int_eq(shell("h5ls -d checkpoint.h5/model/i64 | grep -q -- -9223372036854775808"),
                         0);
        ck_assert_int_eq(shell("mkdir x; mv shard-* x; h5dump -d /model/rank0 checkpoint.h5 | "
                               "grep -qi ': nan'; r=$?; mv x/* .; exit $r"),
                         0);
    }
    if (shell("python3 -c 'import h5py' 2>/dev/null") == 0)
        ck_assert_int_eq(shell("python3 -c 'import h5py; d = h5py.File(\"checkpoint.h5\")"
                               "[\"model/big\"]; assert d.shape == (2500003,) and "
                               "d[2500002] == 17500016'"),
                         0);
    drop(a);
}
END_TEST

START_TEST(an_index_of_very_wide_tensors)
{
    static weft__file file[2];
    weft__manifest m = {.world = 2, .file = file};
    const int64_t shape[] = {3, 5000000000}, first[] = {0, 7000000001, 15000000000};
    weft__piece piece[2] = {{.shard = 0}, {.shard = 1}};
    weft__entry e = {.name = "wide",
                     .dtype = WEFT_BF16,
                     .rank = 2,
                     .numel = first[2],
                     .piece = piece,
                     .npieces = 2};
    memcpy(e.shape, shape, sizeof shape);
    for (int i = 0; i < 2; i++) {
        piece[i].first = first[i];
        piece[i].count = first[i + 1] - first[i];
        snprintf(file[i].name, sizeof file[i].name, "none-%d.h5", i);
    }
    m.entry = &e;
    m.n = 1;
    dir[strlen(dir) - 6] = '\0';
    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    ck_assert_msg(weft__index_write(fd, dir, &m) == WEFT_OK, "%s", weft__why());
    close(fd);
    char command[200];
    snprintf(
        command, sizeof command,
        "command -v h5ls >/dev/null || exit 0; h5ls %s/checkpoint.h5 | grep -q '{3, 5000000000}'",
        dir);
    strcat(dir, "/run/a");
    ck_assert_int_eq(system(command), 0);
}
END_TEST

/* ---- faults ---- */

#define END 10 /* a child's exit status: there was no k-th call */

/* Runs in a process of its own with the shim: saves 1 and 2, saves 3 with call k failing, and then
 * everything must go on as if nothing had happened. */
static int child(const char *where, const char *k)
{
    struct program *a = program(1), *b = program(2), *got = program(3);
    int64_t step;
    long n;
    snprintf(dir, sizeof dir, "%s", where);
    if (save(a, 1) || save(a, 2))
        return 2;
    setenv("WEFT_FAULT_CALL", k, 1);
    setenv("WEFT_FAULT_DIR", dir, 1);
    weft_status s = save(b, 3);
    unsetenv("WEFT_FAULT_DIR");
    char *log = slurp(getenv("WEFT_FAULT_LOG"), &n), *last = strrchr(log, '\n');
    while (last > log && last[-1] != '\n')
        last--;
    if (atoi(k) > atoi(last))
        return s ? 3 : END;
    if (s > 0 || (s < 0 && (s != WEFT_EIO || !strstr(weft__why(), "step-000003"))))
        return fprintf(stderr, "%d %s\n", s, weft__why()), 4;
    if (resume(got, &step) || (s == 0 && step != 3) || !equal(got, step == 3 ? b : a))
        return fprintf(stderr, "%d: step %lld %s\n", s, (long long)step, weft__why()), 5;
    if (save(b, 4) || resume(got, &step) || step != 4 || !equal(got, b))
        return 6;
    return named(".tmp-") ? 7 : 0;
}

static int faulty(int k, int error, bool sticky)
{
    char command[600], self[200];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    snprintf(command, sizeof command,
             "rm -rf '%s' '%s.log'; WEFT_LOG_LEVEL=error WEFT_FAULT_LOG='%s.log' "
             "WEFT_FAULT_ERRNO=%d %s LD_PRELOAD='%s' '%s' child '%s' %d",
             dir, dir, dir, error, sticky ? "WEFT_FAULT_STICKY=1" : "", getenv("WEFT_FAULTSHIM"),
             self, dir, k);
    int rc = system(command);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

START_TEST(every_failing_call_is_survived)
{
    const int error[] = {ENOSPC, EIO};
    if (!getenv("WEFT_FAULTSHIM"))
        return;
    for (int e = 0; e < 2; e++)
        for (int sticky = 0; sticky < 2; sticky++)
            for (int k = 1, rc = 0; rc != END; k++) {
                rc = faulty(k, error[e], sticky);
                ck_assert_msg(rc == 0 || (rc == END && k > 20), "call %d, errno %d: exit status %d",
                              k, error[e], rc);
            }
}
END_TEST

/* The number of the last (or first) line of a log that holds all three; 0 if none does. */
static int line_of(char *log, const char *call, const char *a, const char *b, bool last)
{
    int found = 0;
    char *copy = strdup(log);
    for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n"))
        if ((last || !found) && strstr(line, call) && strstr(line, a) && strstr(line, b))
            found = atoi(line);
    free(copy);
    return found;
}

START_TEST(nothing_is_committed_before_it_is_on_disk)
{
    static const char *const file[] = {"/shard-", "/checkpoint.h5", "/MANIFEST"};
    char path[100];
    long n;
    if (!getenv("WEFT_FAULTSHIM"))
        return;
    ck_assert_int_eq(faulty(0, EIO, false), 0);
    snprintf(path, sizeof path, "%s.log", dir);
    char *log = slurp(path, &n);
    int rename = line_of(log, " rename ", "step-000003.tmp-", " step-000003", false);
    int tmp = 0, parent = 0;
    char *copy = strdup(log);
    for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n")) {
        if (strstr(line, " fsync ") && strstr(line, ".tmp-") && !strstr(line, "/"))
            tmp = atoi(line);
        if (strstr(line, " fsync ") && strcmp(strchr(line, ' '), " fsync .") == 0)
            parent = atoi(line);
    }
    for (int i = 0; i < 3; i++) {
        int sync = line_of(log, " fsync ", file[i], ".tmp-", true);
        ck_assert_int_lt(line_of(log, " pwrite ", file[i], ".tmp-", true), sync);
        ck_assert_int_lt(line_of(log, " open ", file[i], ".tmp-", true), sync);
        ck_assert(sync > 0 && sync < tmp);
    }
    ck_assert_msg(tmp < rename && rename < parent, "%s", log);
    ck_assert_int_lt(parent, line_of(log, " symlink ", "latest", "", false));
    ck_assert_int_lt(parent, line_of(log, " unlink ", "", "", false));
    ck_assert_int_lt(parent, line_of(log, " rename ", "step-000001", "", false));
    free(copy);
    free(log);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "child") == 0)
        return child(argv[2], argv[3]);
    Suite *s = suite_create("checkpoint");
    TCase *t = tcase_create("one rank");
    suite_add_tcase(s, t);
    tcase_set_timeout(t, 100);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, everything_comes_back);
    tcase_add_test(t, a_layout_is_used_again);
    tcase_add_test(t, doubles_are_exact_text);
    tcase_add_test(t, boxes_cover_a_range_in_order);
    tcase_add_test(t, a_flipped_byte_is_found);
    tcase_add_test(t, structure_is_no_data);
    tcase_add_test(t, files_of_a_wrong_size_are_found);
    tcase_add_test(t, all_bad_is_an_error);
    tcase_add_test(t, a_manifest_is_read_strictly);
    tcase_add_test(t, what_does_not_fit_is_named);
    tcase_add_test(t, a_step_is_saved_once);
    tcase_add_test(t, old_ones_go_and_foreign_ones_stay);
    tcase_add_test(t, damaged_ones_do_not_count_as_kept);
    tcase_add_test(t, a_full_disk_is_an_error);
    tcase_add_test(t, bad_names_are_refused);
    tcase_add_test(t, every_lost_allocation_is_an_error);
    tcase_add_test(t, tools_see_whole_tensors);
    tcase_add_test(t, an_index_of_very_wide_tensors);
    tcase_add_test(t, every_failing_call_is_survived);
    tcase_add_test(t, nothing_is_committed_before_it_is_on_disk);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
