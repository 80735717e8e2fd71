/* GPT-2 of Weft's modules. A block of the residual stream x (pre-norm):
 *     x += attn(ln_1(x)),  x += mlp(ln_2(x)),  mlp(x) = c_proj(gelu(c_fc(x)))
 * and around the blocks: x = wte[tokens] + wpe[0..T), logits = ln_f(x) wte^T. */
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <weft/sys/module.h>

#define EPS 1e-5
#define STD 0.02

/* --- the parts --- */

typedef struct part {
    weft_module *child[4];
    double dropout;
    int64_t context, chunk;
    bool hidden; /* of the whole: the result is ln_f's */
} part;

static weft_tensor *drop(weft_module *m, const part *p, weft_tensor *x)
{
    return weft_dropout(x, p->dropout, weft_is_training(m));
}

/* A module of named children, up to the first NULL among them. */
static weft_module *make(weft_fabric *f, const weft_module_ops *ops, part p,
                         const char *const *names)
{
    weft_module *m = weft_module_new(f, ops, &p, sizeof p);
    for (int i = 0; i < 4 && m && names[i]; i++)
        if (!weft_module_child(m, names[i], p.child[i]))
            return NULL;
    return m;
}

enum { C_FC, C_PROJ };

static weft_tensor *mlp_forward(weft_module *m, void *self, weft_tensor *x)
{
    const part *p = self;
    (void)m;
    return weft_mlp_gelu_tanh(
        x, weft_module_own(p->child[C_FC], "weight"), weft_module_own(p->child[C_FC], "bias"),
        weft_module_own(p->child[C_PROJ], "weight"), weft_module_own(p->child[C_PROJ], "bias"));
}

enum { LN_1, ATTN, LN_2, MLP };

/* ln_2 and the sum before it in one pass. */
static weft_tensor *block_forward(weft_module *m, void *self, weft_tensor *x)
{
    const part *p = self;
    weft_tensor *a = weft_forward(p->child[ATTN], weft_forward(p->child[LN_1], x));
    weft_tensor *y =
        weft_add_layernorm(x, drop(m, p, a), 1, weft_module_own(p->child[LN_2], "weight"),
                           weft_module_own(p->child[LN_2], "bias"), EPS, &x);
    return weft_add(x, drop(m, p, weft_forward(p->child[MLP], y)));
}

static weft_tensor *blocks_forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)self;
    for (int64_t i = 0; i < weft_children(m); i++)
        x = weft_forward(weft_child(m, i), x);
    return x;
}

enum { WTE, WPE, H, LN_F };

static weft_tensor *transformer_forward(weft_module *m, void *self, weft_tensor *tokens)
{
    const part *p = self;
    const int64_t t = tokens ? weft_dim(tokens, 1) : 0;
    if (tokens && (weft_rank_of(tokens) != 2 || t > p->context)) {
        weft_fail(weft_module_fabric(m), WEFT_ESHAPE,
                  "gpt2: %lld tokens in %d dimensions; it takes (B,T), T up to %lld", (long long)t,
                  weft_rank_of(tokens), (long long)p->context);
        tokens = NULL;
    }
    weft_tensor *x = weft_forward(p->child[WPE], weft_forward(p->child[WTE], tokens));
    return weft_forward(p->child[LN_F], weft_forward(p->child[H], drop(m, p, x)));
}

enum { TRANSFORMER, LM_HEAD };

static weft_tensor *gpt2_forward(weft_module *m, void *self, weft_tensor *tokens)
{
    const part *p = self;
    (void)m;
    weft_tensor *x = weft_forward(p->child[TRANSFORMER], tokens);
    return p->hidden ? x : weft_forward(p->child[LM_HEAD], x);
}

#define OPS(word)                                                                                  \
    {                                                                                              \
        .size = sizeof(weft_module_ops), .name = "gpt2_" #word, .forward = word##_forward          \
    }
static const weft_module_ops mlp_ops = OPS(mlp), block_ops = OPS(block), blocks_ops = OPS(blocks),
                             transformer_ops = OPS(transformer), gpt2_ops = OPS(gpt2);

/* --- the whole --- */

static weft_module *block(weft_fabric *f, const gpt2_options *o)
{
    static const char *const mlp[4] = {"c_fc", "c_proj"}, *const all[4] = {"ln_1", "attn", "ln_2",
                                                                           "mlp"};
    const int64_t n = o->width;
    weft_module *attn =
        weft_nn_attention(f, n, o->heads, WEFT_NN_ATTENTION(.causal = true, .dropout = o->dropout));
    part b = {.child = {weft_nn_linear(f, n, 4 * n), weft_nn_linear(f, 4 * n, n)}};
    part c = {.child = {weft_nn_layernorm(f, n), attn, weft_nn_layernorm(f, n),
                        make(f, &mlp_ops, b, mlp)},
              .dropout = o->dropout};
    weft_module *m = make(f, &block_ops, c, all);
    weft_recompute(m, o->recompute);
    return m;
}

static weft_module *blocks(weft_fabric *f, const gpt2_options *o)
{
    weft_module *m = weft_module_new(f, &blocks_ops, NULL, 0);
    for (int64_t i = 0; i < o->layers; i++) {
        char name[24];
        snprintf(name, sizeof name, "%lld", (long long)i);
        if (!weft_module_child(m, name, block(f, o)))
            return NULL;
    }
    return m;
}

/* Of the module m, whose full name is prefix, and all below it. */
static void start(weft_module *root, weft_module *m, const char *prefix, double residual)
{
    const bool into = strcmp(weft_module_name(m), "c_proj") == 0;
    char name[256];
    for (int64_t i = 0; i < weft_children(m); i++) {
        snprintf(name, sizeof name, "%s%s.", prefix, weft_module_name(weft_child(m, i)));
        start(root, weft_child(m, i), name, residual);
    }
    if (weft_children(m) || strcmp(weft_module_kind(m), "layernorm") == 0)
        return;
    snprintf(name, sizeof name, "%sweight", prefix);
    weft_init_param(root, name, WEFT_INITIALIZER(.kind = "normal", .std = into ? residual : STD));
    snprintf(name, sizeof name, "%sbias", prefix);
    if (weft_module_own(m, "bias"))
        weft_init_param(root, name, WEFT_INITIALIZER(.kind = "zeros"));
}

static gpt2_options filled(const gpt2_options *o)
{
    gpt2_options full = o ? *o : (gpt2_options){0};
    full.layers = full.layers ? full.layers : 12;
    full.heads = full.heads ? full.heads : 12;
    full.width = full.width ? full.width : 768;
    full.vocabulary = full.vocabulary ? full.vocabulary : 50257;
    full.context = full.context ? full.context : 1024;
    return full;
}

weft_module *gpt2_new(weft_fabric *f, const gpt2_options *given)
{
    static const char *const inner[4] = {"wte", "wpe", "h", "ln_f"}, *const outer[4] = {
                                                                         "transformer", "lm_head"};
    const gpt2_options o = filled(given);
    if (o.layers < 1 || o.heads < 1 || o.width < 1 || o.width % o.heads || o.chunk < 0) {
        weft_fail(f, WEFT_EARG,
                  "gpt2: %lld layers, %lld heads, width %lld, chunk %lld; heads divide the width, "
                  "and none is below 0",
                  (long long)o.layers, (long long)o.heads, (long long)o.width, (long long)o.chunk);
        return NULL;
    }
    part t = {.child = {weft_nn_embedding(f, o.vocabulary, o.width),
                        weft_nn_positions(f, o.context, o.width), blocks(f, &o),
                        weft_nn_layernorm(f, o.width)},
              .dropout = o.dropout,
              .context = o.context};
    part g = {
        {make(f, &transformer_ops, t, inner), weft_nn_linear_nobias(f, o.width, o.vocabulary)},
        .chunk = o.chunk};
    weft_module *m = make(f, &gpt2_ops, g, outer);
    weft_tie(m, "lm_head.weight", "transformer.wte.weight");
    if (m)
        start(m, m, "", STD / sqrt(2 * (double)o.layers));
    return weft_error(f) ? NULL : m;
}

/* Of ln_f's result x and the classifier's weight, so that logits come and go in chunks, or stay in the low type. */
static weft_tensor *loss_of(weft_tensor *x, weft_tensor *w, weft_tensor *targets, int64_t chunk)
{
    const int64_t row = -1, rows[2] = {-1, w ? weft_dim(w, 0) : 1};
    if (chunk)
        return weft_linear_cross_entropy(x, w, NULL, targets,
                                         WEFT_LINEAR_CROSS_ENTROPY(.chunk = chunk));
    return weft_cross_entropy(weft_reshape(weft_linear(x, w, NULL), 2, rows),
                              weft_reshape(targets, 1, &row));
}

weft_tensor *gpt2_loss(weft_module *m, weft_tensor *tokens, weft_tensor *targets)
{
    part *p = m ? weft_module_self(m) : NULL;
    if (!p)
        return NULL;
    weft_fabric *f = weft_module_fabric(m);
    p->hidden = true;
    weft_tensor *x = weft_forward(m, tokens);
    p->hidden = false;
    weft_autocast_begin(f);
    weft_tensor *loss = loss_of(x, weft_module_own(p->child[LM_HEAD], "weight"), targets, p->chunk);
    weft_autocast_end(f);
    return loss;
}

weft_optimizer *gpt2_adamw(weft_module *m, double lr, double weight_decay)
{
    weft_optimizer *o =
        weft_adamw(m, WEFT_ADAMW(.lr = lr, .beta1 = 0.9, .beta2 = 0.95,
                                 .weight_decay = weight_decay > 0 ? weight_decay : WEFT_OFF));
    if (o && weight_decay > 0) {
        weft_group(o, "*.bias", WEFT_GROUP(.weight_decay = WEFT_OFF));
        weft_group(o, "*.ln_*.weight", WEFT_GROUP(.weight_decay = WEFT_OFF));
    }
    return o;
}
