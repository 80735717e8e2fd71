/* Multi-head self attention as GPT-2 has it: one linear layer makes the queries, keys and values of all
 * heads, another mixes what the heads found. And learned positions. */
#include "nn/module.h"

#include "ops/ops.h"

typedef struct attention {
    int64_t heads, kv_heads;
    weft_attention_options attention;
    weft_rotary_options rotary;
    bool turned;
    weft_module *in, *out;
} attention;

static weft_tensor *attend(weft_module *m, void *self, weft_tensor *x)
{
    const attention *a = self;
    weft_attention_options o = a->attention;
    weft_tensor *qkv = weft_forward(a->in, x);
    if (!weft_is_training(m))
        o.dropout = 0;
    if (a->turned)
        qkv = weft__rotary_packed(qkv, a->heads + 2 * a->kv_heads, a->heads + a->kv_heads,
                                  &a->rotary);
    return weft_forward(a->out, weft_attention_packed(qkv, a->heads, a->kv_heads, &o));
}

static const weft_module_ops attention_module = {
    .size = sizeof(weft_module_ops), .name = "attention", .forward = attend};

/* 0 for kv_heads: as many as heads. */
static weft_status check(int64_t n, int64_t heads, int64_t kv, const weft_nn_attention_options *o)
{
    if (n < 1 || n > INT32_MAX || heads < 1 || n % heads || kv < 1 || heads % kv)
        return weft__fail(WEFT_EARG,
                          "weft_nn_attention: width %lld, %lld heads, %lld of keys and values; "
                          "each divides the one before",
                          (long long)n, (long long)heads, (long long)kv);
    if (!(o->dropout >= 0 && o->dropout <= 1))
        return weft__fail(WEFT_EARG, "weft_nn_attention: dropout, p %g is not in [0, 1]",
                          o->dropout);
    if (o->rotary && (n / heads % 2 || !(o->rotary_base >= 0)))
        return weft__fail(WEFT_EARG,
                          "weft_nn_attention: rotary positions with base %g of heads of %lld; the "
                          "base is above 0, the size even",
                          o->rotary_base, (long long)(n / heads));
    return WEFT_OK;
}

static weft_module *layer(weft_fabric *f, int64_t in, int64_t out, bool bias)
{
    return bias ? weft_nn_linear(f, in, out) : weft_nn_linear_nobias(f, in, out);
}

weft_module *weft_nn_attention(weft_fabric *f, int64_t n, int64_t heads,
                               const weft_nn_attention_options *o)
{
    static const weft_nn_attention_options none;
    o = o ? o : &none;
    const int64_t kv = o->kv_heads ? o->kv_heads : heads;
    weft_status s = check(n, heads, kv, o);
    if (s < 0) {
        weft__stick(f, s);
        return NULL;
    }
    const attention start = {
        .heads = heads,
        .kv_heads = kv,
        .attention = {.causal = o->causal, .dropout = o->dropout},
        .rotary = {.base = o->rotary_base, .interleaved = o->rotary_interleaved},
        .turned = o->rotary};
    weft_module *m = weft_module_new(f, &attention_module, &start, sizeof start);
    attention *a = m ? weft_module_self(m) : NULL;
    if (!a)
        return NULL;
    a->in = weft_module_child(m, "c_attn", layer(f, n, n + 2 * (n / heads) * kv, !o->no_bias));
    a->out = weft_module_child(m, "c_proj", layer(f, n, n, !o->no_bias));
    return a->in && a->out ? m : NULL;
}

/* --- learned positions --- */

static weft_tensor *add_positions(weft_module *m, void *self, weft_tensor *x)
{
    weft_tensor *w = *(weft_tensor **)self;
    const int64_t most = weft_dim(w, 0);
    const int rank = x ? weft_rank_of(x) : 0;
    const int64_t t = rank > 1 ? weft_dim(x, rank - 2) : 0;
    if (x && (rank < 2 || t > most)) {
        weft_fail(weft_module_fabric(m), WEFT_ESHAPE,
                  "positions: %lld positions in %d dimensions; it takes (...,T,N), T up to %lld",
                  (long long)t, rank, (long long)most);
        return NULL;
    }
    return weft_add(x, x ? weft_slice(w, 0, 0, t, 1) : NULL);
}

static const weft_module_ops positions_module = {
    .size = sizeof(weft_module_ops), .name = "positions", .forward = add_positions};

weft_module *weft_nn_positions(weft_fabric *f, int64_t most, int64_t n)
{
    const int64_t shape[2] = {most, n};
    if (most < 1 || n < 1) {
        weft_fail(f, WEFT_EARG, "weft_nn_positions: %lld rows of %lld; both are at least 1",
                  (long long)most, (long long)n);
        return NULL;
    }
    weft_tensor *w = NULL;
    weft_module *m = weft_module_new(f, &positions_module, &w, sizeof w);
    if (!m || !(w = weft_module_param(m, "weight", 2, shape, WEFT_NORMAL(0, 1))))
        return NULL;
    *(weft_tensor **)weft_module_self(m) = w;
    return m;
}
