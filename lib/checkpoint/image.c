/* The core driver without a backing store, and image callbacks that keep the buffer at the end. */
#include "checkpoint/image.h"

#include "core/error.h"
#include "core/process.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN_FROM 65536 /* tensors of at least so many bytes */
#define ALIGN_TO 4096    /* start on a page */

static void *image_malloc(size_t n, H5FD_file_image_op_t op, void *self)
{
    weft__image *g = self;
    (void)op;
    g->bytes = calloc(1, n ? n : 1);
    g->size = g->bytes ? n : 0;
    return g->bytes;
}

static void *image_copy(void *to, const void *from, size_t n, H5FD_file_image_op_t op, void *self)
{
    (void)op;
    (void)self;
    return memcpy(to, from, n);
}

static void *image_realloc(void *p, size_t n, H5FD_file_image_op_t op, void *self)
{
    weft__image *g = self;
    size_t had = p ? g->size : 0;
    char *grown = realloc(p, n);
    (void)op;
    if (!grown)
        return NULL;
    if (n > had)
        memset(grown + had, 0, n - had);
    g->reallocs++;
    g->bytes = grown;
    g->size = n;
    return grown;
}

static herr_t image_free(void *p, H5FD_file_image_op_t op, void *self)
{
    weft__image *g = self;
    if (op != H5FD_FILE_IMAGE_OP_FILE_CLOSE) {
        free(p);
        g->bytes = g->bytes == p ? NULL : g->bytes;
    }
    return 0;
}

static void *self_copy(void *self)
{
    return self;
}

static herr_t self_free(void *self)
{
    (void)self;
    return 0;
}

weft_status weft__image_failed(const char *what)
{
    return weft__fail(WEFT_ENOMEM, "HDF5 cannot %s in memory", what);
}

static hid_t access_list(weft__image *g, size_t headers, size_t whole)
{
    H5FD_file_image_callbacks_t call = {
        image_malloc, image_copy, image_realloc, image_free, self_copy, self_free, g};
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    if (list >= 0 && H5Pset_fapl_core(list, whole, 0) >= 0 &&
        H5Pset_meta_block_size(list, headers) >= 0 &&
        H5Pset_alignment(list, ALIGN_FROM, ALIGN_TO) >= 0 &&
        H5Pset_file_image_callbacks(list, &call) >= 0)
        return list;
    if (list >= 0)
        H5Pclose(list);
    return -1;
}

static void leave(weft__image *g)
{
    H5Eset_auto2(H5E_DEFAULT, g->print, g->print_data);
    weft__process_hdf5_unlock();
}

weft_status weft__image_open(weft__image *g, size_t headers, size_t whole)
{
    *g = (weft__image){.file = -1};
    weft__process_hdf5_lock();
    H5open();
    H5Eget_auto2(H5E_DEFAULT, &g->print, &g->print_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    g->access = access_list(g, headers, whole);
    if (g->access >= 0)
        g->file = H5Fcreate("weft", H5F_ACC_TRUNC, H5P_DEFAULT, g->access);
    if (g->file >= 0)
        return WEFT_OK;
    if (g->access >= 0)
        H5Pclose(g->access);
    leave(g);
    return weft__image_failed("make a file");
}

weft_status weft__image_close(weft__image *g, weft_status s)
{
    if (H5Fclose(g->file) < 0 && s >= 0)
        s = weft__image_failed("close a file");
    H5Pclose(g->access);
    leave(g);
    if (s < 0)
        weft__image_free(g);
    return s;
}

void weft__image_free(weft__image *g)
{
    free(g->bytes);
    g->bytes = NULL;
    g->size = 0;
}

/* Sign, exponent and mantissa of the 16-bit floats, as HDF5 wants them. */
static hid_t float16(size_t exponent, size_t mantissa)
{
    hid_t t = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(t, 15, mantissa, exponent, 0, mantissa);
    H5Tset_size(t, 2);
    H5Tset_ebias(t, ((size_t)1 << (exponent - 1)) - 1);
    return t;
}

hid_t weft__image_type(weft_dtype t)
{
    switch (t) {
    case WEFT_F32:
        return H5Tcopy(H5T_IEEE_F32LE);
    case WEFT_F64:
        return H5Tcopy(H5T_IEEE_F64LE);
    case WEFT_F16:
        return float16(5, 10);
    case WEFT_BF16:
        return float16(8, 7);
    case WEFT_I32:
        return H5Tcopy(H5T_STD_I32LE);
    case WEFT_I64:
        return H5Tcopy(H5T_STD_I64LE);
    case WEFT_U8:
        return H5Tcopy(H5T_STD_U8LE);
    default:
        return -1;
    }
}
