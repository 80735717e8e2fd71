/* An HDF5 data set's structure, read once: where its rows lie. All that makes them anything but
 * plain numbers at known places is refused here, with the cure. */
#include "core/shape.h"
#include "data/hdf5.h"

#include <stdio.h>
#include <string.h>

static herr_t deepest(unsigned n, const H5E_error2_t *e, void *text)
{
    if (n == 0)
        snprintf(text, 160, "%s", e->desc ? e->desc : "");
    return 0;
}

weft_status weft__hdf5_foreign(const char *path, const char *what)
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
                      "f16, f32 or f64 in this machine's byte order",
                      path, name, c == H5T_INTEGER && !*sign ? "unsigned " : sign,
                      c >= 0 && c < 11 ? class_name[c] : "something", H5Tget_size(type), order);
}

/* IEEE 754 binary16, which HDF5 has no name for. */
static bool is_half(hid_t type)
{
    size_t sign, exponent, exponent_bits, mantissa, mantissa_bits;
    return H5Tget_class(type) == H5T_FLOAT && H5Tget_size(type) == 2 &&
           H5Tget_order(type) == H5T_ORDER_LE &&
           H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa, &mantissa_bits) >= 0 &&
           sign == 15 && exponent == 10 && exponent_bits == 5 && mantissa == 0 &&
           mantissa_bits == 10 && H5Tget_ebias(type) == 15;
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
    if (type >= 0 && is_half(type)) {
        H5Tclose(type);
        *out = WEFT_F16;
        return WEFT_OK;
    }
    if (type < 0)
        return weft__hdf5_foreign(path, name);
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

static weft_status read_shape(const char *path, const char *name, hid_t set, weft__set *out)
{
    hsize_t dim[H5S_MAX_RANK] = {0};
    hid_t space = H5Dget_space(set);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, dim, NULL);
    if (space >= 0)
        H5Sclose(space);
    if (rank < 0)
        return weft__hdf5_foreign(path, name);
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

/* What is neither contiguous nor chunked. */
static weft_status refuse_layout(const char *path, const char *name, int layout, int outside)
{
    const char *is = outside > 0             ? "stored in other files"
                     : layout == H5D_COMPACT ? "compact"
                     : layout == H5D_VIRTUAL ? "virtual"
                                             : "of an unknown layout";
    return weft__fail(WEFT_EFORMAT,
                      "%.200s: data set %.60s is %s; its rows must lie in one piece or in chunks: "
                      "h5repack -f %.60s:NONE -l %.60s:CONTI %.80s NEW.h5",
                      path, name, is, name, name, path);
}

/* Bytes of a row and of all; they must be countable. */
static weft_status measure(const weft__hdf5 *h, const char *name, weft__set *out, int64_t *all)
{
    int64_t width = weft__numel(out->field.rank, out->field.shape);
    if (width < 0 ||
        __builtin_mul_overflow(width, (int64_t)weft_dtype_size(out->field.dtype), &width) ||
        __builtin_mul_overflow(width, out->rows, all))
        return weft__fail(WEFT_EFORMAT, "%.200s: data set %.80s is larger than any file", h->path,
                          name);
    out->place = (weft__place){.fd = h->fd, .step = width, .width = width};
    return WEFT_OK;
}

static weft_status check_place(const weft__hdf5 *h, const char *name, hid_t set, int64_t bytes,
                               weft__set *out)
{
    int64_t end;
    haddr_t at = H5Dget_offset(set);
    if (bytes == 0)
        return WEFT_OK;
    if (at == HADDR_UNDEF || H5Dget_storage_size(set) != (hsize_t)bytes)
        return weft__fail(WEFT_EFORMAT, "%.200s: data set %.80s was made but never written",
                          h->path, name);
    if (at > INT64_MAX || __builtin_add_overflow((int64_t)at, bytes, &end) || end > h->size)
        return weft__fail(WEFT_EFORMAT,
                          "%.200s: truncated, data set %.80s ends %lld bytes after the file's end",
                          h->path, name, (long long)((int64_t)at - h->size + bytes));
    out->place.offset = (int64_t)at;
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
            return weft__hdf5_foreign(path, part);
        if (info.type != H5L_TYPE_HARD)
            return weft__fail(WEFT_EFORMAT,
                              "%.200s: %.80s is a soft or external link; name the data set itself, "
                              "in the file that holds it",
                              path, part);
    }
    return WEFT_OK;
}

static weft_status read_layout(const weft__hdf5 *h, const char *name, hid_t set, weft__set *out)
{
    int64_t bytes = 0;
    hid_t plist = H5Dget_create_plist(set);
    if (plist < 0)
        return weft__hdf5_foreign(h->path, name);
    int layout = (int)H5Pget_layout(plist), outside = H5Pget_external_count(plist);
    weft_status s = measure(h, name, out, &bytes);
    if (s == WEFT_OK && layout == H5D_CHUNKED)
        s = weft__hdf5_chunks(h, name, set, plist, out);
    else if (s == WEFT_OK && (outside > 0 || layout != H5D_CONTIGUOUS))
        s = refuse_layout(h->path, name, layout, outside);
    else if (s == WEFT_OK)
        s = check_place(h, name, set, bytes, out);
    H5Pclose(plist);
    return s;
}

static weft_status read_set(const weft__hdf5 *h, const char *name, hid_t set, weft__set *out)
{
    if (H5Iget_type(set) != H5I_DATASET)
        return weft__fail(WEFT_EFORMAT, "%.200s: %.80s is a group or a type, not a data set",
                          h->path, name);
    WEFT_TRY(read_type(h->path, name, set, &out->field.dtype));
    WEFT_TRY(read_shape(h->path, name, set, out));
    WEFT_TRY(read_layout(h, name, set, out));
    out->field.present = true;
    return WEFT_OK;
}

weft_status weft__hdf5_set(weft__hdf5 *h, const char *name, hid_t file, weft__set *out)
{
    WEFT_TRY(follow(h->path, name, file));
    hid_t set = H5Oopen(file, name, H5P_DEFAULT);
    if (set < 0)
        return weft__hdf5_foreign(h->path, name);
    weft_status s = read_set(h, name, set, out);
    H5Oclose(set);
    return s;
}
