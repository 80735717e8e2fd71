/* A small reader of the golden files; golden/README.md describes them. Missing things end the
 * test. */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H
#include <check.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/base.h>

typedef struct golden {
    weft_dtype dtype; /* as stored */
    int rank;
    int64_t shape[WEFT_MAX_RANK];
    int64_t n;
    double *v; /* as f64, which holds them all exactly */
} golden;

static inline hid_t golden_open(const char *name)
{
    char path[1024];
    const char *dir = getenv("srcdir");
    snprintf(path, sizeof path, "%s/golden/%s", dir ? dir : ".", name);
    hid_t f = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    ck_assert_msg(f >= 0, "%s cannot be opened", path);
    return f;
}

static inline bool golden_has(hid_t at, const char *path)
{
    return H5Lexists(at, path, H5P_DEFAULT) > 0;
}

static inline weft_dtype golden_type(hid_t set)
{
    hid_t t = H5Dget_type(set);
    bool real = H5Tget_class(t) == H5T_FLOAT;
    size_t size = H5Tget_size(t);
    H5Tclose(t);
    if (real)
        return size == 8 ? WEFT_F64 : WEFT_F32;
    return size == 8 ? WEFT_I64 : size == 4 ? WEFT_I32 : WEFT_U8;
}

static inline golden golden_read(hid_t at, const char *path)
{
    golden g = {.n = 1};
    hsize_t shape[WEFT_MAX_RANK] = {0};
    hid_t set = H5Dopen2(at, path, H5P_DEFAULT);
    ck_assert_msg(set >= 0, "there is no %s", path);
    hid_t space = H5Dget_space(set);
    g.rank = H5Sget_simple_extent_dims(space, shape, NULL);
    for (int d = 0; d < g.rank; d++)
        g.n *= g.shape[d] = (int64_t)shape[d];
    g.dtype = golden_type(set);
    g.v = calloc((size_t)g.n + 1, sizeof *g.v);
    ck_assert_ptr_nonnull(g.v);
    ck_assert_int_ge(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, g.v), 0);
    H5Sclose(space);
    H5Dclose(set);
    return g;
}

static inline void golden_free(golden *g)
{
    free(g->v);
    g->v = NULL;
}

/* An attribute with up to max numbers; how many there are, 0 if it is missing. */
static inline int golden_attributes(hid_t at, const char *group, const char *name, double *out,
                                    int max)
{
    if (H5Aexists_by_name(at, group, name, H5P_DEFAULT) <= 0)
        return 0;
    hid_t a = H5Aopen_by_name(at, group, name, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Aget_space(a);
    int n = (int)H5Sget_simple_extent_npoints(space);
    ck_assert_int_le(n, max);
    ck_assert_int_ge(H5Aread(a, H5T_NATIVE_DOUBLE, out), 0);
    H5Sclose(space);
    H5Aclose(a);
    return n;
}

static inline double golden_attribute(hid_t at, const char *group, const char *name)
{
    double v = 0;
    ck_assert_msg(golden_attributes(at, group, name, &v, 1) == 1, "%s has no %s", group, name);
    return v;
}

static inline int golden_count(hid_t at, const char *group)
{
    H5G_info_t info;
    ck_assert_int_ge(H5Gget_info_by_name(at, group, &info, H5P_DEFAULT), 0);
    return (int)info.nlinks;
}

/* The name of the i-th member of a group. */
static inline const char *golden_name(hid_t at, const char *group, int i, char *out, size_t size)
{
    ck_assert_int_ge(H5Lget_name_by_idx(at, group, H5_INDEX_NAME, H5_ITER_INC, (hsize_t)i, out,
                                        size, H5P_DEFAULT),
                     0);
    return out;
}
#endif
