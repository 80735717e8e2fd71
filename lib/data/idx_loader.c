/* Loaders over IDX files. */
#include "core/alloc.h"
#include "core/shape.h"
#include "data/idx.h"
#include "data/make.h"
#include "data/place.h"

#include <stdio.h>
#include <string.h>

typedef struct images {
    weft__idx file[2];
    weft__place place[2];
    int64_t width[2]; /* values of a row */
} images;

static weft_status read_rows(void *self, int field, const int64_t *row, int64_t n, void *out,
                             char *why, size_t why_size)
{
    const images *m = self;
    WEFT_TRY(weft__place_read(&m->place[field], row, n, out, why, why_size));
    weft__idx_convert(&m->file[field], out, n * m->width[field]);
    return WEFT_OK;
}

static void destroy(void *self)
{
    images *m = self;
    weft__idx_close(&m->file[0]);
    weft__idx_close(&m->file[1]);
    weft__free(m);
}

static const weft_dataset_ops ops = {
    .size = sizeof ops, .name = "idx", .read = read_rows, .destroy = destroy};

static weft_status open_field(images *m, int k, const char *path, weft_field *field)
{
    weft__idx *a = &m->file[k];
    WEFT_TRY(weft__idx_open(a, path, false));
    *field = (weft_field){.present = true, .dtype = a->dtype, .rank = a->rank - 1};
    memcpy(field->shape, a->dim + 1, (size_t)field->rank * sizeof *field->shape);
    m->width[k] = weft__numel(field->rank, field->shape);
    int64_t width = m->width[k] * a->wide;
    m->place[k] = (weft__place){
        .fd = a->fd, .memory = a->memory, .offset = a->offset, .step = width, .width = width};
    return WEFT_OK;
}

static weft_status open_both(images *m, const char *x, const char *y, weft_field field[2])
{
    if (!x)
        return weft__fail(WEFT_EARG, "weft_loader_idx: the path of x is NULL");
    WEFT_TRY(open_field(m, 0, x, &field[0]));
    if (!y)
        return WEFT_OK;
    WEFT_TRY(open_field(m, 1, y, &field[1]));
    return m->file[0].dim[0] == m->file[1].dim[0]
               ? WEFT_OK
               : weft__fail(WEFT_EFORMAT, "%.200s has %lld rows, %.200s has %lld", x,
                            (long long)m->file[0].dim[0], y, (long long)m->file[1].dim[0]);
}

weft_loader *weft_loader_idx(weft_fabric *f, const char *x, const char *y,
                             const weft_loader_options *o)
{
    weft_field field[WEFT_FIELDS] = {{0}};
    if (!f)
        return NULL;
    images *m = weft__new(1, sizeof *m);
    if (m)
        m->file[0].fd = m->file[1].fd = -1;
    weft_status s = m ? open_both(m, x, y, field) : WEFT_ENOMEM;
    weft_loader *l = NULL;
    if (s < 0)
        weft__stick(f, s);
    else
        l = weft__loader_make(f, &ops, m, m->file[0].dim[0], y ? 2 : 1, field, x, NULL, o);
    if (!l && m)
        destroy(m);
    return l;
}
