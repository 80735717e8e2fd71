/* Rows of the conformance table for attention, rotary positions and the classifier with its loss;
 * conform_ops.h says what a row buys. */
#ifndef TESTS_CONFORM_ATTENTION_H
#define TESTS_CONFORM_ATTENTION_H
#include "conform_losses.h"

/* Causal is in `dims`: 1 as PyTorch has it, 2 from the bottom right. */
static weft_attention_options conform_attention_options(const conform_attributes *a)
{
    return (weft_attention_options){.causal = a->dims == 1,
                                    .bottom_right = a->dims == 2,
                                    .scale = a->alpha,
                                    .dropout = a->beta};
}

static weft_tensor *conform_attention_op(weft_tensor *const *in, const conform_attributes *a)
{
    const weft_attention_options o = conform_attention_options(a);
    return weft_attention(in[0], in[1], in[2], &o);
}
static weft_tensor *conform_attention_packed(weft_tensor *const *in, const conform_attributes *a)
{
    const weft_attention_options o = conform_attention_options(a);
    return weft_attention_packed(in[0], a->rank, a->padding, &o);
}
static weft_tensor *conform_rotary(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_rotary(in[0], WEFT_ROTARY(.base = a->beta,
                                          .offset = a->padding == WEFT_OFF ? 0 : a->padding,
                                          .interleaved = a->dim == 1, .dims = a->dims,
                                          .positions_first = a->bias_only));
}
/* Chunks of two rows. */
static weft_tensor *conform_classifier(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_linear_cross_entropy(
        in[0], in[1], NULL, in[2],
        WEFT_LINEAR_CROSS_ENTROPY(.reduction = conform_reduction(a), .ignore_index = a->ignore,
                                  .ignore_zero = a->ignore_zero, .label_smoothing = a->smoothing,
                                  .chunk = 2));
}

#define ATTENTION                                                                                  \
    NAMED(attention, conform_attention_op), .golden = "attention", .file = "attention.h5",         \
                                            .inputs = 3, .least = 3, .cast = WEFT_CAST_LOW
#define ROTARY                                                                                     \
    NAMED(rotary, conform_rotary), .golden = "rotary", .file = "rotary.h5", .inputs = 1, .least = 1

static const conform_row conform_attention[] = {
    {ATTENTION,
     .good = {{{S4(2, 2, 3, 4), S4(2, 2, 5, 4), S4(2, 2, 5, 3)}, {0}},
              {{S4(1, 4, 5, 7), S4(1, 2, 3, 7), S4(1, 2, 3, 7)}, {.dims = 1, .alpha = 0.5}},
              {{S4(1, 2, 2, 1), S4(1, 1, 4, 1), S4(1, 1, 4, 2)}, {.dims = 2}},
              {{S4(1, 1, 66, 2), S4(1, 1, 66, 2), S4(1, 1, 66, 1)}, {.dims = 1, .beta = 0.25}},
              {{S4(1, 2, 0, 3), S4(1, 2, 4, 3), S4(1, 2, 4, 3)}, {0}},
              {{S4(1, 2, 3, 3), S4(1, 2, 0, 3), S4(1, 2, 0, 2)}, {.dims = 2}}},
     .bad = {{S4(1, 3, 2, 4), S4(1, 2, 2, 4), S4(1, 2, 2, 4)}, {0}}},
    {NAMED(attention, conform_attention_packed), .inputs = 1, .least = 1, .cast = WEFT_CAST_LOW,
     .good = {{{S3(2, 5, 12)}, {.rank = 2, .dims = 1}},
              {{S3(1, 3, 24)}, {.rank = 4, .padding = 2}},
              {{S3(2, 4, 12)}, {.rank = 2, .padding = 1, .dims = 1, .beta = 0.5}},
              {{S3(1, 1, 3)}, {.rank = 1}},
              {{S3(0, 5, 6)}, {.rank = 2}}},
     .bad = {{S3(2, 5, 13)}, {.rank = 2}}},
    {ROTARY,
     .good = {{{S4(2, 2, 3, 4)}, {0}},
              {{S3(2, 3, 6)}, {.dim = 1, .padding = 7, .dims = 4}},
              {{S3(5, 2, 6)}, {.bias_only = true, .beta = 100}},
              {{S2(1, 2)}, {.padding = 3}},
              {{S3(2, 0, 4)}, {0}}},
     .bad = {{S2(3, 5)}, {0}}},
    {NAMED(linear_cross_entropy, conform_classifier), .golden = "linear_cross_entropy",
     .file = "classifier.h5", .inputs = 3, .least = 3, .labels = true, .cast = WEFT_CAST_LOW,
     .f32_result = true,
     .good = {{{S2(5, 3), S2(6, 3), S1(5)}, {.ignore = 1, .smoothing = 0.25}},
              {{S3(2, 2, 3), S2(4, 3), S2(2, 2)}, {.ignore_zero = true}},
              {{S3(1, 3, 2), S2(2, 2), S2(1, 3)}, {.reduction = 1}},
              {{S2(3, 4), S2(5, 4), S1(3)}, {.reduction = 2, .ignore = 2}},
              {{S2(0, 3), S2(4, 3), S1(0)}, {.reduction = 1}},
              {{S2(1, 1), S2(1, 1), S1(1)}, {0}}},
     .bad = {{S2(3, 4), S2(4, 5), S1(3)}, {0}}},
};
#define CONFORM_ATTENTION ((int)(sizeof conform_attention / sizeof conform_attention[0]))
#endif
