/* The MANIFEST: strict reading, exact numbers, ranges as boxes. */
#include "checkpoint_fixture.h"

#include "checkpoint/manifest.h"
#include "checkpoint/slabs.h"

#include <xxhash.h>

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

int main(void)
{
    const TTest *const tests[] = {doubles_are_exact_text, boxes_cover_a_range_in_order,
                                  a_manifest_is_read_strictly};
    return run("manifest", tests, COUNT(tests));
}
