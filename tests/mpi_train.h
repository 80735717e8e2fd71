/* What tests train with on several ranks: data in memory, a small net, and its parameters as numbers. */
#ifndef TESTS_MPI_TRAIN_H
#define TESTS_MPI_TRAIN_H
#include "mpi_all.h"

#include <math.h>
#include <string.h>
#include <weft/mpi.h>
#include <weft.h>

#define ROWS 300
#define FEATURES 6
#define CLASSES 4
#define NUMBERS (1 << 20) /* parameters at most */

static const int64_t features = FEATURES;
static double data_x[ROWS * FEATURES];
static int32_t data_y[ROWS];

/* The same on all ranks: numbers in [-1, 1), labels that depend on them. */
static inline void make_data(void)
{
    uint64_t s = 12345;
    for (int i = 0; i < ROWS; i++) {
        double sum = 0;
        for (int k = 0; k < FEATURES; k++) {
            s = s * 6364136223846793005u + 1442695040888963407u;
            data_x[i * FEATURES + k] = (double)(s >> 11) / (double)(1ull << 52) - 1;
            sum += data_x[i * FEATURES + k];
        }
        data_y[i] = (int32_t)fabs(3 * sum) % CLASSES;
    }
}

/* All parameters one after the other. @return how many. */
static inline size_t numbers_of(weft_module *m, double *out)
{
    size_t n = 0;
    for (int64_t i = 0; i < weft_param_count(m); i++) {
        weft_tensor *t = weft_param(m, weft_param_name(m, i));
        size_t k = (size_t)weft_numel(t), size = weft_dtype_size(weft_dtype_of(t));
        if (size < sizeof(float)) /* an op: not while an error sticks */
            weft_copy_out(weft_cast(t, WEFT_F64), out + n, k * sizeof *out);
        else
            weft_copy_out(t, out + n, k * size);
        for (size_t j = k; size == sizeof(float) && j-- > 0;) {
            float v;
            memcpy(&v, (const char *)(out + n) + j * sizeof v, sizeof v);
            out[n + j] = (double)v;
        }
        n += k;
    }
    return n;
}

/* The same bytes on all ranks. Collective. */
static inline int same_bytes(const void *mine, size_t bytes)
{
    char *root = malloc(bytes + 1);
    memcpy(root, mine, bytes);
    MPI_Bcast(root, (int)bytes, MPI_BYTE, 0, MPI_COMM_WORLD);
    int same = memcmp(root, mine, bytes) == 0;
    free(root);
    return same;
}

static inline double furthest(const double *a, const double *b, size_t n)
{
    double d = 0;
    for (size_t i = 0; i < n; i++)
        d = fabs(a[i] - b[i]) <= d ? d : fabs(a[i] - b[i]); /* NaN is furthest */
    return d;
}

static inline weft_module *small_net(weft_fabric *f)
{
    return weft_nn_sequential(f, weft_nn_linear(f, FEATURES, 16), weft_nn_relu(f),
                              weft_nn_linear(f, 16, CLASSES));
}
#endif
