/* checkpoint.h5: a virtual data set a tensor, for people and tools. Sources are named relative to
 * it, so that a checkpoint may be moved. */
#include "checkpoint/disk.h"
#include "checkpoint/image.h"
#include "checkpoint/shard.h"
#include "checkpoint/slabs.h"
#include "core/error.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define TRIES 8
#define WIDEST ((int64_t)1 << 32) /* HDF5 1.10 refuses irregular selections beyond */

/* What a shard that is missing reads as: never zeros. */
static herr_t set_fill(hid_t properties, weft_dtype t)
{
    const double nan_value = NAN;
    const int64_t lowest = t == WEFT_I32 ? INT32_MIN : t == WEFT_I64 ? INT64_MIN : 0;
    bool whole = t == WEFT_I32 || t == WEFT_I64 || t == WEFT_U8;
    return whole ? H5Pset_fill_value(properties, H5T_NATIVE_INT64, &lowest)
                 : H5Pset_fill_value(properties, H5T_NATIVE_DOUBLE, &nan_value);
}

struct view {
    const weft__manifest *m;
    const weft__entry *e;
    int rank; /* as shown: a tensor without dimensions has one of extent 1 */
    hsize_t shape[WEFT_MAX_RANK];
    bool pieces; /* a mapping a box instead of one a slab */
    hid_t space, properties;
};

static void shape_view(struct view *v, const weft__manifest *m, const weft__entry *e)
{
    v->m = m;
    v->e = e;
    v->rank = e->rank ? e->rank : 1;
    v->shape[0] = 1;
    v->pieces = false;
    for (int d = 0; d < e->rank; d++) {
        v->shape[d] = (hsize_t)e->shape[d];
        v->pieces = v->pieces || (e->rank > 1 && e->shape[d] > WIDEST);
    }
}

static herr_t select_box(const struct view *v, const weft__box *box, H5S_seloper_t op)
{
    hsize_t start[WEFT_MAX_RANK], extent[WEFT_MAX_RANK];
    for (int d = 0; d < v->rank; d++) {
        start[d] = (hsize_t)box->start[d];
        extent[d] = (hsize_t)box->extent[d];
    }
    return H5Sselect_hyperslab(v->space, op, start, NULL, extent, NULL);
}

/* Maps a slab, which HDF5 takes in row-major order, on the boxes that it is. */
static herr_t map_piece(const struct view *v, const weft__piece *p, const char *dataset)
{
    const char *file = v->m->file[p->shard].name;
    hsize_t count = (hsize_t)p->count;
    int64_t shape[WEFT_MAX_RANK], at = 0;
    hid_t source = H5Screate_simple(1, &count, NULL);
    herr_t bad = source < 0 ? -1 : 0;
    for (int d = 0; d < v->rank; d++)
        shape[d] = (int64_t)v->shape[d];
    while (at < p->count && bad >= 0) {
        weft__box box = weft__first_box(v->rank, shape, p->first + at, p->count - at);
        hsize_t from = (hsize_t)at, n = (hsize_t)box.count;
        bad = select_box(v, &box, at && !v->pieces ? H5S_SELECT_OR : H5S_SELECT_SET);
        if (v->pieces && bad >= 0 &&
            (bad = H5Sselect_hyperslab(source, H5S_SELECT_SET, &from, NULL, &n, NULL)) >= 0)
            bad = H5Pset_virtual(v->properties, v->space, file, dataset, source);
        at += box.count;
    }
    if (!v->pieces && bad >= 0)
        bad = H5Pset_virtual(v->properties, v->space, file, dataset, source);
    H5Sclose(source);
    return bad;
}

/* Maps the slabs of one owner, or all if owner < 0. */
static herr_t map_pieces(const struct view *v, int owner)
{
    char dataset[WEFT__DATASET];
    const weft__entry *e = v->e;
    herr_t bad = 0;
    for (size_t k = 0; k < e->npieces && bad >= 0; k++) {
        const weft__piece *p = &e->piece[k];
        if (owner >= 0 && p->shard != owner)
            continue;
        weft__dataset_name(dataset, v->m, (size_t)(e - v->m->entry), p->number);
        bad = map_piece(v, p, dataset);
    }
    return bad;
}

static herr_t create(hid_t file, const char *name, const struct view *v, hid_t type)
{
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    hid_t d;
    H5Pset_create_intermediate_group(links, 1);
    H5Sselect_all(v->space);
    d = H5Dcreate2(file, name, type, v->space, links, v->properties, H5P_DEFAULT);
    H5Pclose(links);
    return d < 0 ? -1 : H5Dclose(d);
}

static weft_status add_view(hid_t file, const weft__manifest *m, const weft__entry *e, int owner)
{
    struct view v;
    char name[700], flat[WEFT__DATASET];
    hid_t type = weft__image_type(e->dtype);
    herr_t bad;
    shape_view(&v, m, e);
    v.space = H5Screate_simple(v.rank, v.shape, NULL);
    v.properties = H5Pcreate(H5P_DATASET_CREATE);
    bad = set_fill(v.properties, e->dtype);
    if (bad >= 0)
        bad = map_pieces(&v, owner);
    snprintf(name, sizeof name, owner < 0 ? "%s" : "%s@%05d", e->name, owner);
    /* A name that is another's group, or longer than ours may be, is shown by its number. */
    weft__dataset_name(flat, m, (size_t)(e - m->entry), owner < 0 ? 0 : owner);
    if (bad >= 0 && create(file, name, &v, type) < 0)
        bad = create(file, flat, &v, type);
    H5Pclose(v.properties);
    H5Sclose(v.space);
    H5Tclose(type);
    return bad < 0 ? weft__image_failed("index a tensor") : WEFT_OK;
}

static weft_status add_views(hid_t file, const weft__manifest *m)
{
    for (size_t i = 0; i < m->n; i++) {
        const weft__entry *e = &m->entry[i];
        if (e->kind != WEFT_STATE_TENSOR)
            continue;
        if (e->placement != WEFT_PER_RANK)
            WEFT_TRY(add_view(file, m, e, -1));
        for (int r = 0; e->placement == WEFT_PER_RANK && r < m->world; r++)
            WEFT_TRY(add_view(file, m, e, r));
    }
    return WEFT_OK;
}

/* Bytes of groups and headers, and of the heaps that hold a mapping a slab. */
static void estimate(const weft__manifest *m, size_t *headers, size_t *heaps)
{
    *headers = *heaps = 16384;
    for (size_t i = 0; i < m->n; i++) {
        const weft__entry *e = &m->entry[i];
        size_t name = strlen(e->name), sides = 2 * (size_t)(e->rank ? e->rank : 1);
        *headers += 2048 + 4 * name;
        *heaps += 256 + e->npieces * (192 + name + 8 * sides * sides);
    }
}

static weft_status write_index(int dir, const char *where, weft__manifest *m, const weft__image *g)
{
    snprintf(m->index.name, sizeof m->index.name, WEFT__INDEX);
    m->index.size = m->index.image = (int64_t)g->size;
    m->index.digest = XXH3_64bits(g->bytes, g->size);
    return weft__write_file(dir, where, WEFT__INDEX, g->bytes, m->index.size);
}

weft_status weft__index_write(int dir, const char *where, weft__manifest *m)
{
    weft__image g = {.reallocs = 0};
    size_t headers, heaps;
    estimate(m, &headers, &heaps);
    /* Structure that did not fit is in the image too; but the buffer must not grow at the end,
     * where HDF5 would not survive that there is no memory. */
    for (int i = 0; i < TRIES && g.reallocs != 1; i++, headers *= 2, heaps *= 2) {
        weft__image_free(&g);
        WEFT_TRY(weft__image_open(&g, headers, headers + heaps));
        WEFT_TRY(weft__image_close(&g, add_views(g.file, m)));
    }
    weft_status s = write_index(dir, where, m, &g);
    weft__image_free(&g);
    return s;
}
