/* A shard: HDF5 structure built in memory, tensors written behind it by us. */
#include "checkpoint/shard.h"

#include "checkpoint/disk.h"
#include "checkpoint/image.h"
#include "core/alloc.h"
#include "core/error.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define TRIES 6 /* doublings of the room for structure */

/* What depends on names, types and counts alone. */
struct weft__layout {
    uint64_t key;
    void *image;
    int64_t bytes;   /* of the image */
    int64_t size;    /* of the file */
    uint64_t digest; /* of the image */
    size_t n;
    int64_t *offset; /* of each piece, in order */
};

int64_t weft__layout_bytes(const struct weft__layout *l)
{
    return l->bytes + (int64_t)(l->n * sizeof *l->offset);
}

void weft__layout_free(struct weft__layout *l)
{
    if (!l)
        return;
    weft__free(l->image);
    weft__free(l->offset);
    weft__free(l);
}

void weft__dataset_name(char name[WEFT__DATASET], const weft__manifest *m, size_t i, int64_t k)
{
    /* The number makes it unique. HDF5 splits names at '/', and virtual sources expand '%'. */
    snprintf(name, WEFT__DATASET, "%zu:%.100s:%lld", i, m->entry[i].name, (long long)k);
    for (char *p = name; *p; p++)
        if (*p == '/' || *p == '%')
            *p = '.';
}

static uint64_t key_of(const weft__manifest *m)
{
    char name[WEFT__DATASET];
    uint64_t h = m->n;
    for (size_t i = 0; i < m->n; i++)
        for (size_t k = 0; k < m->entry[i].npieces; k++) {
            const int64_t word[] = {m->entry[i].dtype, m->entry[i].piece[k].count};
            weft__dataset_name(name, m, i, (int64_t)k);
            h = XXH3_64bits_withSeed(name, strlen(name), h);
            h = XXH3_64bits_withSeed(word, sizeof word, h);
        }
    return h;
}

static size_t count_pieces(const weft__manifest *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++)
        n += m->entry[i].npieces;
    return n;
}

/* Contiguous, with its place in the file at once, and never written by HDF5. */
static hid_t raw_properties(void)
{
    hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    if (p >= 0 && H5Pset_layout(p, H5D_CONTIGUOUS) >= 0 &&
        H5Pset_alloc_time(p, H5D_ALLOC_TIME_EARLY) >= 0 &&
        H5Pset_fill_time(p, H5D_FILL_TIME_NEVER) >= 0)
        return p;
    return -1;
}

static weft_status add_dataset(hid_t file, hid_t raw, const char *name, weft_dtype t, int64_t count,
                               int64_t *offset)
{
    hsize_t n = (hsize_t)count;
    hid_t type = weft__image_type(t), space = H5Screate_simple(1, &n, NULL);
    hid_t d = H5Dcreate2(file, name, type, space, H5P_DEFAULT, raw, H5P_DEFAULT);
    haddr_t at = d >= 0 ? H5Dget_offset(d) : HADDR_UNDEF;
    *offset = (int64_t)at;
    H5Tclose(type);
    H5Sclose(space);
    if (d < 0 || H5Dclose(d) < 0 || at == HADDR_UNDEF)
        return weft__image_failed("place a data set");
    return WEFT_OK;
}

static weft_status add_datasets(hid_t file, const weft__manifest *m, struct weft__layout *l)
{
    char name[WEFT__DATASET];
    hid_t raw = raw_properties();
    weft_status s = raw < 0 ? weft__image_failed("describe a data set") : WEFT_OK;
    l->n = 0;
    l->size = 0;
    for (size_t i = 0; i < m->n && !s; i++) {
        const weft__entry *e = &m->entry[i];
        for (size_t k = 0; k < e->npieces && !s; k++, l->n++) {
            const weft__piece *p = &e->piece[k];
            weft__dataset_name(name, m, i, (int64_t)k);
            s = add_dataset(file, raw, name, e->dtype, p->count, &l->offset[l->n]);
            if (!s && l->offset[l->n] + weft__piece_bytes(e, p) > l->size)
                l->size = l->offset[l->n] + weft__piece_bytes(e, p);
        }
    }
    if (raw >= 0)
        H5Pclose(raw);
    return s;
}

/* True if the structure stayed in its block, in front of every tensor. */
static bool fits(const weft__image *g, const struct weft__layout *l)
{
    bool good = g->reallocs == 1;
    for (size_t i = 0; i < l->n; i++)
        good = good && l->offset[i] >= (int64_t)g->size;
    return good;
}

static weft_status build(const weft__manifest *m, size_t structure, struct weft__layout *l,
                         bool *good)
{
    weft__image g;
    WEFT_TRY(weft__image_open(&g, structure, structure));
    WEFT_TRY(weft__image_close(&g, add_datasets(g.file, m, l)));
    if ((*good = fits(&g, l))) {
        l->bytes = (int64_t)g.size;
        l->size = l->size > l->bytes ? l->size : l->bytes;
        l->digest = XXH3_64bits(g.bytes, g.size);
        if ((l->image = weft__new(g.size, 1)))
            memcpy(l->image, g.bytes, g.size);
    }
    weft__image_free(&g);
    return *good && !l->image ? WEFT_ENOMEM : WEFT_OK;
}

static weft_status build_layout(const weft__manifest *m, struct weft__layout *l)
{
    size_t n = count_pieces(m), structure = 65536 + n * 1024;
    bool good = false;
    if (!(l->offset = weft__new(n, sizeof *l->offset)))
        return WEFT_ENOMEM;
    for (int i = 0; i < TRIES && !good; i++, structure *= 2)
        WEFT_TRY(build(m, structure, l, &good));
    return good ? WEFT_OK
                : weft__fail(WEFT_ENOTSUP,
                             "this HDF5 mixes structure and data; %zu data sets do "
                             "not fit",
                             n);
}

/* The layout of m's pieces: the last save's if it is the same. */
static weft_status find_layout(weft__checkpoint *c, const weft__manifest *m)
{
    uint64_t key = key_of(m);
    struct weft__layout *l;
    if (c->layout && c->layout->key == key && c->layout->n == count_pieces(m))
        return WEFT_OK;
    weft__layout_free(c->layout);
    c->layout = NULL;
    if (!(l = weft__new(1, sizeof *l)))
        return WEFT_ENOMEM;
    weft_status s = build_layout(m, l);
    l->key = key;
    if (s)
        weft__layout_free(l);
    else
        c->layout = l;
    return s;
}

/* n bytes at `skip` of a piece in memory: where they are, or a copy in the staging block. */
static weft_status fetch(const weft__checkpoint *c, const weft__piece *p, int64_t skip, int64_t n,
                         void *block, const void **from)
{
    weft_dev at = {p->data.addr + (uintptr_t)skip};
    const char *host = p->host ? (const char *)p->host + skip : NULL;
    if (!host && c->device->ops->immediate && c->device->ops->host)
        host = c->device->ops->host(c->device, at);
    *from = host ? host : block;
    return host ? WEFT_OK : c->device->ops->download(c->stream, block, at, (size_t)n);
}

static weft_status write_piece(const weft__checkpoint *c, weft__out *o, const weft__entry *e,
                               weft__piece *p, void *block)
{
    int64_t bytes = weft__piece_bytes(e, p);
    const void *from;
    for (int64_t i = 0; i * WEFT__BLOCK < bytes; i++) {
        int64_t skip = i * WEFT__BLOCK, n = bytes - skip < WEFT__BLOCK ? bytes - skip : WEFT__BLOCK;
        WEFT_TRY(fetch(c, p, skip, n, block, &from));
        p->digest[i] = XXH3_64bits(from, (size_t)n);
        WEFT_TRY(weft__out_write(o, from, n, p->offset + skip));
    }
    return WEFT_OK;
}

/* Between the image and the tensors, and between tensors, the file has holes or zeros. */
static weft_status write_all(const weft__checkpoint *c, weft__out *o, weft__manifest *m,
                             void *block)
{
    const struct weft__layout *l = c->layout;
    size_t at = 0;
    WEFT_TRY(weft__out_write(o, l->image, l->bytes, 0));
    for (size_t i = 0; i < m->n; i++)
        for (size_t k = 0; k < m->entry[i].npieces; k++) {
            weft__piece *p = &m->entry[i].piece[k];
            p->offset = l->offset[at++];
            WEFT_TRY(write_piece(c, o, &m->entry[i], p, block));
        }
    return WEFT_OK;
}

static weft_status write_shard(const weft__checkpoint *c, int dir, const char *where,
                               weft__manifest *m, void *block)
{
    weft__out o;
    weft__file *f = &m->file[c->comm->rank];
    weft__shard_name(f->name, m->id, c->comm->rank);
    f->size = c->layout->size;
    f->image = c->layout->bytes;
    f->digest = c->layout->digest;
    WEFT_TRY(weft__out_create(&o, dir, where, f->name, f->size));
    return weft__out_close(&o, write_all(c, &o, m, block));
}

weft_status weft__shard_write(weft__checkpoint *c, int dir, const char *where, weft__manifest *m)
{
    void *block;
    weft_status s;
    WEFT_TRY(find_layout(c, m));
    if (c->device) /* what is still queued may write to the tensors */
        WEFT_TRY(c->device->ops->sync(c->stream));
    if (!(block = weft__new((size_t)WEFT__BLOCK, 1)))
        return WEFT_ENOMEM;
    s = write_shard(c, dir, where, m, block);
    weft__free(block);
    return s;
}
