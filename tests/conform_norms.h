/* Rows of the conformance table for batchnorm and groupnorm; conform_ops.h says what a row buys. */
#ifndef TESTS_CONFORM_NORMS_H
#define TESTS_CONFORM_NORMS_H
#include "conform_losses.h"

static weft_tensor *conform_batchnorm(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_batchnorm(in[0], a->bias_only ? NULL : in[1], a->bias_only ? in[1] : in[2], 0,
                          NULL);
}

/* Channel j = 1, 2, ... has the running mean alpha j and the variance beta j. */
static weft_tensor *conform_times(int64_t n, double by)
{
    double v[80];
    for (int64_t j = 0; j < n; j++)
        v[j] = by * (double)(j + 1);
    return weft_tensor_of(conform_fabric, v, 1, &n, WEFT_F64);
}

static weft_tensor *conform_batchnorm_eval(weft_tensor *const *in, const conform_attributes *a)
{
    const int64_t n = in[0] && weft_is_valid(in[0]) ? weft_dim(in[0], 1) : 1;
    return weft_batchnorm(in[0], a->bias_only ? NULL : in[1], a->bias_only ? in[1] : in[2], 0,
                          WEFT_RUNNING(.mean = conform_times(n, a->alpha),
                                       .var = conform_times(n, a->beta), .evaluate = true));
}

static weft_tensor *conform_groupnorm(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_groupnorm(in[0], a->dim, a->bias_only ? NULL : in[1], a->bias_only ? in[1] : in[2],
                          0);
}

#define NORM_ROW(id)                                                                               \
    .name = #id, .apply = conform_##id, .golden = #id, .file = "norms.h5", .gradient = true,       \
    .tol = CONFORM_TOL, .inputs = 3, .least = 1

/* The gradient's differences need more than two values a channel, of which it is 0. */
static const conform_row conform_norms[] = {
    {NORM_ROW(batchnorm), .says = "batchnorm", .follows = true,
     .good = {{{S2(5, 3), S1(3), S1(3)}, {0}},
              {{S3(3, 2, 4), S1(2), S1(2)}, {0}},
              {{S4(2, 3, 2, 2), S1(3), S1(3)}, {0}},
              {{S2(0, 4), S1(4), S1(4)}, {0}},
              {{S3(4, 1, 0), S1(1), S1(1)}, {0}},
              {{S2(3, 260), S1(260), S1(260)}, {0}}},
     .bad = {{S2(5, 3), S1(4), S1(3)}, {0}}},
    {NORM_ROW(batchnorm_eval), .says = "batchnorm", .follows = true,
     .good = {{{S2(5, 3), S1(3), S1(3)}, {.alpha = 0.5, .beta = 2}},
              {{S4(2, 3, 2, 2), S1(3), S1(3)}, {.alpha = -1, .beta = 1}},
              {{S2(1, 1), S1(1), S1(1)}, {.alpha = 1, .beta = 1}},
              {{S2(0, 4), S1(4), S1(4)}, {.alpha = 1, .beta = 1}}},
     .bad = {{S2(5, 3), S1(3), S1(2)}, {.beta = 1}}},
    {NORM_ROW(groupnorm), .says = "groupnorm", .cast = WEFT_CAST_F32,
     .good = {{{S2(5, 6), S1(6), S1(6)}, {.dim = 2}},
              {{S3(2, 4, 3), S1(4), S1(4)}, {.dim = 1}},
              {{S4(2, 3, 2, 2), S1(3), S1(3)}, {.dim = 3}},
              {{S2(0, 4), S1(4), S1(4)}, {.dim = 2}},
              {{S3(2, 2, 0), S1(2), S1(2)}, {.dim = 1}}},
     .bad = {{S2(5, 6), S1(6), S1(6)}, {.dim = 4}}},
};
#define CONFORM_NORMS ((int)(sizeof conform_norms / sizeof conform_norms[0]))
#endif
