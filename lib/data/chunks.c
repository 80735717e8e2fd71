/* Rows of a chunked data set. A chunk is read, taken back through its filters into a place of the
 * worker's cache, and then gives all its rows that the batch asks for. */
#include "data/chunks.h"

#include "core/alloc.h"
#include "data/filters.h"
#include "data/place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void weft__chunks_free(weft__chunks *c)
{
    weft__free(c->at);
    c->at = NULL;
}

/* zlib's memory is ours too, so that its failures are told like others. */
static void *zip_alloc(void *self, unsigned n, unsigned size)
{
    (void)self;
    return weft__new(n, size);
}

static void zip_free(void *self, void *p)
{
    (void)self;
    weft__free(p);
}

weft_status weft__chunk_cache_open(weft__chunk_cache *c, const weft__chunks *of, int64_t bytes)
{
    int64_t fit = of->bytes > 0 ? bytes / of->bytes : 1;
    c->of = of;
    if (of->whole)
        return WEFT_OK;
    c->places = fit > of->n ? of->n : fit;
    c->places = c->places < of->across ? of->across : c->places;
    c->zip.zalloc = zip_alloc;
    c->zip.zfree = zip_free;
    size_t room = (size_t)(of->bytes > of->most ? of->bytes : of->most) + WEFT__FILTERS * 4;
    c->holds = weft__new((size_t)c->places, sizeof *c->holds);
    c->memory = c->holds ? weft__new((size_t)c->places, (size_t)of->bytes) : NULL;
    c->packed = c->memory ? weft__new(1, room) : NULL;
    c->spare = c->packed ? weft__new(1, room) : NULL;
    if (!c->spare)
        return WEFT_ENOMEM;
    for (int64_t i = 0; i < c->places; i++)
        c->holds[i] = -1;
    c->zipped = inflateInit(&c->zip) == Z_OK;
    return c->zipped ? WEFT_OK : weft__fail(WEFT_ENOMEM, "no memory for inflating chunks");
}

void weft__chunk_cache_close(weft__chunk_cache *c)
{
    if (c->zipped)
        inflateEnd(&c->zip);
    weft__free(c->holds);
    weft__free(c->memory);
    weft__free(c->packed);
    weft__free(c->spare);
    *c = (weft__chunk_cache){0};
}

static weft_status damaged(const weft__chunks *c, int64_t number, const char *how, char *why,
                           size_t why_size)
{
    const weft__chunk_at *at = &c->at[number];
    int64_t first = number / c->across * c->chunk[0], end = first + c->chunk[0];
    snprintf(why, why_size,
             "chunk %lld (rows %lld to %lld, %lld bytes at %lld of the file) %s; copy or write the "
             "file again",
             (long long)number, (long long)first,
             (long long)(end < c->dim[0] ? end : c->dim[0]) - 1, (long long)at->bytes,
             (long long)at->offset, how);
    return WEFT_EFORMAT;
}

/* The filters backwards, from packed by way of spare to `plain`, where the last one writes. */
static const char *unpack(weft__chunk_cache *c, int64_t number, char *plain)
{
    const weft__chunks *of = c->of;
    const weft__chunk_at *at = &of->at[number];
    char *in = c->packed, *out = c->spare, *was;
    int64_t n = at->bytes, room = of->bytes + WEFT__FILTERS * 4;
    for (int i = of->filters - 1; i >= 0; i--) {
        if (at->skipped >> i & 1)
            continue;
        const char *how = weft__unfilter(of->filter[i], &c->zip, of->element, in, &n, out, room);
        if (how)
            return how;
        if (of->filter[i] == WEFT__FLETCHER32)
            continue; /* it took its sum off, in place */
        was = in;
        in = out;
        out = was;
    }
    if (n != of->bytes)
        return "has another size than its shape says";
    memcpy(plain, in, (size_t)n);
    return NULL;
}

static weft_status load(weft__chunk_cache *c, int64_t number, char **plain, char *why,
                        size_t why_size)
{
    const weft__chunk_at *at = &c->of->at[number];
    int64_t place = number % c->places;
    *plain = c->memory + place * c->of->bytes;
    if (c->holds[place] == number)
        return WEFT_OK;
    c->holds[place] = -1;
    int64_t got = weft__file_read(c->of->fd, c->packed, at->bytes, at->offset);
    if (got < 0) {
        snprintf(why, why_size, "chunk %lld: pread of %lld bytes at %lld: %s", (long long)number,
                 (long long)at->bytes, (long long)at->offset, strerror(errno));
        return WEFT_EIO;
    }
    if (got < at->bytes)
        return damaged(c->of, number, "ends after the file's end: the file became shorter", why,
                       why_size);
    const char *how = unpack(c, number, *plain);
    if (how)
        return damaged(c->of, number, how, why, why_size);
    c->holds[place] = number;
    return WEFT_OK;
}

/* Copies the part of one row that lies in a chunk whose corner in dimensions 1... is at[]: runs
 * along the last dimension, the others counted up like the digits of a number. */
static void copy_part(const weft__chunks *c, const int64_t *at, int64_t in_chunk, const char *plain,
                      char *row)
{
    int64_t i[WEFT_MAX_RANK] = {0}, extent[WEFT_MAX_RANK];
    int last = c->rank - 1;
    for (int d = 1; d < c->rank; d++) {
        int64_t left = c->dim[d] - at[d];
        extent[d] = left < c->chunk[d] ? left : c->chunk[d];
    }
    for (int d = last; d > 0;) {
        int64_t from = in_chunk, to = 0;
        for (int k = 1; k < c->rank; k++) {
            from = from * c->chunk[k] + i[k];
            to = to * c->dim[k] + at[k] + i[k];
        }
        memcpy(row + to * c->element, plain + from * c->element,
               (size_t)(extent[last] * c->element));
        for (d = last - 1; d > 0 && ++i[d] == extent[d]; d--)
            i[d] = 0;
    }
    if (last == 0)
        memcpy(row, plain + in_chunk * c->element, (size_t)c->element);
}

/* All rows of the batch from `from` on that lie in the chunks of that row. */
static weft_status read_band(weft__chunk_cache *cache, const int64_t *row, int64_t n, int64_t from,
                             int64_t width, char *out, char *why, size_t why_size)
{
    const weft__chunks *c = cache->of;
    int64_t band = row[from] / c->chunk[0], low = band * c->chunk[0];
    for (int64_t k = 0; k < c->across; k++) {
        int64_t at[WEFT_MAX_RANK] = {0}, rest = k;
        char *plain;
        WEFT_TRY(load(cache, band * c->across + k, &plain, why, why_size));
        for (int d = c->rank - 1; d > 0; d--) {
            at[d] = rest % c->grid[d] * c->chunk[d];
            rest /= c->grid[d];
        }
        for (int64_t i = from; i < n; i++)
            if (row[i] >= low && row[i] < low + c->chunk[0])
                copy_part(c, at, row[i] - low, plain, out + i * width);
    }
    return WEFT_OK;
}

/* Rows that lie whole and plain in their chunks are read there, and not kept. */
static weft_status read_whole(const weft__chunks *c, const int64_t *row, int64_t n, int64_t width,
                              char *out, char *why, size_t why_size)
{
    for (int64_t i = 0, run; i < n; i += run) {
        int64_t number = row[i] / c->chunk[0], first = number * c->chunk[0];
        const weft__place place = {.fd = c->fd,
                                   .offset = c->at[number].offset - first * width,
                                   .step = width,
                                   .width = width};
        for (run = 1;
             i + run < n && row[i + run] == row[i] + run && row[i + run] < first + c->chunk[0];)
            run++;
        WEFT_TRY(weft__place_run(&place, row[i], run, out + i * width, why, why_size));
    }
    return WEFT_OK;
}

/* Whether an earlier row of the batch has brought row[i] with it. */
static bool is_there(const weft__chunks *c, const int64_t *row, int64_t i)
{
    int64_t low = row[i] - row[i] % c->chunk[0], high = low + c->chunk[0], j = i - 1;
    while (j >= 0 && (row[j] < low || row[j] >= high))
        j--;
    return j >= 0;
}

weft_status weft__chunk_read(weft__chunk_cache *cache, const int64_t *row, int64_t n, char *out,
                             char *why, size_t why_size)
{
    const weft__chunks *c = cache->of;
    int64_t width = c->element;
    for (int d = 1; d < c->rank; d++)
        width *= c->dim[d];
    if (c->whole && width > 0)
        return read_whole(c, row, n, width, out, why, why_size);
    for (int64_t i = 0; width > 0 && i < n; i++)
        if (!is_there(c, row, i))
            WEFT_TRY(read_band(cache, row, n, i, width, out, why, why_size));
    return WEFT_OK;
}
