/* A multi-layer perceptron: linear, [layernorm,] activation [, dropout], ..., linear. */
#include "nn/module.h"

#include "core/alloc.h"

#define PARTS 4 /* of a layer */

static weft_module *linear(weft_fabric *f, const int64_t *size, const weft_mlp_options *o)
{
    return o->no_bias ? weft_nn_linear_nobias(f, size[0], size[1])
                      : weft_nn_linear(f, size[0], size[1]);
}

/* How many modules went to part; a NULL among them is found by the sequential. */
static size_t layers(weft_fabric *f, int n, const int64_t *sizes, const weft_mlp_options *o,
                     weft_module **part)
{
    size_t k = 0;
    for (int i = 0; i + 1 < n; i++) {
        part[k++] = linear(f, sizes + i, o);
        if (i + 2 == n)
            break;
        if (o->layernorm)
            part[k++] = weft_nn_layernorm(f, sizes[i + 1]);
        part[k++] = weft_nn_activation(f, o->activation ? o->activation : "relu");
        if (o->dropout != 0)
            part[k++] = weft_nn_dropout(f, o->dropout);
    }
    return k;
}

/* Also of what no layer uses, where there is only one. */
static weft_status check(int n, const int64_t *sizes, const weft_mlp_options *o)
{
    if (n < 2 || !sizes)
        return weft__fail(WEFT_EARG, "weft_nn_mlp: %d sizes%s; there are at least 2", n,
                          sizes ? "" : " at NULL");
    if (!(o->dropout >= 0 && o->dropout <= 1))
        return weft__fail(WEFT_EARG, "weft_nn_mlp: dropout, p %g is not in [0, 1]", o->dropout);
    return o->activation ? weft__activation_known(o->activation) : WEFT_OK;
}

weft_module *weft_nn_mlp(weft_fabric *f, int n, const int64_t *sizes, const weft_mlp_options *o)
{
    static const weft_mlp_options none;
    o = o ? o : &none;
    weft_status s = check(n, sizes, o);
    weft_module **part = s ? NULL : weft__new((size_t)n * PARTS, sizeof(weft_module *)), *m = NULL;
    if (part)
        m = weft_nn_sequential_n(f, layers(f, n, sizes, o, part), part);
    else
        weft__stick(f, s ? s : WEFT_ENOMEM);
    weft__free(part);
    return m;
}
