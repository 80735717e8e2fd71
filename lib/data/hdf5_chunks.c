/* A chunked HDF5 data set's layout: shape of the chunks, filters, and where each chunk lies. */
#include "core/alloc.h"
#include "data/filters.h"
#include "data/hdf5.h"

#include <string.h>

static weft_status read_filters(const weft__hdf5 *h, const char *name, hid_t plist, weft__chunks *c)
{
    int n = H5Pget_nfilters(plist);
    for (int i = 0; i < n; i++) {
        unsigned flags, config, values[8] = {0};
        size_t nvalues = 8;
        char text[80] = "";
        int filter = (int)H5Pget_filter2(plist, (unsigned)i, &flags, &nvalues, values, sizeof text,
                                         text, &config);
        bool known =
            filter == WEFT__DEFLATE || filter == WEFT__SHUFFLE || filter == WEFT__FLETCHER32;
        if (!known || n > WEFT__FILTERS)
            return weft__fail(WEFT_ENOTSUP,
                              "%.200s: data set %.60s is written with filter %d (%.70s); shuffle, "
                              "deflate and fletcher32 can be read: h5repack -f %.60s:GZIP=4",
                              h->path, name, filter, text[0] ? text : "no name", name);
        c->filter[c->filters++] = filter;
    }
    return WEFT_OK;
}

static weft_status read_grid(const weft__hdf5 *h, const char *name, hid_t plist, weft__set *out)
{
    weft__chunks *c = &out->chunks;
    hsize_t chunk[H5S_MAX_RANK];
    unsigned options = 0;
    bool good = H5Pget_chunk(plist, H5S_MAX_RANK, chunk) == out->field.rank + 1;
    c->fd = h->fd;
    c->rank = out->field.rank + 1;
    c->element = (int64_t)weft_dtype_size(out->field.dtype);
    c->bytes = c->element;
    c->across = 1;
    for (int d = 0; d < c->rank && good; d++) {
        c->dim[d] = d ? out->field.shape[d - 1] : out->rows;
        c->chunk[d] = (int64_t)chunk[d];
        good = chunk[d] > 0 && chunk[d] <= UINT32_MAX;
        good = good && !__builtin_mul_overflow(c->bytes, c->chunk[d], &c->bytes);
        c->grid[d] = good ? (c->dim[d] + c->chunk[d] - 1) / c->chunk[d] : 0;
        good = good && !(d && __builtin_mul_overflow(c->across, c->grid[d], &c->across));
    }
    good = good && !__builtin_mul_overflow(c->grid[0], c->across, &c->n);
    if (!good || c->bytes > UINT32_MAX)
        return weft__hdf5_foreign(h->path, name);
#if H5_VERSION_GE(1, 10, 0)
    if (H5Pget_chunk_opts(plist, &options) < 0)
        return weft__hdf5_foreign(h->path, name);
#endif
    return options == 0
               ? WEFT_OK
               : weft__fail(WEFT_ENOTSUP,
                            "%.200s: data set %.80s leaves its partial chunks out of the filters; "
                            "h5repack writes a file without that",
                            h->path, name);
}

weft_status weft__hdf5_chunk(const weft__hdf5 *h, const char *name, weft__chunks *c,
                             const hsize_t *offset, unsigned skipped, haddr_t at, hsize_t bytes)
{
    int64_t number = 0, end;
    for (int d = 0; d < c->rank; d++) {
        if (offset[d] >= (hsize_t)c->dim[d])
            return WEFT_OK; /* left over from when the data set was larger */
        number = number * c->grid[d] + (int64_t)offset[d] / c->chunk[d];
    }
    if (at > INT64_MAX || bytes > UINT32_MAX ||
        __builtin_add_overflow((int64_t)at, (int64_t)bytes, &end) || end > h->size)
        return weft__fail(WEFT_EFORMAT,
                          "%.200s: truncated, chunk %lld of data set %.80s ends after the file's "
                          "end",
                          h->path, (long long)number, name);
    c->at[number] = (weft__chunk_at){
        .offset = (int64_t)at, .bytes = (int64_t)bytes, .skipped = (uint32_t)skipped};
    c->most = (int64_t)bytes > c->most ? (int64_t)bytes : c->most;
    return WEFT_OK;
}

#if H5_VERSION_GE(1, 14, 0)
struct walk {
    const weft__hdf5 *h;
    const char *name;
    weft__chunks *c;
    weft_status s;
};

static int noted(const hsize_t *offset, unsigned skipped, haddr_t at, hsize_t bytes, void *walk)
{
    struct walk *w = walk;
    w->s = weft__hdf5_chunk(w->h, w->name, w->c, offset, skipped, at, bytes);
    return w->s < 0;
}

static weft_status find(const weft__hdf5 *h, const char *name, hid_t set, weft__chunks *c)
{
    struct walk w = {h, name, c, WEFT_OK};
    if (H5Dchunk_iter(set, H5P_DEFAULT, noted, &w) < 0)
        return weft__hdf5_foreign(h->path, name);
    return w.s;
}
#else
/* Each call walks the index from its beginning; the time grows with the square of the chunks. */
static weft_status find_in(const weft__hdf5 *h, const char *name, hid_t set, hid_t space,
                           weft__chunks *c)
{
    hsize_t n = 0, offset[H5S_MAX_RANK], bytes = 0;
    unsigned skipped = 0;
    haddr_t at = HADDR_UNDEF;
    if (H5Dget_num_chunks(set, space, &n) < 0)
        return weft__hdf5_foreign(h->path, name);
    for (hsize_t i = 0; i < n; i++) {
        if (H5Dget_chunk_info(set, space, i, offset, &skipped, &at, &bytes) < 0)
            return weft__hdf5_foreign(h->path, name);
        WEFT_TRY(weft__hdf5_chunk(h, name, c, offset, skipped, at, bytes));
    }
    return WEFT_OK;
}

static weft_status find(const weft__hdf5 *h, const char *name, hid_t set, weft__chunks *c)
{
    hid_t space = H5Dget_space(set);
    if (space < 0)
        return weft__hdf5_foreign(h->path, name);
    weft_status s = find_in(h, name, set, space, c);
    H5Sclose(space);
    return s;
}
#endif

/* Versions differ in whether the addresses of chunks count from the user block.
 * eight: the file has addresses and lengths of 8 bytes, as nearly all do. */
static weft_status check_file(const weft__hdf5 *h, const char *name, hid_t set, bool *eight)
{
    hsize_t block = 0;
    size_t address = 0, length = 0;
    hid_t file = H5Iget_file_id(set), plist = file < 0 ? -1 : H5Fget_create_plist(file);
    bool good = plist >= 0 && H5Pget_userblock(plist, &block) >= 0 &&
                H5Pget_sizes(plist, &address, &length) >= 0;
    if (plist >= 0)
        H5Pclose(plist);
    if (file >= 0)
        H5Fclose(file);
    if (!good)
        return weft__hdf5_foreign(h->path, name);
    *eight = address == 8 && length == 8;
    return block == 0 ? WEFT_OK
                      : weft__fail(WEFT_ENOTSUP,
                                   "%.200s: data set %.80s is chunked, in a file with a user block "
                                   "of %llu bytes; h5unjam takes that off",
                                   h->path, name, (unsigned long long)block);
}

/* From the file if it has the usual form, else from libhdf5. */
static weft_status locate(const weft__hdf5 *h, const char *name, hid_t set, bool eight,
                          weft__chunks *c)
{
    weft_status s = eight ? weft__hdf5_tree(h, name, set, c) : 1;
    return s > 0 ? find(h, name, set, c) : s;
}

weft_status weft__hdf5_chunks(const weft__hdf5 *h, const char *name, hid_t set, hid_t plist,
                              weft__set *out)
{
    weft__chunks *c = &out->chunks;
    bool eight = false;
    WEFT_TRY(check_file(h, name, set, &eight));
    WEFT_TRY(read_filters(h, name, plist, c));
    WEFT_TRY(read_grid(h, name, plist, out));
    if (!(c->at = weft__new((size_t)c->n, sizeof *c->at)))
        return WEFT_ENOMEM;
    WEFT_TRY(locate(h, name, set, eight, c));
    c->whole = c->filters == 0;
    for (int d = 1; d < c->rank; d++)
        c->whole &= c->chunk[d] == c->dim[d];
    for (int64_t i = 0; i < c->n; i++)
        if (!c->at[i].bytes || (!c->filters && c->at[i].bytes != c->bytes))
            return weft__fail(WEFT_EFORMAT,
                              "%.200s: chunk %lld of data set %.80s was never written, or not "
                              "whole; write all rows",
                              h->path, (long long)i, name);
    return WEFT_OK;
}
