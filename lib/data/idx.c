/* IDX: 0, 0, a byte for the type, a byte for the number of dimensions, the extents, the values; all
 * numbers big-endian (Y. LeCun, C. Cortes, C. Burges, "The MNIST database"). */
#include "data/idx.h"

#include "core/alloc.h"
#include "data/place.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* Exactly n bytes. */
static weft_status get(gzFile in, const char *path, void *out, int64_t n)
{
    for (int64_t done = 0, got; done < n; done += got) {
        int code = Z_OK;
        got = gzread(in, (char *)out + done, (unsigned)(n - done < 1 << 30 ? n - done : 1 << 30));
        const char *why = gzerror(in, &code);
        if (got < 0 || (got == 0 && code != Z_OK))
            return weft__fail(code == Z_ERRNO ? WEFT_EIO : WEFT_EFORMAT, "%.300s: %.80s", path,
                              code == Z_ERRNO ? strerror(errno) : why);
        if (got == 0)
            return weft__fail(WEFT_EFORMAT, "%.300s: ends after %lld bytes, %lld are missing", path,
                              (long long)gztell(in), (long long)(n - done));
    }
    return WEFT_OK;
}

static uint32_t big_endian(const unsigned char *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static weft_status read_type(weft__idx *a, const char *path)
{
    static const struct {
        int wide;
        weft_dtype dtype;
    } type[16] = {[0x08] = {1, WEFT_U8},  [0x09] = {1, WEFT_I32}, [0x0B] = {2, WEFT_I32},
                  [0x0C] = {4, WEFT_I32}, [0x0D] = {4, WEFT_F32}, [0x0E] = {8, WEFT_F64}};
    uint32_t t = a->magic >> 8;
    a->rank = (int)(a->magic & 0xFF);
    if (t >= 16 || !type[t].wide || a->rank < 1 || a->rank > WEFT_MAX_RANK)
        return weft__fail(WEFT_EFORMAT,
                          "%.300s: begins with 0x%08x; an IDX file has 0x0000ttdd there, with a "
                          "type and 1 to %d dimensions",
                          path, a->magic, WEFT_MAX_RANK);
    a->wide = type[t].wide;
    a->dtype = type[t].dtype;
    return WEFT_OK;
}

static weft_status read_header(weft__idx *a, gzFile in, const char *path)
{
    unsigned char word[4];
    WEFT_TRY(get(in, path, word, 4));
    a->magic = big_endian(word);
    WEFT_TRY(read_type(a, path));
    a->bytes = a->wide;
    for (int d = 0; d < a->rank; d++) {
        WEFT_TRY(get(in, path, word, 4));
        a->dim[d] = big_endian(word);
        if (a->dim[d] == 0 || __builtin_mul_overflow(a->bytes, a->dim[d], &a->bytes))
            return weft__fail(WEFT_EFORMAT, "%.300s: extent %d is %lld", path, d,
                              (long long)a->dim[d]);
    }
    a->offset = 4 + 4 * (int64_t)a->rank;
    return WEFT_OK;
}

static weft_status read_values(weft__idx *a, gzFile in, const char *path)
{
    char more;
    if (!(a->memory = weft__new((size_t)a->bytes, 1)))
        return WEFT_ENOMEM;
    WEFT_TRY(get(in, path, a->memory, a->bytes));
    if (gzread(in, &more, 1) != 0)
        return weft__fail(WEFT_EFORMAT, "%.300s: goes on after its %lld bytes of values", path,
                          (long long)a->bytes);
    return WEFT_OK;
}

static weft_status check_length(const weft__idx *a, const char *path, int64_t size)
{
    int64_t missing = a->offset + a->bytes - size;
    if (missing > 0)
        return weft__fail(WEFT_EFORMAT, "%.300s: ends after %lld bytes, %lld are missing", path,
                          (long long)size, (long long)missing);
    return missing == 0 ? WEFT_OK
                        : weft__fail(WEFT_EFORMAT, "%.300s: goes on after its %lld bytes of values",
                                     path, (long long)a->bytes);
}

static weft_status read_all(weft__idx *a, const char *path, bool all, int64_t size)
{
    int copy = dup(a->fd); /* zlib closes its own, and moves it: ours is read with pread */
    gzFile in = copy < 0 ? NULL : gzdopen(copy, "rb");
    if (!in) {
        if (copy >= 0)
            close(copy);
        return weft__fail(WEFT_ENOMEM, "%.300s: zlib cannot open it", path);
    }
    gzbuffer(in, 1 << 18);
    weft_status s = read_header(a, in, path);
    bool whole = all || !gzdirect(in);
    if (s == WEFT_OK)
        s = whole ? read_values(a, in, path) : check_length(a, path, size);
    if (gzclose(in) != Z_OK && s == WEFT_OK)
        s = weft__fail(WEFT_EFORMAT, "%.300s: damaged at its end", path);
    if (whole) {
        close(a->fd);
        a->fd = -1;
        a->offset = 0;
    }
    return s;
}

weft_status weft__idx_open(weft__idx *a, const char *path, bool all)
{
    int64_t size;
    *a = (weft__idx){.fd = -1};
    WEFT_TRY(weft__file_open(path, &a->fd, &size));
    weft_status s = read_all(a, path, all, size);
    if (s < 0)
        weft__idx_close(a);
    return s;
}

void weft__idx_close(weft__idx *a)
{
    if (a->fd >= 0)
        close(a->fd);
    weft__free(a->memory);
    *a = (weft__idx){.fd = -1};
}

static void swap_bytes(unsigned char *p, int64_t n, int wide)
{
    for (int64_t i = 0; i < n; i++, p += wide)
        for (int k = 0; k < wide / 2; k++) {
            unsigned char kept = p[k];
            p[k] = p[wide - 1 - k];
            p[wide - 1 - k] = kept;
        }
}

/* From the end, because the values grow. */
static void widen(unsigned char *out, int64_t n, int wide)
{
    for (int64_t i = n - 1; i >= 0; i--) {
        const unsigned char *p = out + i * wide;
        int32_t v = wide == 1 ? (int8_t)p[0] : (int16_t)(p[0] << 8 | p[1]);
        memcpy(out + i * 4, &v, sizeof v);
    }
}

void weft__idx_convert(const weft__idx *a, void *out, int64_t n)
{
    if (a->dtype == WEFT_I32 && a->wide < 4)
        widen(out, n, a->wide);
    else if (a->wide > 1)
        swap_bytes(out, n, a->wide);
}
