/* The tokenizer of examples/gpt2: what transformers makes of texts with a vocabulary of GPT-2's kind
 * (golden/bpe), there and back for any bytes, and files that are damaged. */
#include "../examples/gpt2/tokenizer.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 4096

static tokenizer *t;
static char folder[] = "/tmp/weft-bpe-XXXXXX", why[500];

static const char *golden(const char *name)
{
    static char path[2][1000];
    static int k;
    const char *dir = getenv("srcdir");
    k = !k;
    snprintf(path[k], sizeof path[k], "%s/golden/bpe/%s", dir ? dir : ".", name);
    return path[k];
}

static void start(void)
{
    t = tokenizer_bpe(golden("vocab.json"), golden("merges.txt"), why, sizeof why);
    ck_assert_msg(t != NULL, "%s", why);
}

static void stop(void)
{
    tokenizer_free(t);
}

/* Encodes, decodes, compares. @return the number of tokens */
static int64_t there_and_back(const tokenizer *k, const char *text, size_t n, int32_t *token)
{
    const int64_t count = tokenizer_encode(k, text, n, token);
    size_t at = 0, bytes;
    for (int64_t i = 0; i < count; i++) {
        const char *piece = tokenizer_decode(k, token[i], &bytes);
        ck_assert(piece && bytes && at + bytes <= n && memcmp(piece, text + at, bytes) == 0);
        at += bytes;
    }
    ck_assert_uint_eq(at, n);
    return count;
}

static size_t from_hex(const char *hex, char *text)
{
    size_t n = 0;
    for (unsigned byte; hex[0] != '-' && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
        text[n] = (char)byte;
    return n;
}

/* "1,2,3" against a, "-" is none. */
static bool same(const char *list, const int64_t *a, int64_t n)
{
    char *end;
    int64_t i = 0;
    for (; *list && *list != '-'; i++, list = *end ? end + 1 : end)
        if (i >= n || strtoll(list, &end, 10) != a[i])
            return false;
    return i == n;
}

START_TEST(it_is_transformers)
{
    static char line[16 * MOST], hex[2 * MOST], tokens[8 * MOST], ends[8 * MOST], text[MOST];
    static int32_t token[MOST];
    static int64_t number[MOST];
    FILE *in = fopen(golden("cases.txt"), "r");
    int cases = 0;
    ck_assert_ptr_nonnull(in);
    for (; fgets(line, sizeof line, in); cases++) {
        ck_assert_int_eq(sscanf(line, "%s %s %s", hex, tokens, ends), 3);
        const size_t n = from_hex(hex, text);
        int64_t pieces = 0, count = there_and_back(t, text, n, token);
        for (size_t at = 0; at < n; pieces++)
            number[pieces] = (int64_t)(at = tokenizer_piece(text, n, at));
        ck_assert_msg(same(ends, number, pieces), "pieces of \"%.*s\"", (int)n, text);
        for (int64_t i = 0; i < count; i++)
            number[i] = token[i];
        ck_assert_msg(same(tokens, number, count), "tokens of \"%.*s\"", (int)n, text);
    }
    fclose(in);
    ck_assert_int_gt(cases, 100);
}
END_TEST

START_TEST(any_bytes_come_back)
{
    static char text[MOST];
    static int32_t token[MOST];
    tokenizer *bytes = tokenizer_bytes();
    uint32_t seed = 1;
    ck_assert(bytes && tokenizer_size(bytes) == 256 && tokenizer_size(t) == 420);
    for (int round = 0; round < 300; round++) {
        const size_t n = (size_t)round * 13 % MOST;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            text[i] =
                round % 2 ? (char)(seed >> 24) : "\xc3\xa9 \xf0\x9f\xa7 's\xe0"[seed >> 24 & 7];
        }
        there_and_back(t, text, n, token);
        ck_assert_int_eq(there_and_back(bytes, text, n, token), (int64_t)n);
    }
    size_t n = 1;
    ck_assert(!tokenizer_decode(t, -1, &n) && n == 0 && !tokenizer_decode(t, 420, &n));
    tokenizer_free(bytes);
}
END_TEST

START_TEST(long_runs_are_quick)
{
    const size_t n = 200000;
    char *text = malloc(n);
    int32_t *token = malloc(n * sizeof *token);
    memset(text, 't', n);
    ck_assert(there_and_back(t, text, n, token) <= (int64_t)n);
    memset(text, ' ', n);
    ck_assert(there_and_back(t, text, n, token) < (int64_t)n * 2 / 3);
    free(text);
    free(token);
}
END_TEST

static void refuses(const char *vocab, const char *merges, const char *part)
{
    char path[2][100];
    const char *const text[] = {vocab, merges};
    for (int k = 0; k < 2; k++) {
        snprintf(path[k], sizeof path[k], "%s/%d", folder, k);
        FILE *out = fopen(path[k], "w");
        fputs(text[k], out);
        fclose(out);
    }
    tokenizer *bad = tokenizer_bpe(path[0], path[1], why, sizeof why);
    ck_assert_ptr_null(bad);
    ck_assert_msg(strstr(why, part) != NULL, "\"%s\" instead of \"%s\"", why, part);
    unlink(path[0]);
    unlink(path[1]);
}

START_TEST(damaged_files_are_refused)
{
    static char whole[8192];
    FILE *in = fopen(golden("vocab.json"), "r");
    whole[fread(whole, 1, sizeof whole - 1, in)] = '\0';
    fclose(in);
    refuses(whole, "#version: 0.2\nt h\nq\n", "line 3 is not two words");
    refuses(whole, "t h\nth q\n", "line 2 has a word that is not in the vocabulary");
    refuses(whole, "a b c\n", "line 1 is not two words");
    refuses("", "", "");
    refuses("[1]", "", "it is no object");
    refuses("{}", "", "no tokens");
    refuses("{\"a\": 0, \"b\": 2}", "", "once each");
    refuses("{\"a\": 0, \"b\": 0}", "", "once each");
    refuses("{\"a\": 0, \"b\": \"1\"}", "", "once each");
    refuses("{\"a\": 0, \"b\": 1}", "", "a byte has no token");
    ck_assert(!tokenizer_bpe("/nowhere", "/nowhere", why, sizeof why) && strstr(why, "/nowhere"));
    ck_assert(!tokenizer_bpe(golden("vocab.json"), "/nowhere", why, sizeof why));
    ck_assert_ptr_nonnull(strstr(why, "/nowhere: it cannot be opened"));
}
END_TEST

/* A real vocabulary, where GPT2_VOCABULARY names a folder with encoder.json and vocab.bpe, or vocab.json and
 * merges.txt: what transformers gives for a text (check_real_tokens.sh). */
START_TEST(a_real_vocabulary)
{
    static const char text[] =
        "Hello, my dog is cute. The weft's 12345 threads\n\n  aren't tangled!";
    static const int64_t right[] = {15496, 11,    616,  3290,  318, 13779, 13,   383, 356,   701,
                                    338,   17031, 2231, 14390, 628, 220,   3588, 470, 41431, 0};
    const char *dir = getenv("GPT2_VOCABULARY");
    char path[2][1000];
    int32_t token[sizeof text];
    if (!dir)
        return;
    snprintf(path[0], sizeof path[0], "%s/%s", dir, "encoder.json");
    snprintf(path[1], sizeof path[1], "%s/%s", dir, "vocab.bpe");
    if (access(path[0], R_OK)) {
        snprintf(path[0], sizeof path[0], "%s/%s", dir, "vocab.json");
        snprintf(path[1], sizeof path[1], "%s/%s", dir, "merges.txt");
    }
    tokenizer *real = tokenizer_bpe(path[0], path[1], why, sizeof why);
    ck_assert_msg(real != NULL, "%s", why);
    ck_assert_int_eq(tokenizer_size(real), 50257);
    ck_assert_int_eq(there_and_back(real, text, sizeof text - 1, token), 20);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(token[i], right[i]);
    tokenizer_free(real);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bpe");
    TCase *c = tcase_create("all");
    if (!mkdtemp(folder))
        return EXIT_FAILURE;
    tcase_add_checked_fixture(c, start, stop);
    tcase_add_test(c, it_is_transformers);
    tcase_add_test(c, any_bytes_come_back);
    tcase_add_test(c, long_runs_are_quick);
    tcase_add_test(c, damaged_files_are_refused);
    tcase_add_test(c, a_real_vocabulary);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    rmdir(folder);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
