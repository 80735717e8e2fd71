/* An HDF5 file's structure, read once in the caller's thread: where the rows of each field lie. All
 * that makes rows anything but plain bytes at one place is refused here, with the cure. */
#include "core/alloc.h"
#include "core/process.h"
#include "core/shape.h"
#include "data/make.h"

#include <hdf5.h>
#include <stdio.h>
#include <string.h>

/* A field as the file has it. */
typedef struct found {
    weft_field field;
    int64_t rows, offset, width; /* width: bytes of a row */
} found;

static herr_t deepest(unsigned n, const H5E_error2_t *e, void *text)
{
    if (n == 0)
        snprintf(text, 160, "%s", e->desc ? e->desc : "");
    return 0;
}

/* A failure of libhdf5 itself, with the innermost of its reasons. */
static weft_status foreign(const char *path, const char *what)
{
    char text[160] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, deepest, text);
    return weft__fail(WEFT_EFORMAT, "%.200s: libhdf5 cannot read %.80s%s%s", path, what,
                      text[0] ? ": " : "", text);
}

static weft_status describe(const char *path, const char *name, hid_t type)
{
    static const char *const class_name[] = {
        "integer",  "float",     "time", "string",          "bit field", "opaque",
        "compound", "reference", "enum", "variable-length", "array"};
    int c = (int)H5Tget_class(type);
    bool number = c == H5T_INTEGER || c == H5T_FLOAT;
    const char *sign = c == H5T_INTEGER && H5Tget_sign(type) == H5T_SGN_2 ? "signed " : "";
    const char *order =
        number && H5Tget_size(type) > 1 && H5Tget_order(type) == H5T_ORDER_BE ? ", big-endian" : "";
    return weft__fail(WEFT_EDTYPE,
                      "%.200s: data set %.80s holds %s%s of %zu bytes%s; write it as u8, i32, i64, "
                      "f32 or f64 in this machine's byte order",
                      path, name, c == H5T_INTEGER && !*sign ? "unsigned " : sign,
                      c >= 0 && c < 11 ? class_name[c] : "something", H5Tget_size(type), order);
}

static weft_status read_type(const char *path, const char *name, hid_t set, weft_dtype *out)
{
    const struct {
        weft_dtype dtype;
        hid_t type;
    } known[] = {{WEFT_U8, H5T_NATIVE_UINT8},   {WEFT_I32, H5T_NATIVE_INT32},
                 {WEFT_I64, H5T_NATIVE_INT64},  {WEFT_F32, H5T_NATIVE_FLOAT},
                 {WEFT_F64, H5T_NATIVE_DOUBLE}, {WEFT_U8, H5T_STD_U8BE}};
    hid_t type = H5Dget_type(set);
    weft_status s = WEFT_EDTYPE;
    if (type < 0)
        return foreign(path, name);
    for (size_t i = 0; i < sizeof known / sizeof known[0] && s; i++)
        if (H5Tequal(type, known[i].type) > 0) {
            *out = known[i].dtype;
            s = WEFT_OK;
        }
    if (s)
        describe(path, name, type);
    H5Tclose(type);
    return s;
}

static weft_status read_shape(const char *path, const char *name, hid_t set, found *out)
{
    hsize_t dim[H5S_MAX_RANK] = {0};
    hid_t space = H5Dget_space(set);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, dim, NULL);
    if (space >= 0)
        H5Sclose(space);
    if (rank < 0)
        return foreign(path, name);
    if (rank < 1 || rank > WEFT_MAX_RANK)
        return weft__fail(
            WEFT_EFORMAT,
            "%.200s: data set %.80s has %d dimensions; rows along the first of 1 to %d "
            "are needed",
            path, name, rank, WEFT_MAX_RANK);
    for (int d = 0; d < rank; d++)
        if (dim[d] > INT64_MAX)
            return weft__fail(WEFT_EFORMAT, "%.200s: data set %.80s has an extent of %llu", path,
                              name, (unsigned long long)dim[d]);
    out->rows = (int64_t)dim[0];
    out->field.rank = rank - 1;
    for (int d = 1; d < rank; d++)
        out->field.shape[d - 1] = (int64_t)dim[d];
    return WEFT_OK;
}

static weft_status check_layout(const char *path, const char *name, hid_t set)
{
    hid_t plist = H5Dget_create_plist(set);
    if (plist < 0)
        return foreign(path, name);
    int layout = (int)H5Pget_layout(plist), filters = H5Pget_nfilters(plist);
    int outside = H5Pget_external_count(plist);
    H5Pclose(plist);
    const char *is = outside > 0                        ? "stored in other files"
                     : layout == H5D_CHUNKED && filters ? "chunked and compressed"
                     : layout == H5D_CHUNKED            ? "chunked"
                     : layout == H5D_COMPACT            ? "compact"
                     : layout == H5D_VIRTUAL            ? "virtual"
                                                        : NULL;
    if (is || layout != H5D_CONTIGUOUS)
        return weft__fail(
            WEFT_EFORMAT,
            "%.200s: data set %.60s is %s; its rows must lie in one piece: h5repack -f "
            "%.60s:NONE -l %.60s:CONTI %.80s NEW.h5",
            path, name, is ? is : "of an unknown layout", name, name, path);
    return WEFT_OK;
}

static weft_status check_place(const char *path, const char *name, hid_t set, int64_t size,
                               found *out)
{
    int64_t bytes, end;
    haddr_t at = H5Dget_offset(set);
    out->width = weft__numel(out->field.rank, out->field.shape);
    if (out->width < 0 ||
        __builtin_mul_overflow(out->width, (int64_t)weft_dtype_size(out->field.dtype),
                               &out->width) ||
        __builtin_mul_overflow(out->width, out->rows, &bytes))
        return weft__fail(WEFT_EFORMAT, "%.200s: data set %.80s is larger than any file", path,
                          name);
    if (bytes == 0)
        return WEFT_OK;
    if (at == HADDR_UNDEF || H5Dget_storage_size(set) != (hsize_t)bytes)
        return weft__fail(WEFT_EFORMAT, "%.200s: data set %.80s was made but never written", path,
                          name);
    if (at > INT64_MAX || __builtin_add_overflow((int64_t)at, bytes, &end) || end > size)
        return weft__fail(WEFT_EFORMAT,
                          "%.200s: truncated, data set %.80s ends %lld bytes after the file's end",
                          path, name, (long long)((int64_t)at - size + bytes));
    out->offset = (int64_t)at;
    return WEFT_OK;
}

/* Every step of the way must be a hard link: anything else may lead into another file.
 * WEFT_ENOENT without a message: there is no such link. */
static weft_status follow(const char *path, const char *name, hid_t file)
{
    char part[256];
    size_t n = strlen(name);
    H5L_info_t info;
    if (n == 0 || n >= sizeof part)
        return weft__fail(WEFT_EARG, "%.200s: a data set name of %zu bytes", path, n);
    for (size_t i = 1; i <= n; i++) {
        if (i < n && (name[i] != '/' || name[i - 1] == '/'))
            continue;
        memcpy(part, name, i);
        part[i] = '\0';
        if (strcmp(part, "/") == 0 || H5Lexists(file, part, H5P_DEFAULT) <= 0)
            return WEFT_ENOENT;
        if (H5Lget_info(file, part, &info, H5P_DEFAULT) < 0)
            return foreign(path, part);
        if (info.type != H5L_TYPE_HARD)
            return weft__fail(WEFT_EFORMAT,
                              "%.200s: %.80s is a soft or external link; name the data set itself, "
                              "in the file that holds it",
                              path, part);
    }
    return WEFT_OK;
}

static weft_status read_set(const char *path, const char *name, hid_t set, int64_t size, found *out)
{
    if (H5Iget_type(set) != H5I_DATASET)
        return weft__fail(WEFT_EFORMAT, "%.200s: %.80s is a group or a type, not a data set", path,
                          name);
    WEFT_TRY(check_layout(path, name, set));
    WEFT_TRY(read_type(path, name, set, &out->field.dtype));
    WEFT_TRY(read_shape(path, name, set, out));
    WEFT_TRY(check_place(path, name, set, size, out));
    out->field.present = true;
    return WEFT_OK;
}

static weft_status read_field(const char *path, const char *name, bool required, hid_t file,
                              int64_t size, found *out)
{
    weft_status s = follow(path, name, file);
    if (s == WEFT_ENOENT)
        return required
                   ? weft__fail(WEFT_ENOENT,
                                "%.200s: there is no data set %.80s; .x and .y name the fields "
                                "(h5ls shows what there is)",
                                path, name)
                   : WEFT_OK;
    WEFT_TRY(s);
    hid_t set = H5Oopen(file, name, H5P_DEFAULT);
    if (set < 0)
        return foreign(path, name);
    s = read_set(path, name, set, size, out);
    H5Oclose(set);
    return s;
}

static hid_t open_file(const char *path)
{
    hid_t file, access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0)
        return -1;
#if H5_VERSION_GE(1, 12, 1) || (H5_VERSION_GE(1, 10, 7) && !H5_VERSION_GE(1, 12, 0))
    H5Pset_file_locking(access, 0, 1); /* locks fail on many shared file systems */
#endif
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    file = H5Fopen(path, H5F_ACC_RDONLY, access);
    H5Pclose(access);
    return file;
}

/* Both fields; the program's own error printing is switched off meanwhile. */
static weft_status read_structure(const char *path, const char *const name[WEFT_FIELDS],
                                  bool need_y, int64_t size, found out[WEFT_FIELDS])
{
    H5E_auto2_t print;
    void *print_data;
    weft__process_hdf5_lock();
    H5Eget_auto2(H5E_DEFAULT, &print, &print_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = open_file(path);
    weft_status s = file < 0 ? foreign(path, "the file") : WEFT_OK;
    for (int k = 0; k < WEFT_FIELDS && s == WEFT_OK; k++)
        s = read_field(path, name[k], k == 0 || need_y, file, size, &out[k]);
    if (file >= 0)
        H5Fclose(file);
    H5Eclear2(H5E_DEFAULT);
    H5Eset_auto2(H5E_DEFAULT, print, print_data);
    weft__process_hdf5_unlock();
    if (s == WEFT_OK && out[1].field.present && out[1].rows != out[0].rows)
        return weft__fail(WEFT_EFORMAT, "%.200s: data set %.80s has %lld rows, %.80s has %lld",
                          path, name[0], (long long)out[0].rows, name[1], (long long)out[1].rows);
    return s;
}

weft_loader *weft_loader_hdf5(weft_fabric *f, const char *path, const weft_loader_options *o)
{
    const char *name[WEFT_FIELDS] = {o && o->x ? o->x : "x", o && o->y ? o->y : "y"};
    found at[WEFT_FIELDS] = {0};
    int64_t size;
    if (!f)
        return NULL;
    weft__rows_file *r = weft__new(1, sizeof *r);
    weft_status s = r ? WEFT_OK : WEFT_ENOMEM;
    if (r)
        r->fd = -1;
    if (s == WEFT_OK && !path)
        s = weft__fail(WEFT_EARG, "weft_loader_hdf5: path is NULL");
    if (s == WEFT_OK)
        s = weft__rows_file_open(r, path, &size);
    if (s == WEFT_OK)
        s = read_structure(path, name, o && o->y, size, at);
    if (s < 0) {
        weft__stick(f, s);
        if (r)
            weft__rows_file_free(r);
        return NULL;
    }
    weft_field field[WEFT_FIELDS];
    for (int k = 0; k < WEFT_FIELDS; k++) {
        field[k] = at[k].field;
        r->offset[k] = at[k].offset;
        r->width[k] = at[k].width;
    }
    weft_loader *l =
        weft__loader_make(f, &weft__rows_file_ops, r, at[0].rows, field, path, name, o);
    if (!l)
        weft__rows_file_free(r);
    return l;
}
