/* Rows of the conformance table for losses, layernorm, embedding and dropout; conform_ops.h says
 * what a row buys. */
#ifndef TESTS_CONFORM_LOSSES_H
#define TESTS_CONFORM_LOSSES_H
#include "conform_ops.h"
#include "golden.h"

/* Of the tests' fabric, which a weight among the options is made from. */
static weft_fabric *conform_fabric;

static void conform_read_loss(hid_t file, const char *group, conform_attributes *a)
{
    double v[CONFORM_WEIGHTS];
    a->reduction = golden_attributes(file, group, "reduction", v, 1) ? (int)v[0] : 0;
    a->ignore = golden_attributes(file, group, "ignore_index", v, 1) ? (int64_t)v[0] : 0;
    a->ignore_zero = golden_attributes(file, group, "ignore_zero", v, 1) != 0;
    a->smoothing = golden_attributes(file, group, "smoothing", v, 1) ? v[0] : 0;
    a->delta = golden_attributes(file, group, "delta", v, 1) ? v[0] : 0;
    a->log_target = golden_attributes(file, group, "log_target", v, 1) != 0;
    a->bias_only = golden_attributes(file, group, "bias_only", v, 1) != 0;
    a->dims = golden_attributes(file, group, "dims", v, 1) ? (int)v[0] : 0;
    a->padding = golden_attributes(file, group, "padding_idx", v, 1) ? (int64_t)v[0] : WEFT_OFF;
    a->weights = golden_attributes(file, group, "weight", a->weight, CONFORM_WEIGHTS);
}

static const char *conform_reduction(const conform_attributes *a)
{
    return (const char *const[]){NULL, "sum", "none", "batchmean"}[a->reduction];
}

static weft_tensor *conform_weight(const conform_attributes *a)
{
    const int64_t n = a->weights;
    return n ? weft_tensor_of(conform_fabric, a->weight, 1, &n, WEFT_F64) : NULL;
}

static weft_cross_entropy_options conform_options(const conform_attributes *a)
{
    return (weft_cross_entropy_options){.reduction = conform_reduction(a),
                                        .ignore_index = a->ignore,
                                        .ignore_zero = a->ignore_zero,
                                        .label_smoothing = a->smoothing,
                                        .weight = conform_weight(a)};
}

/* In f64 weights would make an f32 loss f64: the result comes back in the logits' type. */
static weft_tensor *conform_typed(weft_tensor *x, weft_tensor *y)
{
    return y && weft_is_valid(x) && weft_dtype_of(x) == WEFT_F32 ? weft_cast(y, WEFT_F32) : y;
}

static weft_tensor *conform_cross_entropy_with(weft_tensor *const *in, const conform_attributes *a)
{
    weft_cross_entropy_options o = conform_options(a);
    return conform_typed(in[0], weft_cross_entropy_with(in[0], in[1], &o));
}
static weft_tensor *conform_nll_loss(weft_tensor *const *in, const conform_attributes *a)
{
    weft_cross_entropy_options o = conform_options(a);
    return conform_typed(in[0], weft_nll_loss(in[0], in[1], &o));
}

#define CONFORM_LOSS(name, ...)                                                                    \
    static weft_tensor *conform_##name(weft_tensor *const *in, const conform_attributes *a)        \
    {                                                                                              \
        return conform_typed(                                                                      \
            in[0],                                                                                 \
            weft_##name(in[0], in[1], WEFT_LOSS(.reduction = conform_reduction(a), __VA_ARGS__))); \
    }
CONFORM_LOSS(mse_loss, .delta = 0)
CONFORM_LOSS(l1_loss, .delta = 0)
CONFORM_LOSS(huber_loss, .delta = a->delta)
CONFORM_LOSS(smooth_l1_loss, .beta = a->delta)
CONFORM_LOSS(bce_with_logits, .pos_weight = conform_weight(a))
CONFORM_LOSS(kl_div, .log_target = a->log_target)

static weft_tensor *conform_layernorm(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_layernorm(in[0], a->dims, a->bias_only ? NULL : in[1], a->bias_only ? in[1] : in[2],
                          0);
}
static weft_tensor *conform_embedding(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_embedding(in[1], in[0], a->padding);
}
static weft_tensor *conform_dropout(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_dropout(in[0], a->alpha, true);
}

#define NAMED(id, fn) .name = #id, .says = #id, .apply = fn, .gradient = true, .tol = CONFORM_TOL
#define GOLDEN(id) .golden = #id, .file = "losses.h5"
#define LOSS_ROW(id, fn) NAMED(id, fn), GOLDEN(id), .inputs = 2, .least = 2, .cast = WEFT_CAST_F32
#define PAIRS(...)                                                                                 \
    .good = {{{S2(5, 3), S2(5, 3)}, {__VA_ARGS__}},                                                \
             {{S3(2, 3, 4), S3(2, 3, 4)}, {.reduction = 1, __VA_ARGS__}},                          \
             {{S2(1, 1), S2(1, 1)}, {.reduction = 2, __VA_ARGS__}},                                \
             {{S2(0, 4), S2(0, 4)}, {.reduction = 1, __VA_ARGS__}},                                \
             {{S2(0, 4), S2(0, 4)}, {.reduction = 2, __VA_ARGS__}}},                               \
    .bad = {{S2(5, 3), S2(5, 1)}, {__VA_ARGS__}}
#define WEIGHTS .weights = 3, .weight = {0.5, 2, 1.25}

static const conform_row conform_losses[] = {
    {LOSS_ROW(cross_entropy, conform_cross_entropy_with), .labels = true,
     .good = {{{S2(5, 3), S1(5)}, {.ignore = 1, .smoothing = 0.25}},
              {{S2(5, 3), S1(5)}, {.ignore_zero = true, WEIGHTS}},
              {{S3(2, 3, 3), S2(2, 3)}, {.reduction = 1, .smoothing = 0.5, WEIGHTS}},
              {{S3(2, 3, 3), S2(2, 3)}, {.reduction = 2, .ignore = 1, WEIGHTS}},
              {{S2(0, 3), S1(0)}, {.reduction = 2, WEIGHTS}},
              {{S2(1, 1), S1(1)}, {.smoothing = 1}}},
     .bad = {{S3(2, 3, 4), S2(2, 3)}, {0}}},
    {LOSS_ROW(nll_loss, conform_nll_loss), .labels = true,
     .good = {{{S2(5, 3), S1(5)}, {.ignore = 1}},
              {{S2(5, 3), S1(5)}, {.ignore_zero = true, WEIGHTS}},
              {{S3(2, 3, 3), S2(2, 3)}, {.reduction = 1, WEIGHTS}},
              {{S2(5, 3), S1(5)}, {.reduction = 2, .ignore = 1, WEIGHTS}},
              {{S2(0, 3), S1(0)}, {.reduction = 1}},
              {{S2(1, 1), S1(1)}, {0}}},
     .bad = {{S2(5, 3), S2(5, 3)}, {0}}},
    {LOSS_ROW(mse_loss, conform_mse_loss), PAIRS(.dims = 0)},
    {LOSS_ROW(l1_loss, conform_l1_loss), PAIRS(.dims = 0)},
    {LOSS_ROW(huber_loss, conform_huber_loss), PAIRS(.delta = 0.75)},
    {LOSS_ROW(smooth_l1_loss, conform_smooth_l1_loss), PAIRS(.delta = 0.75)},
    {LOSS_ROW(bce_with_logits, conform_bce_with_logits), PAIRS(.weights = 1, .weight = {2.5})},
    {LOSS_ROW(kl_div, conform_kl_div), .positive = true, PAIRS(.dims = 0)},
    {NAMED(kl_div, conform_kl_div), .cast = WEFT_CAST_F32, .inputs = 2, .least = 2,
     PAIRS(.log_target = true)},
    {NAMED(layernorm, conform_layernorm), .cast = WEFT_CAST_F32, GOLDEN(layernorm), .inputs = 3,
     .least = 1,
     .good = {{{S2(5, 6), S1(6), S1(6)}, {.dims = 1}},
              {{S3(2, 3, 4), S2(3, 4), S2(3, 4)}, {.dims = 2}},
              {{S3(2, 3, 4), S3(2, 3, 4), S3(2, 3, 4)}, {.dims = 3}},
              {{S2(1, 2), S1(2), S1(2)}, {.dims = 1}},
              {{S2(0, 4), S1(4), S1(4)}, {.dims = 1}},
              {{S2(4, 0), S1(0), S1(0)}, {.dims = 1}}},
     .bad = {{S2(5, 6), S1(5), S1(6)}, {.dims = 1}}},
    {NAMED(embedding, conform_embedding), GOLDEN(embedding), .inputs = 2, .least = 2,
     .labels = true,
     .good = {{{S2(5, 3), S1(7)}, {.padding = WEFT_OFF}},
              {{S2(4, 3), S2(2, 6)}, {.padding = 3}},
              {{S2(3, 3), S3(2, 2, 2)}, {.padding = WEFT_OFF}},
              {{S2(1, 1), S1(1)}, {.padding = WEFT_OFF}},
              {{S2(4, 3), S2(0, 3)}, {.padding = WEFT_OFF}}},
     .bad = {{S3(2, 3, 3), S1(2)}, {.padding = WEFT_OFF}}},
    {NAMED(dropout, conform_dropout), .inputs = 1, .least = 1,
     .good = {{{S2(5, 6)}, {.alpha = 0.5}},
              {{S3(2, 3, 4)}, {.alpha = 0.1}},
              {{S2(3, 5)}, {.alpha = 1}},
              {{S2(0, 4)}, {.alpha = 0.5}},
              {{S2(1, 1)}, {.alpha = 0}}}},
};
#define CONFORM_LOSSES ((int)(sizeof conform_losses / sizeof conform_losses[0]))
#endif
