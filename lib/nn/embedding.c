/* Rows of a table by index; normal values at first, and zeros in the row of the padding. */
#include "nn/module.h"

#include <weft/ops.h>

typedef struct embedding {
    weft_tensor *weight;
    int64_t padding_idx;
} embedding;

static weft_tensor *forward(weft_module *m, void *self, weft_tensor *x)
{
    const embedding *e = self;
    (void)m;
    return weft_embedding(x, e->weight, e->padding_idx);
}

static const weft_module_ops ops = {.size = sizeof ops, .name = "embedding", .forward = forward};

weft_module *weft_nn_embedding_padded(weft_fabric *f, int64_t n, int64_t dim, int64_t padding_idx)
{
    const int64_t shape[2] = {n, dim};
    if (n < 1 || dim < 1 || padding_idx < WEFT_OFF || padding_idx >= n) {
        weft_fail(f, WEFT_EARG,
                  "weft_nn_embedding: %lld rows of %lld, padding %lld; both are at least 1, and "
                  "the padding is a row, or WEFT_OFF",
                  (long long)n, (long long)dim, (long long)padding_idx);
        return NULL;
    }
    weft_init init = WEFT_NORMAL(0, 1);
    if (padding_idx >= 0) {
        init.zero_first = padding_idx * dim;
        init.zero_count = dim;
    }
    weft_module *m =
        weft_module_new(f, &ops, &(embedding){.padding_idx = padding_idx}, sizeof(embedding));
    embedding *e = m ? weft_module_self(m) : NULL;
    if (!e || !(e->weight = weft_module_param(m, "weight", 2, shape, init)))
        return NULL;
    return m;
}

weft_module *weft_nn_embedding(weft_fabric *f, int64_t n, int64_t dim)
{
    return weft_nn_embedding_padded(f, n, dim, WEFT_OFF);
}
