/* HDF5's standard filters, backwards: inflate (RFC 1950), the shuffle of the bytes of elements, and
 * the Fletcher-32 sum, as "HDF5 File Format Specification", IV.A.2.l, numbers them. */
#include "data/filters.h"

#include <string.h>

static const char *inflate_all(z_stream *zip, char *in, int64_t *n, char *out, int64_t room)
{
    if (*n > UINT32_MAX || room > UINT32_MAX || inflateReset(zip) != Z_OK)
        return "is too large to be inflated";
    zip->next_in = (unsigned char *)in;
    zip->avail_in = (unsigned)*n;
    zip->next_out = (unsigned char *)out;
    zip->avail_out = (unsigned)room;
    int code = inflate(zip, Z_FINISH);
    if (code != Z_STREAM_END)
        return code == Z_BUF_ERROR && !zip->avail_out ? "inflates to more than its shape says"
                                                      : "cannot be inflated: it is damaged";
    *n = room - (int64_t)zip->avail_out;
    return NULL;
}

/* Byte b of element i stands at b * count + i; what does not fill an element is at the end. */
static void unshuffle(int64_t element, const char *in, int64_t n, char *out)
{
    int64_t count = n / element;
    for (int64_t b = 0; b < element; b++)
        for (int64_t i = 0; i < count; i++)
            out[i * element + b] = in[b * count + i];
    memcpy(out + count * element, in + count * element, (size_t)(n % element));
}

/* Over 16-bit words, high byte first, modulo 2^16 - 1. */
static uint32_t fletcher32(const unsigned char *p, int64_t n)
{
    uint64_t a = 0, b = 0;
    for (int64_t i = 0; i < n; i += 2) {
        a += (uint32_t)p[i] << 8 | (i + 1 < n ? p[i + 1] : 0u);
        b += a;
        if (i % 8192 == 8190) { /* seldom: 4096 words do not overflow */
            a %= 65535;
            b %= 65535;
        }
    }
    return (uint32_t)(b % 65535 << 16 | a % 65535);
}

/* HDF5 folds where we divide, so that 0 may stand as 65535 there. */
static int same_sum(uint32_t x, uint32_t y)
{
    return (x >> 16) % 65535 == (y >> 16) % 65535 && (x & 65535) % 65535 == (y & 65535) % 65535;
}

static const char *check_sum(const char *in, int64_t *n)
{
    const unsigned char *p = (const unsigned char *)in + *n - 4;
    if (*n < 4)
        return "is shorter than its checksum";
    *n -= 4;
    uint32_t stored = p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
    return same_sum(stored, fletcher32((const unsigned char *)in, *n))
               ? NULL
               : "has a wrong checksum: it is damaged";
}

const char *weft__unfilter(int filter, z_stream *zip, int64_t element, char *in, int64_t *n,
                           char *out, int64_t room)
{
    if (filter == WEFT__DEFLATE)
        return inflate_all(zip, in, n, out, room);
    if (filter == WEFT__FLETCHER32)
        return check_sum(in, n);
    if (*n > room)
        return "is larger than its shape says";
    unshuffle(element, in, *n, out);
    return NULL;
}
