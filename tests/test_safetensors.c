/* Safetensors: what the reader refuses, 5000 damaged files, tables of names. */
#include "../tools/names.h"
#include "../tools/safetensors.h"

#include "core/error.h"
#include "weights_fixture.h"

#include <inttypes.h>
#include <sys/resource.h>

#define FUZZED 5000
#define STARTED 40 /* of these, given to the tool, too */

/* A file with that header, and `data` bytes behind it. */
static void write_file(const char *header, size_t data)
{
    unsigned char text[2000] = {0};
    const size_t n = strlen(header);
    for (int i = 0; i < 8; i++)
        text[i] = (unsigned char)((uint64_t)n >> 8 * i);
    memcpy(text + 8, header, n);
    write_bytes("x", text, 8 + n + data);
}

static weft_status open_it(const char *path)
{
    safetensors s;
    const weft_status rc = safetensors_open(&s, path);
    safetensors_close(&s);
    return rc;
}

#define T(name, type, shape, from, to)                                                             \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":[" shape "],\"data_offsets\":[" #from "," #to  \
    "]}"

START_TEST(wrong_headers)
{
    static const struct {
        const char *header;
        size_t data;
        const char *says; /* NULL: it is good */
    } row[] = {
        {"{}", 0, NULL},
        {"{ }  \n", 0, NULL},
        {"{\"__metadata__\":{}}", 0, NULL},
        {"{\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}}", 0, NULL},
        {"{" T("a", "F32", "2,3", 0, 24) "}", 24, NULL},
        {"{" T("b", "F32", "1", 4, 8) "," T("a", "U8", "4", 0, 4) "}", 8, NULL},
        {"{" T("a", "F32", "", 0, 4) "," T("b", "F64", "3,0", 0, 0) "}", 4, NULL},
        {"{ \"a\" : { \"shape\" : [ 2 , 3 ] , \"data_offsets\" : [ 0 , 6 ] , \"dtype\" : \"U8\" } "
         "}",
         6, NULL},
        {"{" T("\\u00e4\\ud83d\\ude00\\n", "U8", "1", 0, 1) "}", 1, NULL},
        {"", 0, "no safetensors"},
        {"[]", 0, "begin with '{'"},
        {" {}", 0, "begin with '{'"},
        {"{}x", 0, "follows"},
        {"{", 0, "its header"},
        {"{ ", 0, "missing"},
        {"{\"a\"}", 0, "missing"},
        {"{" T("a", "F32", "1", 0, 4), 4, "missing"},
        {"{" T("a", "F32", "1", 0, 4) ",}", 4, "missing"},
        {"{" T("a", "F31", "1", 0, 4) "}", 4, "no type"},
        {"{" T("a", "f32", "1", 0, 4) "}", 4, "no type"},
        {"{" T("a", "F32", "2", 0, 4) "}", 4, "by type and shape"},
        {"{" T("a", "F32", "1", 0, 4) "}", 5, "behind the header"},
        {"{" T("a", "F32", "1", 0, 4) "}", 3, "by type and shape"},
        {"{" T("a", "F32", "1", 4, 0) "}", 4, "by type and shape"},
        {"{" T("a", "F32", "1", 4, 8) "}", 8, "begins at byte 4"},
        {"{" T("a", "U8", "4", 0, 4) "," T("b", "U8", "4", 2, 6) "}", 6, "begins at byte 2"},
        {"{" T("a", "U8", "4", 0, 4) "," T("b", "U8", "4", 5, 9) "}", 9, "begins at byte 5"},
        {"{" T("a", "U8", "4", 0, 4) "," T("a", "U8", "4", 4, 8) "}", 8, "twice"},
        {"{" T("a", "U8", "4294967296,4294967296", 0, 4) "}", 4, "by type and shape"},
        {"{" T("a", "U8", "4294967296,4294967296,0", 0, 4) "}", 4, "by type and shape"},
        {"{" T("a", "U8", "99999999999999999999", 0, 4) "}", 4, "2^63"},
        {"{" T("a", "U8", "1,1,1,1,1,1,1,1,1", 0, 1) "}", 1, "dimensions"},
        {"{" T("a", "U8", "-1", 0, 1) "}", 1, "whole number"},
        {"{" T("a", "U8", "01", 0, 1) "}", 1, "whole number"},
        {"{" T("a", "U8", "1.0", 0, 1) "}", 1, "missing"},
        {"{" T("a", "U8", "1e0", 0, 1) "}", 1, "missing"},
        {"{" T("a", "U8", "1,", 0, 1) "}", 1, "whole number"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "needs dtype"},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
         "twice"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}}", 1,
         "belongs to no"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, "missing"},
        {"{\"a\":null}", 0, "missing"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "missing"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice"},
        {"{" T("a\\", "U8", "1", 0, 1) "}", 1, "missing"},
        {"{" T("\\x", "U8", "1", 0, 1) "}", 1, "escape"},
        {"{" T("\\u00", "U8", "1", 0, 1) "}", 1, "hexadecimal"},
        {"{" T("\\u0000", "U8", "1", 0, 1) "}", 1, "no character"},
        {"{" T("\\ud800", "U8", "1", 0, 1) "}", 1, "surrogate"},
        {"{" T("\\ud800\\u0041", "U8", "1", 0, 1) "}", 1, "surrogate"},
        {"{" T("\\ude00", "U8", "1", 0, 1) "}", 1, "no character"},
        {"{" T("a\tb", "U8", "1", 0, 1) "}", 1, "control"},
        {"{" T("\xff", "U8", "1", 0, 1) "}", 1, "UTF-8"},
        {"{\"a", 0, "does not end"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        write_file(row[i].header, row[i].data);
        const weft_status s = open_it(in("x"));
        if (s != (row[i].says ? WEFT_EFORMAT : WEFT_OK) || (s && !strstr(weft__why(), row[i].says)))
            ck_abort_msg("%s: %s, %s", row[i].header, weft_status_name(s), s ? weft__why() : "");
    }
}
END_TEST

/* A length that is no length must not become memory. */
START_TEST(wrong_files)
{
    static const unsigned char length[][8] = {
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
        {0, 0, 0, 0x10},
        {3},
    };
    for (int i = 0; i < 4; i++) {
        unsigned char text[10] = {0};
        memcpy(text, length[i], 8);
        memcpy(text + 8, "{}", 2);
        write_bytes("x", text, sizeof text);
        ck_assert_int_eq(open_it(in("x")), WEFT_EFORMAT);
        ck_assert_ptr_nonnull(strstr(weft__why(), "its header"));
    }
    write_bytes("x", "1234567", 7);
    ck_assert_int_eq(open_it(in("x")), WEFT_EFORMAT);
    ck_assert_int_eq(open_it(in("none")), WEFT_ENOENT);
    ck_assert_int_eq(open_it("/"), WEFT_EFORMAT);
}
END_TEST

static uint64_t state = 20240229;

static uint32_t draw(uint32_t below) /* xorshift64* of Vigna */
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)(state * 2685821657736338717u >> 32) % below;
}

/* A byte, a bit, a digit, a number, a part twice, a part left out, an end too early. */
static size_t damage(unsigned char *p, size_t n, size_t header)
{
    static const char *const word[] = {
        "0",   "9223372036854775807", "-1", ",", "]", "}", "\"", "{}", "[", "F64", "U8", "null",
        "\\u", "4294967296"};
    for (int k = 1 + (int)draw(4); k > 0; k--) {
        const size_t at = draw(4) ? 8 + draw((uint32_t)header) : draw((uint32_t)n);
        const char *w = word[draw(sizeof word / sizeof *word)];
        const size_t run = 1 + draw(24), end = at + run < n ? at + run : n;
        switch (draw(7)) {
        case 0:
            p[at] = (unsigned char)draw(256);
            break;
        case 1:
            p[at] ^= (unsigned char)(1u << draw(8));
            break;
        case 2:
            p[at] = (unsigned char)('0' + draw(10));
            break;
        case 3:
            for (size_t i = 0; w[i] && at + i < n; i++)
                p[at + i] = (unsigned char)w[i];
            break;
        case 4:
            memmove(p + end, p + at, n - end);
            break;
        case 5:
            memmove(p + at, p + end, n - end);
            n -= end - at;
            break;
        default:
            n = draw(8) ? n : at + 1;
        }
        if (n < 9)
            break;
    }
    return n;
}

static int64_t most_memory(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (int64_t)u.ru_maxrss * 1024;
}

/* What an import does with a file that the reader takes. */
static void read_all(const safetensors *s)
{
    int64_t shape[WEFT_MAX_RANK], sum = 0;
    for (size_t i = 0; i < s->n; i++) {
        const char *word;
        const safetensor *t = &s->tensor[i];
        char *data = malloc((size_t)(t->end - t->begin) + 1);
        ck_assert_ptr_nonnull(data);
        safetensors_shape(t, shape);
        safetensors_type(t, &word);
        ck_assert_int_eq(safetensors_read(s, t, data), WEFT_OK);
        sum += t->end - t->begin;
        free(data);
    }
    ck_assert_int_eq(sum, s->bytes);
}

START_TEST(damaged_files)
{
    unsigned char whole[4096], p[4096];
    FILE *f = fopen(golden, "r");
    ck_assert_ptr_nonnull(f);
    const size_t n = fread(whole, 1, sizeof whole, f), header = whole[0] + 256u * whole[1];
    fclose(f);
    int good = 0, started = 0;
    const int64_t before = most_memory();
    for (int k = 0; k < FUZZED; k++) {
        memcpy(p, whole, n);
        const size_t left = damage(p, n, header);
        safetensors s;
        write_bytes("x", p, left);
        const weft_status rc = safetensors_open(&s, in("x"));
        if (rc != WEFT_OK && rc != WEFT_EFORMAT)
            ck_abort_msg("damaged file %d: %s", k, weft_status_name(rc));
        if (!rc)
            read_all(&s);
        safetensors_close(&s);
        good += !rc;
        if ((rc == 0 || k % (2 * FUZZED / STARTED) == 0) && started < STARTED) {
            started++;
            const int status =
                shell("../tools/weft import %s/x %s/run-%d >/dev/null 2>&1", dir, dir, k);
            if (status > 18)
                ck_abort_msg("damaged file %d: exit status %d", k, status);
        }
    }
    ck_assert_int_gt(good, 0);
    ck_assert_int_lt(good, FUZZED);
    ck_assert_int_lt(most_memory() - before, 64 << 20);
}
END_TEST

static const char table[] = "# Weft        the file\n"
                            "net.2.weight  net.2.weight  transpose\r\n"
                            "\n"
                            "-             table.**      # not of the model\n"
                            "a.*.b.*       c.*.*.d\n"
                            "net.*.*       net.*.*\n"
                            "out.**        -\n";

START_TEST(names_go_both_ways)
{
    static const struct {
        names_side from;
        const char *name, *gives; /* NULL: no line fits */
        bool turned;
    } row[] = {
        {NAMES_FILE, "net.2.weight", "net.2.weight", true},
        {NAMES_WEFT, "net.2.weight", "net.2.weight", true},
        {NAMES_FILE, "net.0.weight", "net.0.weight", false},
        {NAMES_FILE, "net.0.weight.x", NULL, false},
        {NAMES_FILE, "net..weight", NULL, false},
        {NAMES_FILE, "table.a.b", "", false},
        {NAMES_FILE, "table.", NULL, false},
        {NAMES_WEFT, "table.a.b", NULL, false},
        {NAMES_FILE, "c.12.xy.d", "a.12.b.xy", false},
        {NAMES_WEFT, "a.12.b.xy", "c.12.xy.d", false},
        {NAMES_WEFT, "out.x", "", false},
        {NAMES_FILE, "out.x", NULL, false},
    };
    names t;
    char out[NAMES_MAX];
    bool turned;
    write_bytes("table", table, sizeof table - 1);
    ck_assert_int_eq(names_load(&t, in("table")), WEFT_OK);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const weft_status s = names_map(&t, row[i].from, row[i].name, out, &turned);
        if (s != (row[i].gives ? WEFT_OK : WEFT_ENOENT) ||
            (!s && (strcmp(out, row[i].gives) != 0 || turned != row[i].turned)))
            ck_abort_msg("%s gives \"%s\"", row[i].name, out);
    }
    names_free(&t);
}
END_TEST

START_TEST(wrong_tables)
{
    static const char *const wrong[] = {
        "a",   "a b c", "a b transpose d",    "* a", "a.*.** a.**.*",
        "- -", "* **",  "*.*.*.*.*.*.*.*.* *"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        names t;
        write_bytes("table", wrong[i], strlen(wrong[i]));
        if (names_load(&t, in("table")) != WEFT_EFORMAT || !strstr(weft__why(), "table:1:"))
            ck_abort_msg("%s was taken", wrong[i]);
        names_free(&t);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {wrong_headers, wrong_files, names_go_both_ways, wrong_tables,
                                  damaged_files};
    Suite *s = suite_create("safetensors");
    TCase *t = tcase_create("safetensors");
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(t, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(t, tests[i]);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
