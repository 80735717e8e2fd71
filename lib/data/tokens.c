/* A raw file of tokens, what others map into memory: row i is x = t[i * stride ... i * stride + T) and
 * y the same, one token on. */
#include "core/alloc.h"
#include "core/env.h"
#include "data/make.h"
#include "data/place.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HEADER 1024 /* bytes, of llm.c */

typedef struct tokens {
    int fd;
    int wide; /* bytes of a token */
    int64_t length;
    weft__place place[2];
} tokens;

/* From the end, because u16 grow; in u32 what i32 has no room for is an error of the data. */
static weft_status to_i32(const tokens *t, const int64_t *row, int64_t n, void *out, char *why,
                          size_t why_size)
{
    char *at = out;
    for (int64_t i = n * t->length - 1; i >= 0 && t->wide == 2; i--) {
        uint16_t u;
        memcpy(&u, at + 2 * i, sizeof u);
        const int32_t v = u;
        memcpy(at + 4 * i, &v, sizeof v);
    }
    for (int64_t i = 0; i < n * t->length && t->wide == 4; i++) {
        int32_t v;
        memcpy(&v, at + 4 * i, sizeof v);
        if (v < 0) {
            snprintf(why, why_size, "row %lld: token %lld is %lld; tokens are 0 to 2147483647",
                     (long long)row[i / t->length], (long long)(i % t->length),
                     (long long)(uint32_t)v);
            return WEFT_EDATA;
        }
    }
    return WEFT_OK;
}

static weft_status read_rows(void *self, int field, const int64_t *row, int64_t n, void *out,
                             char *why, size_t why_size)
{
    const tokens *t = self;
    WEFT_TRY(weft__place_read(&t->place[field], row, n, out, why, why_size));
    return to_i32(t, row, n, out, why, why_size);
}

static void destroy(void *self)
{
    tokens *t = self;
    if (t->fd >= 0)
        close(t->fd);
    weft__free(t);
}

static const weft_dataset_ops ops = {
    .size = sizeof ops, .name = "tokens", .read = read_rows, .destroy = destroy};

static weft_status read_options(tokens *t, const weft_token_options *o, int64_t *stride)
{
    static const char *const word[] = {"u16", "i32", "u32"};
    int dtype = o->dtype ? weft__parse_choice("tokens: dtype", o->dtype, word, 3) : 0;
    if (dtype < 0)
        return WEFT_EARG;
    t->wide = dtype == 0 ? 2 : 4;
    t->length = o->length ? o->length : 1024;
    *stride = o->stride ? o->stride : t->length;
    if (o->length < 0 || o->stride < 0 || o->offset < 0 || t->length > INT32_MAX ||
        *stride > INT32_MAX)
        return weft__fail(WEFT_EARG,
                          "tokens: length %lld, stride %lld, offset %lld; length and stride are "
                          "at least 1, offset is at least 0",
                          (long long)o->length, (long long)o->stride, (long long)o->offset);
    return WEFT_OK;
}

/* llm.c writes 256 i32 before its tokens: magic, version, number of tokens. They are no tokens. */
static weft_status respect_header(const tokens *t, const char *path, int64_t offset, int64_t size)
{
    static const int32_t magic[2][2] = {{20240520, 1}, {20240801, 7}}; /* of u16, of u32 */
    int32_t head[3];
    int k = 0;
    if (weft__file_read(t->fd, head, sizeof head, 0) < (int64_t)sizeof head)
        return WEFT_OK;
    while (k < 2 && memcmp(head, magic[k], sizeof magic[k]) != 0)
        k++;
    if (k == 2)
        return WEFT_OK;
    const int wide = k ? 4 : 2;
    if (offset < HEADER || t->wide != wide)
        return weft__fail(
            WEFT_EFORMAT,
            "%.300s: begins with a header of llm.c, of %d bytes and for tokens of %d; "
            "say .offset = %d, .dtype = \"%s\"",
            path, HEADER, wide, HEADER, k ? "u32" : "u16");
    if (size - HEADER != (int64_t)head[2] * wide)
        return weft__fail(WEFT_EFORMAT,
                          "%.300s: its header tells of %d tokens, there are %lld; it was not "
                          "written or copied to the end",
                          path, head[2], (long long)((size - HEADER) / wide));
    return WEFT_OK;
}

static weft_status open_tokens(tokens *t, const char *path, const weft_token_options *o,
                               int64_t *rows)
{
    static const weft_token_options none;
    int64_t size, stride;
    o = o ? o : &none;
    if (!path)
        return weft__fail(WEFT_EARG, "weft_loader_tokens: path is NULL");
    WEFT_TRY(read_options(t, o, &stride));
    WEFT_TRY(weft__file_open(path, &t->fd, &size));
    WEFT_TRY(respect_header(t, path, o->offset, size));
    int64_t bytes = size - o->offset, n = bytes / t->wide;
    if (bytes < 0 || bytes % t->wide || n <= t->length)
        return weft__fail(WEFT_EFORMAT,
                          "%.300s: %lld bytes after an offset of %lld are not %lld or more whole "
                          "tokens of %d bytes; look at offset, length and dtype",
                          path, (long long)bytes, (long long)o->offset, (long long)t->length + 1,
                          t->wide);
    *rows = (n - t->length - 1) / stride + 1;
    for (int k = 0; k < 2; k++)
        t->place[k] = (weft__place){.fd = t->fd,
                                    .offset = o->offset + k * t->wide,
                                    .step = stride * t->wide,
                                    .width = t->length * t->wide};
    return WEFT_OK;
}

weft_loader *weft_loader_tokens(weft_fabric *f, const char *path, const weft_token_options *o,
                                const weft_loader_options *options)
{
    int64_t rows = 0;
    if (!f)
        return NULL;
    tokens *t = weft__new(1, sizeof *t);
    if (t)
        t->fd = -1;
    weft_status s = t ? open_tokens(t, path, o, &rows) : WEFT_ENOMEM;
    weft_loader *l = NULL;
    if (s < 0)
        weft__stick(f, s);
    else {
        const weft_field one = {
            .present = true, .dtype = WEFT_I32, .rank = 1, .shape = {t->length}};
        const weft_field field[2] = {one, one};
        l = weft__loader_make(f, &ops, t, rows, 2, field, path, NULL, options);
    }
    if (!l && t)
        destroy(t);
    return l;
}
