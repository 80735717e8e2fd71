/* Rows of the conformance table for convolutions and pooling; conform_ops.h says what they buy. `shape` holds
 * the options: strides, paddings, dilations and groups of a convolution, kernel, strides, paddings,
 * dilations and exclude_padding of pooling, and the number of parts. */
#ifndef TESTS_CONFORM_CONV_H
#define TESTS_CONFORM_CONV_H
#include "conform_ops.h"

/* 0 is given as WEFT_OFF for columns, whose 0 is what rows have. */
static int64_t conform_off(int64_t v)
{
    return v ? v : WEFT_OFF;
}

static weft_tensor *conform_conv2d(weft_tensor *const *in, const conform_attributes *a)
{
    const int64_t *s = a->shape;
    return weft_conv2d(in[0], in[1], in[2],
                       WEFT_CONV(.stride = s[0], .stride_w = s[1], .padding = s[2],
                                 .padding_w = conform_off(s[3]), .dilation = s[4],
                                 .dilation_w = s[5], .groups = s[6]));
}
static weft_tensor *conform_conv1d(weft_tensor *const *in, const conform_attributes *a)
{
    const int64_t *s = a->shape;
    return weft_conv1d(
        in[0], in[1], in[2],
        WEFT_CONV(.stride = s[0], .padding = s[1], .dilation = s[2], .groups = s[3]));
}
static weft_tensor *conform_max_pool2d(weft_tensor *const *in, const conform_attributes *a)
{
    const int64_t *s = a->shape;
    return weft_max_pool2d(in[0], WEFT_POOL(.kernel = s[0], .kernel_w = s[1], .stride = s[2],
                                            .stride_w = s[3], .padding = s[4],
                                            .padding_w = conform_off(s[5]), .dilation = s[6],
                                            .dilation_w = s[6]));
}
static weft_tensor *conform_avg_pool2d(weft_tensor *const *in, const conform_attributes *a)
{
    const int64_t *s = a->shape;
    return weft_avg_pool2d(in[0],
                           WEFT_POOL(.kernel = s[0], .kernel_w = s[1], .stride = s[2],
                                     .stride_w = s[3], .padding = s[4],
                                     .padding_w = conform_off(s[5]), .exclude_padding = s[6] != 0));
}
static weft_tensor *conform_adaptive_avg_pool2d(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_adaptive_avg_pool2d(in[0], a->shape[0], a->shape[1]);
}
static weft_tensor *conform_global_avg_pool(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    return weft_global_avg_pool(in[0]);
}

#define CONV_ROW(id)                                                                               \
    .name = #id, .says = #id, .apply = conform_##id, .golden = #id, .gradient = true,              \
    .tol = CONFORM_TOL
#define CONVOLVES .file = "conv.h5", .inputs = 3, .least = 2, .cast = WEFT_CAST_LOW
#define POOLS .file = "pool.h5", .inputs = 1, .least = 1
#define OPTIONS(...)                                                                               \
    {                                                                                              \
        .rank = 7, .shape = { __VA_ARGS__ }                                                        \
    }

static const conform_row conform_conv[] = {
    {CONV_ROW(conv2d), CONVOLVES,
     .good = {{{S4(2, 3, 5, 4), S4(4, 3, 3, 3), S1(4)}, OPTIONS(1, 1, 1, 1, 1, 1, 1)},
              {{S4(1, 4, 6, 7), S4(2, 2, 3, 2), S1(2)}, OPTIONS(2, 1, 2, 0, 2, 3, 2)},
              {{S4(2, 3, 3, 2), S4(4, 3, 1, 1), S1(4)}, OPTIONS(1, 1, 0, 0, 1, 1, 1)},
              {{S4(2, 3, 4, 4), S4(6, 1, 3, 3), S1(6)}, OPTIONS(1, 2, 1, 1, 1, 1, 3)},
              {{S4(0, 3, 4, 4), S4(2, 3, 2, 2), S1(2)}, OPTIONS(1, 1, 0, 0, 1, 1, 1)},
              {{S4(1, 1, 1, 1), S4(1, 1, 1, 1), S1(1)}, OPTIONS(3, 3, 0, 0, 1, 1, 1)}},
     .bad = {{S4(2, 3, 5, 4), S4(4, 2, 3, 3), S1(4)}, OPTIONS(1, 1, 1, 1, 1, 1, 1)}},
    {CONV_ROW(conv1d), CONVOLVES,
     .good = {{{S3(2, 3, 7), S3(4, 3, 3), S1(4)}, OPTIONS(1, 1, 1, 1)},
              {{S3(1, 4, 9), S3(2, 2, 3), S1(2)}, OPTIONS(2, 3, 2, 2)},
              {{S3(1, 1, 1), S3(1, 1, 1), S1(1)}, OPTIONS(1, 0, 1, 1)}},
     .bad = {{S3(2, 3, 2), S3(4, 3, 3), S1(4)}, OPTIONS(1, 0, 1, 1)}},
    {CONV_ROW(max_pool2d), POOLS,
     .good = {{{S4(2, 3, 4, 6)}, OPTIONS(2, 2, 2, 2, 0, 0, 1)},
              {{S4(1, 2, 7, 5)}, OPTIONS(3, 2, 2, 1, 1, 0, 1)},
              {{S4(2, 1, 6, 6)}, OPTIONS(2, 2, 1, 1, 1, 1, 3)},
              {{S4(0, 3, 4, 4)}, OPTIONS(2, 2, 2, 2, 0, 0, 1)},
              {{S4(1, 1, 1, 1)}, OPTIONS(1, 1, 1, 1, 0, 0, 1)}},
     .bad = {{S3(3, 4, 4)}, OPTIONS(2, 2, 2, 2, 0, 0, 1)}},
    {CONV_ROW(avg_pool2d), POOLS,
     .good = {{{S4(2, 3, 4, 6)}, OPTIONS(2, 2, 2, 2, 0, 0, 0)},
              {{S4(1, 2, 7, 5)}, OPTIONS(3, 2, 2, 1, 1, 0, 0)},
              {{S4(1, 2, 7, 5)}, OPTIONS(3, 4, 2, 2, 1, 2, 1)},
              {{S4(0, 3, 4, 4)}, OPTIONS(2, 2, 2, 2, 0, 0, 0)},
              {{S4(1, 1, 1, 1)}, OPTIONS(1, 1, 1, 1, 0, 0, 1)}},
     .bad = {{S4(2, 3, 2, 2)}, OPTIONS(3, 3, 1, 1, 0, 0, 0)}},
    {CONV_ROW(adaptive_avg_pool2d), POOLS,
     .good = {{{S4(2, 3, 4, 6)}, OPTIONS(1, 1)},
              {{S4(1, 2, 7, 5)}, OPTIONS(3, 2)},
              {{S4(1, 2, 2, 3)}, OPTIONS(5, 4)},
              {{S4(0, 3, 4, 4)}, OPTIONS(2, 2)},
              {{S4(1, 1, 1, 1)}, OPTIONS(1, 1)}},
     .bad = {{S4(2, 3, 0, 2)}, OPTIONS(1, 1)}},
    {CONV_ROW(global_avg_pool), POOLS, .cast = WEFT_CAST_F32,
     .good = {{{S4(2, 3, 4, 6)}, {0}},
              {{S3(2, 3, 5)}, {0}},
              {{S4(0, 3, 4, 4)}, {0}},
              {{S4(1, 1, 1, 1)}, {0}}},
     .bad = {{S2(2, 3)}, {0}}},
};
#define CONFORM_CONV ((int)(sizeof conform_conv / sizeof conform_conv[0]))
#endif
