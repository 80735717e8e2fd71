/* A data set in the caller's memory. */
#include "core/alloc.h"
#include "core/shape.h"
#include "data/make.h"

#include <string.h>

typedef struct arrays {
    const char *data[WEFT_FIELDS];
    size_t width[WEFT_FIELDS]; /* bytes of a row */
} arrays;

static weft_status read(void *self, int field, const int64_t *row, int64_t n, void *out, char *why,
                        size_t why_size)
{
    const arrays *a = self;
    size_t width = a->width[field];
    (void)why;
    (void)why_size;
    for (int64_t i = 0, run; i < n; i += run) {
        for (run = 1; i + run < n && row[i + run] == row[i] + run;)
            run++;
        memcpy((char *)out + (size_t)i * width, a->data[field] + (size_t)row[i] * width,
               (size_t)run * width);
    }
    return WEFT_OK;
}

static const weft_dataset_ops ops = {
    .size = sizeof ops,
    .name = "arrays",
    .read = read,
    .destroy = weft__free,
};

static weft_status check(int64_t rows, const void *x, int xrank, const int64_t *xshape)
{
    if (rows < 0 || (rows > 0 && !x) || (xrank > 0 && !xshape))
        return weft__fail(WEFT_EARG, "weft_loader_arrays: %lld rows at %s", (long long)rows,
                          x ? "an address" : "NULL");
    if (xrank < 0 || xrank >= WEFT_MAX_RANK || weft__numel(xrank, xshape) < 0)
        return weft__fail(
            WEFT_ESHAPE,
            "weft_loader_arrays: rows of x have %d dimensions or a bad extent; 0 to %d "
            "dimensions can be",
            xrank, WEFT_MAX_RANK - 1);
    return WEFT_OK;
}

weft_loader *weft_loader_arrays(weft_fabric *f, int64_t rows, const void *x, int xrank,
                                const int64_t *xshape, weft_dtype xtype, const void *y,
                                weft_dtype ytype, const weft_loader_options *o)
{
    static const char *const name[WEFT_FIELDS] = {"x", "y"};
    if (!f)
        return NULL;
    weft_dtype real = f->dtype ? f->dtype : WEFT_F32;
    weft_field field[WEFT_FIELDS] = {
        {.present = true, .dtype = xtype ? xtype : real, .rank = xrank},
        {.present = y != NULL, .dtype = ytype ? ytype : real}};
    weft_status s = check(rows, x, xrank, xshape);
    arrays *a = s == WEFT_OK ? weft__new(1, sizeof *a) : NULL;
    if (!a) {
        weft__stick(f, s < 0 ? s : WEFT_ENOMEM);
        return NULL;
    }
    if (xrank > 0)
        memcpy(field[0].shape, xshape, (size_t)xrank * sizeof *xshape);
    a->data[0] = x;
    a->data[1] = y;
    for (int k = 0; k < WEFT_FIELDS; k++)
        a->width[k] =
            (size_t)weft__numel(field[k].rank, field[k].shape) * weft_dtype_size(field[k].dtype);
    weft_loader *l = weft__loader_make(f, &ops, a, rows, field, "arrays", name, o);
    if (!l)
        weft__free(a);
    return l;
}
