/* A data set in the caller's memory. */
#include "core/alloc.h"
#include "core/shape.h"
#include "data/make.h"
#include "data/place.h"

#include <string.h>

typedef struct arrays {
    weft__place place[WEFT_FIELDS];
} arrays;

static weft_status read(void *self, int field, const int64_t *row, int64_t n, void *out, char *why,
                        size_t why_size)
{
    const arrays *a = self;
    return weft__place_read(&a->place[field], row, n, out, why, why_size);
}

static const weft_dataset_ops ops = {
    .size = sizeof ops,
    .name = "arrays",
    .read = read,
    .destroy = weft__free,
};

static weft_status check(int64_t rows, const weft_array *a, const char *name)
{
    if (rows < 0 || (rows > 0 && !a->data))
        return weft__fail(WEFT_EARG, "weft_loader_arrays: %lld rows of %s at %s", (long long)rows,
                          name, a->data ? "an address" : "NULL");
    if (a->rank < 0 || a->rank >= WEFT_MAX_RANK || weft__numel(a->rank, a->shape) < 0)
        return weft__fail(
            WEFT_ESHAPE,
            "weft_loader_arrays: rows of %s have %d dimensions or a bad extent; 0 to %d "
            "dimensions can be",
            name, a->rank, WEFT_MAX_RANK - 1);
    return WEFT_OK;
}

static weft_status take(arrays *a, const weft_fabric *f, int64_t rows, int n,
                        const weft_array *array, weft_field *field)
{
    static const char *const standard[] = {"x", "y"};
    /* what parameters have, or f32: 16 bits come at the module's door */
    weft_dtype real = f->dtype == WEFT_F64 ? WEFT_F64 : WEFT_F32;
    for (int k = 0; k < n; k++) {
        const weft_array *from = &array[k];
        const char *name = from->name ? from->name : k < 2 ? standard[k] : "a field";
        WEFT_TRY(check(rows, from, name));
        field[k] = (weft_field){.present = true,
                                .dtype = from->dtype ? from->dtype : real,
                                .rank = from->rank,
                                .name = from->name};
        memcpy(field[k].shape, from->shape, sizeof field[k].shape);
        int64_t width =
            weft__numel(from->rank, from->shape) * (int64_t)weft_dtype_size(field[k].dtype);
        a->place[k] = (weft__place){.fd = -1, .memory = from->data, .step = width, .width = width};
    }
    return WEFT_OK;
}

weft_loader *weft_loader_fields(weft_fabric *f, int64_t rows, int fields, const weft_array *array,
                                const weft_loader_options *o)
{
    weft_field field[WEFT_FIELDS] = {{0}};
    const char *name[WEFT_FIELDS] = {NULL};
    if (!f)
        return NULL;
    weft_status s = WEFT_OK;
    if (fields < 1 || fields > WEFT_FIELDS || !array)
        s = weft__fail(WEFT_EARG, "weft_loader_fields: %d fields at %s; 1 to %d can be", fields,
                       array ? "an address" : "NULL", WEFT_FIELDS);
    arrays *a = s == WEFT_OK ? weft__new(1, sizeof *a) : NULL;
    if (s == WEFT_OK)
        s = a ? take(a, f, rows, fields, array, field) : WEFT_ENOMEM;
    for (int k = 0; k < WEFT_FIELDS; k++)
        name[k] = field[k].name;
    weft_loader *l = NULL;
    if (s < 0)
        weft__stick(f, s);
    else
        l = weft__loader_make(f, &ops, a, rows, fields, field, "arrays", name, o);
    if (!l) {
        weft__free(a);
        return NULL;
    }
    const weft_device *team = weft__loader_of_memory(l);
    for (int k = 0; k < WEFT_FIELDS; k++)
        a->place[k].team = team;
    return l;
}

weft_loader *weft_loader_arrays(weft_fabric *f, int64_t rows, const void *x, int xrank,
                                const int64_t *xshape, weft_dtype xtype, const void *y,
                                weft_dtype ytype, const weft_loader_options *o)
{
    weft_array array[2] = {{.data = x, .dtype = xtype, .rank = xrank}, {.data = y, .dtype = ytype}};
    if (!f)
        return NULL;
    if (xrank > 0 && xrank < WEFT_MAX_RANK && xshape)
        memcpy(array[0].shape, xshape, (size_t)xrank * sizeof *xshape);
    if (xrank > 0 && !xshape) {
        weft__stick(f, weft__fail(WEFT_EARG, "weft_loader_arrays: the shape of x is NULL"));
        return NULL;
    }
    return weft_loader_fields(f, rows, y ? 2 : 1, array, o);
}
