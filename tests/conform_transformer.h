/* Rows of the conformance table for rmsnorm, swiglu and add_layernorm; conform_ops.h says what a row
 * buys. */
#ifndef TESTS_CONFORM_TRANSFORMER_H
#define TESTS_CONFORM_TRANSFORMER_H
#include "conform_losses.h"

static weft_tensor *conform_rmsnorm(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_rmsnorm(in[0], a->dims, in[1], a->alpha);
}
CONFORM_BINARY(swiglu)
/* Both results in one: y + beta sum. */
static weft_tensor *conform_add_layernorm(weft_tensor *const *in, const conform_attributes *a)
{
    weft_tensor *sum, *y = weft_add_layernorm(in[0], in[1], a->dims, in[2], NULL, 0, &sum);
    return a->beta != 0 ? weft_add(y, weft_scale(sum, a->beta)) : y;
}

#define TRANSFORMER(id) NAMED(id, conform_##id), .golden = #id, .file = "transformer.h5"

static const conform_row conform_transformer[] = {
    {TRANSFORMER(rmsnorm), .inputs = 2, .least = 1,
     .good = {{{S2(5, 6), S1(6)}, {.dims = 1}},
              {{S3(2, 3, 4), S2(3, 4)}, {.dims = 2, .alpha = 0.25}},
              {{S3(2, 3, 4), S3(2, 3, 4)}, {.dims = 3}},
              {{S2(1, 1), S1(1)}, {.dims = 1, .alpha = 0.25}},
              {{S2(0, 4), S1(4)}, {.dims = 1}},
              {{S2(4, 0), S1(0)}, {.dims = 1}}},
     .bad = {{S2(5, 6), S1(5)}, {.dims = 1}}},
    {TRANSFORMER(swiglu), .inputs = 2, .least = 2,
     .good = {{{S2(5, 6), S2(5, 6)}, {0}},
              {{S3(2, 3, 4), S3(2, 3, 4)}, {0}},
              {{S1(1), S1(1)}, {0}},
              {{S2(0, 4), S2(0, 4)}, {0}}},
     .bad = {{S2(5, 6), S1(6)}, {0}}},
    {TRANSFORMER(add_layernorm), .inputs = 3, .least = 2,
     .good = {{{S2(5, 6), S2(5, 6), S1(6)}, {.dims = 1}},
              {{S3(2, 3, 4), S3(2, 3, 4), S2(3, 4)}, {.dims = 2, .beta = -2}},
              {{S3(2, 3, 4), S3(2, 3, 4), S3(2, 3, 4)}, {.dims = 3, .beta = 1}},
              {{S2(1, 2), S2(1, 2), S1(2)}, {.dims = 1, .beta = 1}},
              {{S2(0, 4), S2(0, 4), S1(4)}, {.dims = 1}},
              {{S2(4, 0), S2(4, 0), S1(0)}, {.dims = 1}}},
     .bad = {{S2(5, 6), S2(5, 1), S1(6)}, {.dims = 1}}},
};
#define CONFORM_TRANSFORMER ((int)(sizeof conform_transformer / sizeof conform_transformer[0]))
#endif
