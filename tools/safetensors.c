/* Reading safetensors: nothing in a file is believed before it was checked, and no number in it
 * makes anything larger than the file. */
#include "safetensors.h"

#include "scan.h"

#include "core/alloc.h"
#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* In the order of their places in a file, reversed. */
static const struct {
    const char *word;
    weft_dtype type;
    int bits;
} type[] = {
    {"BOOL", WEFT_DEFAULT, 8},    {"U8", WEFT_U8, 8},           {"I8", WEFT_DEFAULT, 8},
    {"F8_E5M2", WEFT_DEFAULT, 8}, {"F8_E4M3", WEFT_DEFAULT, 8}, {"I16", WEFT_DEFAULT, 16},
    {"U16", WEFT_DEFAULT, 16},    {"F16", WEFT_F16, 16},        {"BF16", WEFT_BF16, 16},
    {"I32", WEFT_I32, 32},        {"U32", WEFT_DEFAULT, 32},    {"F32", WEFT_F32, 32},
    {"F64", WEFT_F64, 64},        {"I64", WEFT_I64, 64},        {"U64", WEFT_DEFAULT, 64},
};

#define TYPES ((int)(sizeof type / sizeof type[0]))

static bool read_type(scan *c, safetensor *t)
{
    const char *word;
    if (!scan_string(c, &word))
        return false;
    for (t->type = 0; t->type < TYPES; t->type++)
        if (strcmp(type[t->type].word, word) == 0)
            return true;
    return scan_wrong(c, "there is no type \"%.20s\"", word);
}

static bool read_shape(scan *c, safetensor *t)
{
    int64_t extent;
    if (!scan_expect(c, '['))
        return false;
    t->shape = c->at;
    t->rank = 0;
    if (scan_accept(c, ']'))
        return true;
    do {
        if (++t->rank > WEFT_MAX_RANK)
            return scan_wrong(c, "more than %d dimensions", WEFT_MAX_RANK);
        if (!scan_number(c, &extent))
            return false;
    } while (scan_accept(c, ','));
    return scan_expect(c, ']');
}

static bool read_place(scan *c, safetensor *t)
{
    return scan_expect(c, '[') && scan_number(c, &t->begin) && scan_expect(c, ',') &&
           scan_number(c, &t->end) && scan_expect(c, ']');
}

static bool read_tensor(scan *c, safetensor *t)
{
    static const char *const key[] = {"dtype", "shape", "data_offsets"};
    static bool (*const read[])(scan *, safetensor *) = {read_type, read_shape, read_place};
    bool seen[3] = {false};
    const char *word;
    if (!scan_expect(c, '{'))
        return false;
    do {
        int k = 0;
        if (!scan_string(c, &word))
            return false;
        while (k < 3 && strcmp(key[k], word) != 0)
            k++;
        if (k == 3 || seen[k])
            return scan_wrong(c, "\"%.40s\" %s", word, k == 3 ? "belongs to no tensor" : "twice");
        seen[k] = true;
        if (!scan_expect(c, ':') || !read[k](c, t))
            return false;
    } while (scan_accept(c, ','));
    if (!seen[0] || !seen[1] || !seen[2])
        return scan_wrong(c, "a tensor needs dtype, shape and data_offsets");
    return scan_expect(c, '}');
}

static bool read_metadata(scan *c)
{
    const char *word;
    if (!scan_expect(c, '{'))
        return false;
    if (scan_accept(c, '}'))
        return true;
    do {
        if (!scan_string(c, &word) || !scan_expect(c, ':') || !scan_string(c, &word))
            return false;
    } while (scan_accept(c, ','));
    return scan_expect(c, '}');
}

/* The bytes that type and shape ask for; -1 if 2^63 do not do. */
static int64_t bytes_of(const safetensor *t)
{
    int64_t shape[WEFT_MAX_RANK], n = type[t->type].bits / 8;
    bool empty = false;
    safetensors_shape(t, shape);
    for (int d = 0; d < t->rank; d++)
        empty |= shape[d] == 0;
    for (int d = 0; d < t->rank && !empty; d++) {
        if (n > INT64_MAX / shape[d])
            return -1;
        n *= shape[d];
    }
    return empty ? 0 : n;
}

static bool read_entry(scan *c, safetensors *s, size_t room, bool *metadata)
{
    const char *name;
    if (!scan_string(c, &name) || !scan_expect(c, ':'))
        return false;
    if (strcmp(name, "__metadata__") == 0) {
        if (*metadata)
            return scan_wrong(c, "\"__metadata__\" twice");
        *metadata = true;
        return read_metadata(c);
    }
    if (s->n == room)
        return scan_wrong(c, "more tensors than its length has room for");
    safetensor *t = &s->tensor[s->n++];
    t->name = name;
    if (!read_tensor(c, t))
        return false;
    const int64_t bytes = bytes_of(t);
    if (t->begin > t->end || t->end > s->bytes || t->end - t->begin != bytes)
        return scan_wrong(c,
                          "\"%.80s\" lies at [%lld, %lld) of %lld bytes, by type and shape it "
                          "has %lld",
                          name, (long long)t->begin, (long long)t->end, (long long)s->bytes,
                          (long long)bytes);
    return true;
}

static bool read_entries(scan *c, safetensors *s, size_t room)
{
    bool metadata = false;
    if (c->at == c->end || *c->at != '{')
        return scan_wrong(c, "it does not begin with '{'");
    c->at++;
    if (!scan_accept(c, '}')) {
        do
            if (!read_entry(c, s, room, &metadata))
                return false;
        while (scan_accept(c, ','));
        if (!scan_expect(c, '}'))
            return false;
    }
    scan_space(c);
    return c->at == c->end || scan_wrong(c, "something follows the header's last '}'");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const safetensor *)a)->name, ((const safetensor *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const safetensor *s = a, *t = b;
    return s->begin != t->begin ? (s->begin > t->begin) - (s->begin < t->begin)
                                : (s->end > t->end) - (s->end < t->end);
}

/* No name twice; every byte belongs to one tensor. */
static weft_status check_whole(safetensors *s)
{
    int64_t at = 0;
    for (size_t i = 0; i < s->n; i++) {
        json_t *utf8 = json_string(s->tensor[i].name);
        json_decref(utf8);
        if (!utf8)
            return weft__fail(WEFT_EFORMAT, "%s: the name of tensor %zu is no UTF-8", s->path, i);
    }
    qsort(s->tensor, s->n, sizeof *s->tensor, by_name);
    for (size_t i = 1; i < s->n; i++)
        if (strcmp(s->tensor[i - 1].name, s->tensor[i].name) == 0)
            return weft__fail(WEFT_EFORMAT, "%s: \"%.200s\" is there twice", s->path,
                              s->tensor[i].name);
    qsort(s->tensor, s->n, sizeof *s->tensor, by_place);
    for (size_t i = 0; i < s->n; at = s->tensor[i++].end)
        if (s->tensor[i].begin != at)
            return weft__fail(WEFT_EFORMAT,
                              "%s: \"%.200s\" begins at byte %lld of the data, what lies before it "
                              "ends at %lld",
                              s->path, s->tensor[i].name, (long long)s->tensor[i].begin,
                              (long long)at);
    return at == s->bytes ? WEFT_OK
                          : weft__fail(WEFT_EFORMAT,
                                       "%s: its tensors have %lld bytes, behind the header are "
                                       "%lld",
                                       s->path, (long long)at, (long long)s->bytes);
}

static weft_status read_at(const safetensors *s, void *to, int64_t bytes, int64_t at)
{
    for (char *p = to; bytes > 0;) {
        const ssize_t n = pread(s->fd, p, (size_t)(bytes < 1 << 26 ? bytes : 1 << 26), at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return weft__fail_errno(WEFT_EIO, "%s: cannot read at byte %lld", s->path,
                                    (long long)at);
        if (n == 0)
            return weft__fail(WEFT_EFORMAT, "%s ends at byte %lld, too early", s->path,
                              (long long)at);
        p += n;
        at += n;
        bytes -= n;
    }
    return WEFT_OK;
}

#define SHORTEST 50 /* bytes of "":{"dtype":"U8","shape":[],"data_offsets":[0,1]}, */

static weft_status read_header(safetensors *s, int64_t size)
{
    unsigned char length[8];
    uint64_t n = 0;
    if (size < 8)
        return weft__fail(WEFT_EFORMAT, "%s has %lld bytes: no safetensors file", s->path,
                          (long long)size);
    WEFT_TRY(read_at(s, length, 8, 0));
    for (int i = 7; i >= 0; i--)
        n = n << 8 | length[i];
    if (n > (uint64_t)SAFETENSORS_HEADER || n > (uint64_t)(size - 8) || n < 2)
        return weft__fail(WEFT_EFORMAT,
                          "%s: its header is said to have %" PRIu64 " bytes, of %lld in all (at "
                          "most %lld): no safetensors file",
                          s->path, n, (long long)size, (long long)SAFETENSORS_HEADER);
    const size_t room = (size_t)n / SHORTEST + 1; /* the last may be cut off */
    s->data = 8 + (int64_t)n;
    s->bytes = size - s->data;
    s->header = weft__new((size_t)n, 1);
    s->tensor = weft__new(room, sizeof *s->tensor);
    if (!s->header || !s->tensor)
        return WEFT_ENOMEM;
    WEFT_TRY(read_at(s, s->header, (int64_t)n, 8));
    scan c = {.where = s->path, .text = s->header, .at = s->header, .end = s->header + n};
    return read_entries(&c, s, room) ? check_whole(s) : c.failed;
}

weft_status safetensors_open(safetensors *s, const char *path)
{
    struct stat st;
    *s = (safetensors){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (s->fd < 0 || fstat(s->fd, &st))
        return weft__fail_errno(errno == ENOENT ? WEFT_ENOENT : WEFT_EIO, "%s: cannot open it",
                                path);
    if (!S_ISREG(st.st_mode))
        return weft__fail(WEFT_EFORMAT, "%s is no plain file", path);
    return read_header(s, st.st_size);
}

void safetensors_close(safetensors *s)
{
    if (s->fd >= 0)
        close(s->fd);
    weft__free(s->header);
    weft__free(s->tensor);
}

void safetensors_shape(const safetensor *t, int64_t *shape)
{
    char *p = (char *)t->shape;
    for (int d = 0; d < t->rank; d++, p++) { /* over the comma */
        shape[d] = (int64_t)strtoll(p, &p, 10);
        p += strspn(p, " \t\r\n");
    }
}

weft_dtype safetensors_type(const safetensor *t, const char **word)
{
    *word = type[t->type].word;
    return type[t->type].type;
}

weft_status safetensors_read(const safetensors *s, const safetensor *t, void *to)
{
    return read_at(s, to, t->end - t->begin, s->data + t->begin);
}

const char *safetensors_word(weft_dtype t, int *place)
{
    for (int i = 0; i < TYPES; i++)
        if (type[i].type == t && t != WEFT_DEFAULT) {
            *place = TYPES - i;
            return type[i].word;
        }
    return NULL;
}
