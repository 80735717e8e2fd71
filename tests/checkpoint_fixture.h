/* A program's state on a device whose memory the host cannot reach, and checkpoints of it under a
 * directory of the test's own. */
#ifndef TESTS_CHECKPOINT_FIXTURE_H
#define TESTS_CHECKPOINT_FIXTURE_H
#include "checkpoint/checkpoint.h"
#include "comm/comm.h"
#include "core/alloc.h"
#include "core/error.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft/log.h>

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

/* ---- a device whose addresses the host cannot use ---- */

#define SHIFT ((uintptr_t)1 << 60)

static inline weft_status fake_upload(weft_stream *s, weft_dev to, const void *from, size_t n)
{
    (void)s;
    memcpy((void *)(to.addr - SHIFT), from, n);
    return WEFT_OK;
}

static inline weft_status fake_download(weft_stream *s, void *to, weft_dev from, size_t n)
{
    (void)s;
    memcpy(to, (void *)(from.addr - SHIFT), n);
    return WEFT_OK;
}

static inline weft_status fake_sync(weft_stream *s)
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

static inline weft_status tensor(weft_visitor *v, const char *name, weft_dtype t, void *p,
                                 bool device, int rank, int64_t a, int64_t b, int64_t c)
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

static inline weft_status numbers(weft_visitor *v, const char *name, weft_state_kind kind, void *p,
                                  int64_t n, weft_placement placement)
{
    weft_state_item item = {
        .name = name, .kind = kind, .placement = placement, .values = p, .count = n};
    return v->item(v, &item);
}

static inline weft_status tensors(struct program *p, weft_visitor *v)
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

static inline weft_status state(void *self, weft_visitor *v)
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

static inline struct program *program(int seed)
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

static inline void drop(struct program *p)
{
    weft__free(p->big);
    weft__free(p);
}

static inline bool equal(struct program *a, struct program *b)
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

static inline void hear(void *user, weft_level level, const char *text)
{
    (void)user;
    if (level <= WEFT_LOG_WARNING)
        snprintf(warned + strlen(warned), sizeof warned - strlen(warned), "%s\n", text);
}

static inline void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/weft-checkpoint-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    strcat(dir, "/run/a");
    warned[0] = '\0';
    weft_log_to(hear, NULL);
}

static inline void teardown(void)
{
    char command[200];
    dir[strlen(dir) - 6] = '\0';
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

static inline weft__checkpoint handle(struct program *p)
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

static inline weft_status save(struct program *p, int64_t step)
{
    weft__checkpoint c = handle(p);
    weft_status s = weft__checkpoint_save(&c, dir, step);
    weft__checkpoint_free(&c);
    return s;
}

static inline weft_status resume(struct program *p, int64_t *step)
{
    weft__checkpoint c = handle(p);
    return weft__checkpoint_resume(&c, dir, step);
}

/* A path under dir; of a shard if name is NULL. */
static inline char *at(int64_t step, const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/step-%06lld", dir, (long long)step);
    if (name) {
        snprintf(path + strlen(path), 100, "/%.90s", name);
        return path;
    }
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strncmp(e->d_name, "shard-", 6) == 0)
            snprintf(path + strlen(path), 200, "/%.150s", e->d_name);
    if (d)
        closedir(d);
    return path;
}

static inline bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static inline void flip(const char *path, long byte)
{
    unsigned char b;
    int fd = open(path, O_RDWR);
    ck_assert(fd >= 0 && pread(fd, &b, 1, byte) == 1);
    b ^= 1u << byte % 8;
    ck_assert_int_eq(pwrite(fd, &b, 1, byte), 1);
    close(fd);
}

static inline char *slurp(const char *path, long *n)
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
static inline int named(const char *part)
{
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        n += strstr(e->d_name, part) != NULL;
    closedir(d);
    return n;
}

/* Runs the tests. @return for main */
static inline int run(const char *name, const TTest *const *tests, int n)
{
    Suite *s = suite_create(name);
    TCase *t = tcase_create("one rank");
    suite_add_tcase(s, t);
    tcase_set_timeout(t, 100);
    tcase_add_checked_fixture(t, setup, teardown);
    for (int i = 0; i < n; i++)
        tcase_add_test(t, tests[i]);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
#endif
