/* The ground floor: failures and messages, memory, types, shapes, parsing, random numbers, state,
 * the process's registry, and what hangs from a fabric. */
#include "core/alloc.h"
#include "core/context.h"
#include "core/env.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/process.h"
#include "core/rng.h"
#include "core/shape.h"

#include <check.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <weft/sys/state.h>
#include <weft/version.h>

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

/* ---- failures ---- */

START_TEST(every_code_has_a_name_and_a_text)
{
    for (int code = WEFT_EDEVICE; code <= WEFT_SKIPPED; code++) {
        ck_assert(strncmp(weft_status_name(code), "WEFT_", 5) == 0);
        ck_assert_str_ne(weft_strerror(code), "unknown code");
    }
    ck_assert_str_eq(weft_status_name(-1000), "?");
    ck_assert_str_eq(weft_strerror(-1000), "unknown code");
    ck_assert_str_eq(weft_status_name(WEFT_ESHAPE), "WEFT_ESHAPE");
    int part[3] = {0};
    ck_assert_int_eq(sscanf(weft_version(), "%d.%d.%d", &part[0], &part[1], &part[2]), 3);
    ck_assert(part[0] == WEFT_VERSION_MAJOR && part[1] == WEFT_VERSION_MINOR &&
              part[2] == WEFT_VERSION_PATCH);
}
END_TEST

START_TEST(a_failure_leaves_its_message)
{
    char longer[2 * WEFT__TEXT];
    ck_assert_int_eq(weft__fail(WEFT_EDATA, "row %d", 7), WEFT_EDATA);
    ck_assert_str_eq(weft__why(), "row 7");
    weft__fail(WEFT_EDATA, "again: %s", weft__why()); /* its own last message as an argument */
    ck_assert_str_eq(weft__why(), "again: row 7");
    errno = ENOENT;
    ck_assert_int_eq(weft__fail_errno(WEFT_EIO, "open %s", "x"), WEFT_EIO);
    ck_assert_str_eq(weft__why(), "open x: No such file or directory");
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    weft__fail(WEFT_EIO, "%s", longer);
    ck_assert_uint_eq(strlen(weft__why()), WEFT__TEXT - 1);
}
END_TEST

static void *other_thread(void *arg)
{
    *(int *)arg = weft__why()[0] == '\0';
    weft__fail(WEFT_EIO, "of the other thread");
    return NULL;
}

START_TEST(messages_belong_to_their_thread)
{
    pthread_t t;
    int clean = 0;
    weft__fail(WEFT_EARG, "mine");
    ck_assert_int_eq(pthread_create(&t, NULL, other_thread, &clean), 0);
    pthread_join(t, NULL);
    ck_assert_int_eq(clean, 1);
    ck_assert_str_eq(weft__why(), "mine");
}
END_TEST

struct racer {
    weft__sticky *sticky;
    pthread_barrier_t *line;
    int code;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    char text[32];
    snprintf(text, sizeof text, "code %d", r->code);
    pthread_barrier_wait(r->line);
    weft__sticky_set(r->sticky, (weft_status)r->code, text);
    return NULL;
}

START_TEST(the_first_of_eight_threads_sticks)
{
    for (int round = 0; round < 200; round++) {
        weft__sticky s = {0};
        pthread_barrier_t line;
        pthread_t t[8];
        struct racer r[8];
        char text[32];
        pthread_barrier_init(&line, NULL, 8);
        for (int i = 0; i < 8; i++) {
            r[i] = (struct racer){&s, &line, -1 - i};
            ck_assert_int_eq(pthread_create(&t[i], NULL, race, &r[i]), 0);
        }
        for (int i = 0; i < 8; i++)
            pthread_join(t[i], NULL);
        int code = weft__sticky_code(&s);
        ck_assert(code <= -1 && code >= -8);
        snprintf(text, sizeof text, "code %d", code);
        ck_assert_str_eq(s.text, text);
        weft__sticky_set(&s, WEFT_EUSER, "too late");
        ck_assert_int_eq(weft__sticky_code(&s), code);
        ck_assert_str_eq(s.text, text);
        weft__sticky_clear(&s);
        ck_assert_int_eq(weft__sticky_code(&s), WEFT_OK);
        weft__sticky_set(&s, WEFT_EUSER, "in time");
        ck_assert_int_eq(weft__sticky_code(&s), WEFT_EUSER);
        pthread_barrier_destroy(&line);
    }
}
END_TEST

/* ---- messages to people ---- */

static char said[1200];
static int times;
static weft_level level_said;

static void hear(void *user, weft_level level, const char *text)
{
    ck_assert_ptr_eq(user, said);
    snprintf(said, sizeof said, "%s", text);
    level_said = level;
    times++;
}

static void listen_again(void)
{
    times = 0;
    said[0] = '\0';
    weft_log_to(hear, said);
    weft_log_level(WEFT_LOG_INFO);
}

START_TEST(messages_reach_the_programs_function)
{
    char longer[3000];
    listen_again();
    weft__say(WEFT_LOG_WARNING, "two\nlines\t%d\x7f", 1);
    ck_assert_str_eq(said, "two?lines?1?");
    ck_assert_int_eq(level_said, WEFT_LOG_WARNING);
    memset(longer, 'y', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    weft__say(WEFT_LOG_INFO, "%s", longer);
    ck_assert_uint_eq(strlen(said), 1023);
    weft_log_to(NULL, NULL);
}
END_TEST

START_TEST(levels_let_through_what_they_should)
{
    for (int limit = WEFT_LOG_SILENT; limit <= WEFT_LOG_DEBUG; limit++) {
        listen_again();
        weft_log_level((weft_level)limit);
        for (int level = WEFT_LOG_ERROR; level <= WEFT_LOG_DEBUG; level++)
            weft__say((weft_level)level, "x");
        ck_assert_int_eq(times, limit);
    }
    weft_log_level(WEFT_LOG_INFO);
    weft_log_to(NULL, NULL);
}
END_TEST

/* ---- memory ---- */

START_TEST(new_memory_is_zero_and_aligned)
{
    for (size_t n = 0; n < 300; n += 7) {
        unsigned char *p = weft__new(n, 1);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < n; i++)
            ck_assert_uint_eq(p[i], 0);
        memset(p, 255, n);
        weft__free(p);
    }
    weft__free(NULL);
}
END_TEST

/* What the kernel says of the pages at p, "rd wr hg ..."; empty: nothing. */
static void flags_of(const void *p, char out[512])
{
    char line[512];
    bool here = false;
    FILE *in = fopen("/proc/self/smaps", "r");
    *out = '\0';
    while (in && fgets(line, sizeof line, in)) {
        unsigned long long from, to;
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
            here = (uintptr_t)p >= from && (uintptr_t)p < to;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            memcpy(out, line, sizeof line);
    }
    if (in)
        fclose(in);
}

START_TEST(large_memory_asks_for_huge_pages)
{
    const size_t huge = (size_t)1 << 21;
    char flags[512];
    char *p = weft__new(4, huge);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq((uintptr_t)p % huge, 0);
    flags_of(p + huge, flags);
    if (*flags && access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) == 0)
        ck_assert_msg(strstr(flags, " hg") != NULL, "%s", flags);
    weft__free(p);
}
END_TEST

START_TEST(sizes_that_overflow_are_refused)
{
    static const size_t pair[][2] = {{SIZE_MAX, 2},         {2, SIZE_MAX},
                                     {SIZE_MAX / 2 + 1, 2}, {SIZE_MAX, 1},
                                     {SIZE_MAX - 10, 1},    {(size_t)1 << 33, (size_t)1 << 31}};
    for (int i = 0; i < COUNT(pair); i++) {
        weft__fail(WEFT_OK, "%s", "");
        ck_assert_ptr_null(weft__new(pair[i][0], pair[i][1]));
        ck_assert_ptr_nonnull(strstr(weft__why(), "no memory"));
    }
}
END_TEST

START_TEST(the_hook_fails_the_kth_allocation_once)
{
    for (long k = 1; k < 6; k++) {
        weft__fail_alloc(k);
        for (long i = 1; i < 10; i++) {
            void *p = weft__new(1, 1);
            ck_assert_int_eq(p == NULL, i == k);
            weft__free(p);
        }
    }
    weft__fail_alloc(5);
    weft__free(weft__new(1, 1));
    ck_assert_int_eq(weft__fail_alloc(0), 4);
    weft__free(weft__new(1, 1));
    ck_assert_int_eq(weft__fail_alloc(0), 0);
}
END_TEST

START_TEST(growing_keeps_and_zeroes)
{
    int *p = NULL;
    size_t have = 0;
    for (int n = 1; n <= 1000; n++) {
        ck_assert_int_eq(weft__grow(&p, &have, (size_t)n, sizeof *p), WEFT_OK);
        ck_assert_uint_ge(have, (size_t)n);
        ck_assert_int_eq(p[n - 1], 0);
        p[n - 1] = n;
    }
    for (int n = 1; n <= 1000; n++)
        ck_assert_int_eq(p[n - 1], n);
    const int *same = p;
    size_t had = have;
    ck_assert_int_eq(weft__grow(&p, &have, 1, sizeof *p), WEFT_OK);
    ck_assert_ptr_eq(p, same);
    weft__fail_alloc(1);
    ck_assert_int_eq(weft__grow(&p, &have, had + 1, sizeof *p), WEFT_ENOMEM);
    ck_assert_int_eq(weft__grow(&p, &have, SIZE_MAX, sizeof *p), WEFT_ENOMEM); /* and it ends */
    ck_assert_int_eq(weft__grow(&p, &have, SIZE_MAX / 2 + 2, 1), WEFT_ENOMEM);
    weft__fail_alloc(0);
    ck_assert_ptr_eq(p, same); /* untouched */
    ck_assert_uint_eq(have, had);
    ck_assert_int_eq(p[999], 1000);
    weft__free(p);
    char *copy = weft__strdup("text");
    ck_assert_str_eq(copy, "text");
    weft__free(copy);
}
END_TEST

/* ---- types and shapes ---- */

START_TEST(types)
{
    static const struct {
        weft_dtype t;
        const char *name;
        size_t size;
    } row[] = {{WEFT_DEFAULT, "?", 0},  {WEFT_F32, "f32", 4},   {WEFT_F64, "f64", 8},
               {WEFT_F16, "f16", 2},    {WEFT_BF16, "bf16", 2}, {WEFT_I32, "i32", 4},
               {WEFT_I64, "i64", 8},    {WEFT_U8, "u8", 1},     {(weft_dtype)8, "?", 0},
               {(weft_dtype)-1, "?", 0}};
    for (int i = 0; i < COUNT(row); i++) {
        ck_assert_str_eq(weft_dtype_name(row[i].t), row[i].name);
        ck_assert_uint_eq(weft_dtype_size(row[i].t), row[i].size);
    }
}
END_TEST

START_TEST(numel)
{
    static const struct {
        int rank;
        int64_t shape[3], n;
    } row[] = {{0, {0}, 1},
               {1, {5}, 5},
               {3, {2, 3, 4}, 24},
               {3, {2, 0, 4}, 0},
               {2, {2, -1}, -1},
               {2, {0, -1}, -1},
               {2, {INT64_MAX, 1}, INT64_MAX},
               {2, {INT64_MAX, 2}, -1},
               {3, {INT64_C(1) << 32, INT64_C(1) << 31, 1}, -1},
               {2, {INT64_C(1) << 31, INT64_C(1) << 31}, INT64_C(1) << 62}};
    for (int i = 0; i < COUNT(row); i++)
        ck_assert_int_eq(weft__numel(row[i].rank, row[i].shape), row[i].n);
}
END_TEST

START_TEST(strides_and_contiguity)
{
    const int64_t shape[] = {2, 3, 4}, ones[] = {1, 3, 1}, none[] = {0, 3};
    int64_t stride[3];
    weft__strides(3, shape, stride);
    ck_assert(stride[0] == 12 && stride[1] == 4 && stride[2] == 1);
    ck_assert(weft__is_contiguous(3, shape, stride));
    ck_assert(!weft__is_contiguous(3, shape, (int64_t[]){12, 1, 4}));
    ck_assert(!weft__is_contiguous(3, shape, (int64_t[]){0, 4, 1}));
    ck_assert(weft__is_contiguous(3, ones, (int64_t[]){77, 1, 99}));
    ck_assert(weft__is_contiguous(2, none, (int64_t[]){5, 5}));
    ck_assert(weft__is_contiguous(0, NULL, NULL));
    ck_assert(weft__same_shape(3, shape, 3, (int64_t[]){2, 3, 4}));
    ck_assert(!weft__same_shape(3, shape, 2, shape));
    ck_assert(!weft__same_shape(3, shape, 3, ones));
    ck_assert(weft__same_shape(0, NULL, 0, NULL));
}
END_TEST

START_TEST(broadcast)
{
    static const struct {
        int ra;
        int64_t a[3];
        int rb;
        int64_t b[3];
        int r;
        int64_t out[3];
    } row[] = {{0, {0}, 0, {0}, 0, {0}},
               {2, {4, 3}, 0, {0}, 2, {4, 3}},
               {2, {4, 3}, 1, {3}, 2, {4, 3}},
               {2, {4, 1}, 1, {3}, 2, {4, 3}},
               {3, {5, 1, 3}, 2, {4, 1}, 3, {5, 4, 3}},
               {2, {0, 3}, 2, {1, 3}, 2, {0, 3}},
               {1, {1}, 1, {0}, 1, {0}},
               {2, {4, 3}, 1, {4}, -1, {0}},
               {1, {0}, 1, {2}, -1, {0}}};
    for (int i = 0; i < COUNT(row); i++)
        for (int swap = 0; swap < 2; swap++) {
            int64_t out[3];
            int r = swap ? weft__broadcast(row[i].rb, row[i].b, row[i].ra, row[i].a, out)
                         : weft__broadcast(row[i].ra, row[i].a, row[i].rb, row[i].b, out);
            ck_assert_int_eq(r, row[i].r);
            ck_assert(r < 0 || weft__same_shape(r, out, r, row[i].out));
        }
}
END_TEST

START_TEST(shapes_as_text)
{
    char text[WEFT__SHAPE_TEXT];
    int64_t big[WEFT_MAX_RANK];
    ck_assert_str_eq(weft__shape_text(0, NULL, text), "()");
    ck_assert_str_eq(weft__shape_text(2, (int64_t[]){2, 3}, text), "(2, 3)");
    for (int d = 0; d < WEFT_MAX_RANK; d++)
        big[d] = INT64_MIN;
    ck_assert_uint_lt(strlen(weft__shape_text(WEFT_MAX_RANK, big, text)), WEFT__SHAPE_TEXT);
}
END_TEST

/* ---- parsing ---- */

START_TEST(whole_numbers)
{
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } row[] = {{"0", true, 0},
               {"42", true, 42},
               {"-7", true, -7},
               {"007", true, 7},
               {"100", true, 100},
               {"-100", true, -100},
               {"101", false, 0},
               {"-101", false, 0},
               {"", false, 0},
               {" 1", false, 0},
               {"1 ", false, 0},
               {"\t1", false, 0},
               {"\n1", false, 0},
               {"1\n", false, 0},
               {"1x", false, 0},
               {"x", false, 0},
               {"0x10", false, 0},
               {"1.0", false, 0},
               {"1e1", false, 0},
               {"-", false, 0},
               {"--1", false, 0},
               {"1,000", false, 0},
               {"99999999999999999999", false, 0},
               {"-99999999999999999999", false, 0}};
    for (int i = 0; i < COUNT(row); i++) {
        int64_t v = 12345;
        weft_status s = weft__parse_int("devices", row[i].text, -100, 100, &v);
        ck_assert_msg(s == (row[i].good ? WEFT_OK : WEFT_EARG), "\"%s\"", row[i].text);
        ck_assert_int_eq(v, row[i].good ? row[i].value : 12345);
        if (s)
            ck_assert_ptr_nonnull(strstr(weft__why(), "devices"));
    }
    int64_t v;
    ck_assert_int_eq(weft__parse_int("x", "9223372036854775807", INT64_MIN, INT64_MAX, &v), 0);
    ck_assert_int_eq(v, INT64_MAX);
    ck_assert_int_eq(weft__parse_int("x", "9223372036854775808", INT64_MIN, INT64_MAX, &v),
                     WEFT_EARG);
}
END_TEST

START_TEST(numbers)
{
    static const struct {
        const char *text;
        bool good;
        double value;
    } row[] = {{"0", true, 0},    {"1e-3", true, 1e-3}, {"-.5", true, -.5},  {"100", true, 100},
               {"5.", true, 5},   {"1E1", true, 10},    {"100.1", false, 0}, {"-101", false, 0},
               {"", false, 0},    {" 1", false, 0},     {"1 ", false, 0},    {"\t1", false, 0},
               {"1x", false, 0},  {"0x10", false, 0},   {"0X1p3", false, 0}, {"-0x1", false, 0},
               {"nan", false, 0}, {"inf", false, 0},    {"1e400", false, 0}, {"1,5", false, 0},
               {"e5", false, 0},  {".", false, 0}};
    for (int i = 0; i < COUNT(row); i++) {
        double v = 12345;
        weft_status s = weft__parse_f64("lr", row[i].text, -100, 100, &v);
        ck_assert_msg(s == (row[i].good ? WEFT_OK : WEFT_EARG), "\"%s\"", row[i].text);
        ck_assert_double_eq(v, row[i].good ? row[i].value : 12345);
        if (s)
            ck_assert_ptr_nonnull(strstr(weft__why(), "lr"));
    }
}
END_TEST

START_TEST(truth_values)
{
    static const char *const yes[] = {"true", "1", "yes", "on", "TRUE", "On"},
                             *const no[] = {"false", "0", "no", "off", "False", "NO"},
                             *const bad[] = {"", " 1", "1 ", "2", "tru", "y", "oui", "01"};
    bool v;
    for (int i = 0; i < COUNT(yes); i++) {
        v = false;
        ck_assert_int_eq(weft__parse_bool("shuffle", yes[i], &v), WEFT_OK);
        ck_assert(v);
    }
    for (int i = 0; i < COUNT(no); i++) {
        v = true;
        ck_assert_int_eq(weft__parse_bool("shuffle", no[i], &v), WEFT_OK);
        ck_assert(!v);
    }
    for (int i = 0; i < COUNT(bad); i++)
        ck_assert_int_eq(weft__parse_bool("shuffle", bad[i], &v), WEFT_EARG);
}
END_TEST

START_TEST(choices_and_their_neighbours)
{
    static const char *const word[] = {"auto", "single", "ddp", "fsdp"};
    char longer[300];
    ck_assert_int_eq(weft__parse_choice("strategy", "ddp", word, 4), 2);
    ck_assert_int_eq(weft__parse_choice("strategy", "FSDP", word, 4), 3);
    ck_assert_int_eq(weft__parse_choice("strategy", "dpp", word, 4), -1);
    ck_assert_str_eq(weft__why(), "strategy \"dpp\" is not known, did you mean \"ddp\"?; "
                                  "there are: auto, single, ddp, fsdp");
    ck_assert_int_eq(weft__parse_choice("strategy", "zzzzzzzzzz", word, 4), -1);
    ck_assert_ptr_null(strstr(weft__why(), "did you mean"));
    ck_assert_int_eq(weft__parse_choice("strategy", "", word, 4), -1);
    ck_assert_int_eq(weft__parse_choice("strategy", "ddp ", word, 4), -1);
    ck_assert_str_eq(weft__nearest("sigle", word, 4), "single");
    ck_assert_str_eq(weft__nearest("AUTOO", word, 4), "auto");
    ck_assert_ptr_null(weft__nearest("quadratic", word, 4));
    ck_assert_ptr_null(weft__nearest("x", word, 0));
    memset(longer, 'd', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    ck_assert_ptr_null(weft__nearest(longer, word, 4));
    ck_assert_int_eq(weft__parse_choice(longer, longer, word, 4), -1);
}
END_TEST

START_TEST(environment)
{
    static const char *const word[] = {"a", "b"};
    int64_t v = 5;
    unsetenv("WEFT_TEST");
    ck_assert_int_eq(weft__env_int("WEFT_TEST", 0, 9, &v), 0);
    ck_assert_int_eq(weft__env_choice("WEFT_TEST", word, 2), -1);
    ck_assert_ptr_null(weft__env_text("WEFT_TEST"));
    setenv("WEFT_TEST", "", 1);
    ck_assert_int_eq(weft__env_int("WEFT_TEST", 0, 9, &v), 0);
    ck_assert_ptr_null(weft__env_text("WEFT_TEST"));
    setenv("WEFT_TEST", "b", 1);
    ck_assert_int_lt(weft__env_int("WEFT_TEST", 0, 9, &v), 0);
    ck_assert_int_eq(v, 5);
    ck_assert_int_eq(weft__env_choice("WEFT_TEST", word, 2), 1);
    setenv("WEFT_TEST", "7", 1);
    ck_assert_int_eq(weft__env_int("WEFT_TEST", 0, 9, &v), 1);
    ck_assert_int_eq(v, 7);
    ck_assert_int_eq(weft__env_choice("WEFT_TEST", word, 2), -2);
    unsetenv("WEFT_TEST");
}
END_TEST

/* ---- random numbers ---- */

START_TEST(philox_known_answers)
{
    static const uint32_t row[][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d,
         0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
         0x94fdcceb, 0x5001e420, 0x24126ea1}};
    for (int i = 0; i < COUNT(row); i++) {
        uint32_t out[4];
        weft__philox(row[i], row[i] + 4, out);
        ck_assert_mem_eq(out, row[i] + 6, sizeof out);
    }
}
END_TEST

START_TEST(uniform_numbers)
{
    enum { N = 100000 };
    double sum32 = 0, sum64 = 0, square = 0;
    for (uint64_t i = 0; i < N; i++) {
        double a = weft__uniform_f32(1, 2, 3, i), b = weft__uniform_f64(1, 2, 3, i);
        ck_assert(a >= 0 && a < 1 && b >= 0 && b < 1);
        ck_assert(a == weft__uniform_f32(1, 2, 3, i)); /* no hidden state */
        sum32 += a;
        sum64 += b;
        square += b * b;
    }
    double sigma = sqrt(1. / 12 / N);
    ck_assert_double_eq_tol(sum32 / N, .5, 5 * sigma);
    ck_assert_double_eq_tol(sum64 / N, .5, 5 * sigma);
    ck_assert_double_eq_tol(square / N, 1. / 3, .005);
}
END_TEST

START_TEST(streams_differ_in_every_key)
{
    int same = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        double u = weft__uniform_f64(1, 2, 3, i);
        same += u == weft__uniform_f64(2, 2, 3, i);
        same += u == weft__uniform_f64(2, 1, 3, i); /* seed and stream are not interchangeable */
        same += u == weft__uniform_f64(1, 3, 3, i);
        same += u == weft__uniform_f64(1, 2, 4, i);
        same += u == weft__uniform_f64(1, 2, 3 + (UINT64_C(1) << 32), i);
        same += u == weft__uniform_f64(1, 2, 3, i + (UINT64_C(1) << 40));
        same += u == weft__uniform_f64(1, 2, 3, i + 1);
    }
    ck_assert_int_eq(same, 0);
    ck_assert_uint_ne(weft__stream_of("sampler"), weft__stream_of("dropout"));
    ck_assert_uint_eq(weft__stream_of("sampler"), weft__stream_of("sampler"));
}
END_TEST

/* Of draft-eastlake-fnv. */
START_TEST(hashes_known_answers)
{
    ck_assert_uint_eq(weft__hash_text(WEFT__HASH, ""), UINT64_C(0xCBF29CE484222325));
    ck_assert_uint_eq(weft__hash_text(WEFT__HASH, "a"), UINT64_C(0xAF63DC4C8601EC8C));
    ck_assert_uint_eq(weft__hash_text(WEFT__HASH, "foobar"), UINT64_C(0x85944171F73967E8));
    ck_assert_uint_eq(weft__hash_text(weft__hash(WEFT__HASH, "foo", 3), "bar"),
                      weft__hash_text(WEFT__HASH, "foobar"));
    ck_assert_uint_ne(weft__hash(WEFT__HASH, "a\0b", 3), weft__hash(WEFT__HASH, "a\0c", 3));
}
END_TEST

START_TEST(uniform_whole_numbers)
{
    int hits[6] = {0};
    for (uint64_t i = 0; i < 60000; i++)
        hits[weft__uniform_below(9, 8, 7, i, 6)]++;
    for (int i = 0; i < 6; i++)
        ck_assert(hits[i] > 9500 && hits[i] < 10500);
    ck_assert_uint_eq(weft__uniform_below(9, 8, 7, 6, 1), 0);
    for (uint64_t i = 0; i < 1000; i++)
        ck_assert_uint_lt(weft__uniform_below(9, 8, 7, i, UINT64_MAX), UINT64_MAX);
}
END_TEST

/* ---- state ---- */

struct listing {
    weft_visitor v;
    char text[256];
};

static weft_status list(weft_visitor *v, const weft_state_item *item)
{
    struct listing *l = (struct listing *)v;
    size_t n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%s%s:%d ", v->scope, item->name, item->kind);
    if (item->kind == WEFT_STATE_I64 && v->mode == WEFT_VISIT_LOAD)
        *(int64_t *)item->values = 99;
    ck_assert_int_eq(item->placement, WEFT_ROOT);
    return strcmp(item->name, "bad") ? WEFT_OK : WEFT_EFORMAT;
}

START_TEST(state_scopes_nest)
{
    struct listing l = {.v = {.mode = WEFT_VISIT_LOAD, .item = list}};
    int64_t i = 1;
    double x = 2;
    char text[8] = "t", longer[600];
    ck_assert_int_eq(weft_state_i64(&l.v, "i", &i), WEFT_OK);
    ck_assert_int_eq(weft_state_enter(&l.v, "model"), WEFT_OK);
    ck_assert_int_eq(weft_state_enter(&l.v, "0"), WEFT_OK);
    ck_assert_int_eq(weft_state_f64(&l.v, "x", &x), WEFT_OK);
    weft_state_leave(&l.v);
    ck_assert_int_eq(weft_state_text(&l.v, "t", text, sizeof text), WEFT_OK);
    ck_assert_int_eq(weft_state_i64(&l.v, "bad", &i), WEFT_EFORMAT);
    weft_state_leave(&l.v);
    ck_assert_str_eq(l.v.scope, "");
    weft_state_leave(&l.v); /* one too many does no harm */
    ck_assert_str_eq(l.v.scope, "");
    ck_assert_str_eq(l.text, "i:1 model/0/x:2 model/t:3 model/bad:1 ");
    ck_assert_int_eq(i, 99);
    memset(longer, 'n', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    ck_assert_int_eq(weft_state_enter(&l.v, longer), WEFT_EARG);
    ck_assert_str_eq(l.v.scope, "");
    longer[sizeof l.v.scope - 2] = '\0'; /* with its slash it just fits */
    ck_assert_int_eq(weft_state_enter(&l.v, longer), WEFT_OK);
    ck_assert_int_eq(weft_state_enter(&l.v, ""), WEFT_EARG);
    weft_state_leave(&l.v);
    ck_assert_str_eq(l.v.scope, "");
}
END_TEST

/* ---- the process and the fabric ---- */

START_TEST(a_process_holds_128_fabrics)
{
    static struct weft_fabric f[WEFT__FABRICS + 1];
    int id[WEFT__FABRICS];
    uint32_t generation = 77;
    for (int i = 0; i < WEFT__FABRICS; i++) {
        id[i] = weft__process_enter(&f[i], &generation);
        ck_assert_int_eq(id[i], i);
        ck_assert_ptr_eq(weft__process_fabric(i), &f[i]);
    }
    generation = 77;
    ck_assert_int_eq(weft__process_enter(&f[WEFT__FABRICS], &generation), -1);
    ck_assert_uint_eq(generation, 77);
    weft__process_leave(-1, 5);
    weft__process_leave(40, 1000);
    ck_assert_ptr_null(weft__process_fabric(40));
    ck_assert_int_eq(weft__process_enter(&f[WEFT__FABRICS], &generation), 40);
    ck_assert_uint_eq(generation, 1000); /* goes on where the last tenant stopped */
    ck_assert_ptr_eq(weft__process_fabric(40), &f[WEFT__FABRICS]);
    ck_assert_ptr_null(weft__process_fabric(-1));
    ck_assert_ptr_null(weft__process_fabric(WEFT__FABRICS));
    for (int i = 0; i < WEFT__FABRICS; i++)
        weft__process_leave(i, 0);
}
END_TEST

START_TEST(errors_stick_and_notes_do_not)
{
    struct weft_fabric f = {.rank = 3, .host = "node7"};
    listen_again();
    ck_assert_int_eq(weft_error(NULL), WEFT_EARG);
    ck_assert_str_eq(weft_message(NULL), "");
    ck_assert_str_eq(weft_message(&f), "");
    weft__note(&f, weft__fail(WEFT_EIO, "disk full"));
    ck_assert_int_eq(weft_error(&f), WEFT_OK);
    ck_assert_str_eq(weft_message(&f), "disk full");
    ck_assert_str_eq(said, "rank 3 on node7: disk full");
    ck_assert_int_eq(weft__stick(&f, weft__fail(WEFT_EDATA, "row 7")), WEFT_EDATA);
    ck_assert_int_eq(weft_fail(&f, WEFT_EUSER, "too %s", "late"), WEFT_EUSER);
    ck_assert_int_eq(weft_error(&f), WEFT_EDATA);
    ck_assert_str_eq(weft_message(&f), "rank 3 on node7: row 7");
    ck_assert_int_eq(times, 1);
    struct weft_fabric g = {.host = "here"};
    weft_fail(&g, WEFT_SKIPPED, "a notice is no error");
    ck_assert_int_eq(weft_error(&g), WEFT_EUSER);
    weft_log_to(NULL, NULL);
}
END_TEST

struct thing {
    weft__object object;
    char name;
};

static char destroyed[16];

static void destroy(weft__object *o)
{
    const char name[] = {((struct thing *)o)->name, '\0'};
    strcat(destroyed, name);
}

static struct thing *thing(struct weft_fabric *f, weft__kind kind, char name)
{
    struct thing *t = weft__object_new(f, kind, sizeof *t, destroy);
    ck_assert_ptr_nonnull(t);
    t->name = name;
    return t;
}

START_TEST(objects_keep_their_order)
{
    struct weft_fabric f = {.host = "here"};
    struct thing *a = thing(&f, WEFT__MODULE, 'a'), *b = thing(&f, WEFT__LOGGER, 'b'),
                 *c = thing(&f, WEFT__MODULE, 'c'), *d = thing(&f, WEFT__MODULE, 'd');
    destroyed[0] = '\0';
    ck_assert_ptr_eq(weft__object_first(&f, WEFT__MODULE), &a->object);
    ck_assert_ptr_eq(weft__object_after(&a->object), &c->object);
    ck_assert_ptr_eq(weft__object_after(&c->object), &d->object);
    ck_assert_ptr_null(weft__object_after(&d->object));
    ck_assert_ptr_eq(weft__object_first(&f, WEFT__LOGGER), &b->object);
    ck_assert_ptr_null(weft__object_first(&f, WEFT__OPTIM));
    ck_assert_ptr_eq(a->object.fabric, &f);
    weft__object_free(&c->object);
    ck_assert_ptr_eq(weft__object_after(&a->object), &d->object);
    weft__object_free(&a->object);
    ck_assert_ptr_eq(weft__object_first(&f, WEFT__MODULE), &d->object);
    struct thing *e = thing(&f, WEFT__MODULE, 'e');
    ck_assert_ptr_eq(weft__object_after(&d->object), &e->object);
    weft__object_free(&e->object);
    weft__object_free(NULL);
    while (f.objects)
        weft__object_free(f.objects);
    ck_assert_str_eq(destroyed, "caebd");
    weft__fail_alloc(1);
    ck_assert_ptr_null(weft__object_new(&f, WEFT__MODULE, sizeof(struct thing), destroy));
    ck_assert_int_eq(weft_error(&f), WEFT_ENOMEM);
    ck_assert_ptr_null(f.objects);
}
END_TEST

START_TEST(the_clocks_parts_add_up)
{
    double begin = weft__now(), sum = 0;
    struct weft_fabric f = {.since = begin};
    for (int i = 0; i < 20; i++) {
        weft__part outer = weft__enter(&f, WEFT__FORWARD), inner;
        ck_assert_int_eq(outer, WEFT__OTHER);
        inner = weft__enter(&f, WEFT__COMMUNICATION);
        ck_assert_int_eq(inner, WEFT__FORWARD);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        weft__enter(&f, inner);
        weft__enter(&f, outer);
    }
    for (int i = 0; i < WEFT__PARTS; i++) {
        ck_assert_double_ge(f.spent[i], 0);
        sum += f.spent[i];
    }
    ck_assert_double_ge(f.spent[WEFT__COMMUNICATION], .02);
    ck_assert_double_eq_tol(sum, f.since - begin, 1e-9);
    ck_assert_double_eq(f.spent[WEFT__DATA], 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("core");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 30);
    suite_add_tcase(s, t);
    tcase_add_test(t, every_code_has_a_name_and_a_text);
    tcase_add_test(t, a_failure_leaves_its_message);
    tcase_add_test(t, messages_belong_to_their_thread);
    tcase_add_test(t, the_first_of_eight_threads_sticks);
    tcase_add_test(t, messages_reach_the_programs_function);
    tcase_add_test(t, levels_let_through_what_they_should);
    tcase_add_test(t, new_memory_is_zero_and_aligned);
    tcase_add_test(t, large_memory_asks_for_huge_pages);
    tcase_add_test(t, sizes_that_overflow_are_refused);
    tcase_add_test(t, the_hook_fails_the_kth_allocation_once);
    tcase_add_test(t, growing_keeps_and_zeroes);
    tcase_add_test(t, types);
    tcase_add_test(t, numel);
    tcase_add_test(t, strides_and_contiguity);
    tcase_add_test(t, broadcast);
    tcase_add_test(t, shapes_as_text);
    tcase_add_test(t, whole_numbers);
    tcase_add_test(t, numbers);
    tcase_add_test(t, truth_values);
    tcase_add_test(t, choices_and_their_neighbours);
    tcase_add_test(t, environment);
    tcase_add_test(t, philox_known_answers);
    tcase_add_test(t, uniform_numbers);
    tcase_add_test(t, streams_differ_in_every_key);
    tcase_add_test(t, hashes_known_answers);
    tcase_add_test(t, uniform_whole_numbers);
    tcase_add_test(t, state_scopes_nest);
    tcase_add_test(t, a_process_holds_128_fabrics);
    tcase_add_test(t, errors_stick_and_notes_do_not);
    tcase_add_test(t, objects_keep_their_order);
    tcase_add_test(t, the_clocks_parts_add_up);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
