/* GPT-2 (Radford et al., "Language models are unsupervised multitask learners", 2019): tokens to the
 * logits of the next token. Parameters have Hugging Face's names, transformer.h.0.attn.c_attn.weight and
 * so on; but where its Conv1D keeps a weight as (in,out), it is (out,in) here. */
#ifndef GPT2_MODEL_H
#define GPT2_MODEL_H
#include <weft.h>

typedef struct gpt2_options {
    int64_t layers, heads, width, vocabulary, context; /* 0: 12, 12, 768, 50257, 1024: 124M */
    double
        dropout; /* of the embeddings, of attention's weights, and of what each part adds; 0: none */
    bool recompute; /* a block's activations are not kept, but computed again in backward */
    int64_t chunk;  /* gpt2_loss takes so many rows of logits at a time; 0: all of them */
} gpt2_options;

/* tokens (B,T), T up to context, u8, i32 or i64 -> logits (B,T,vocabulary). The classifier's weight is
 * that of the token embedding. Starts as GPT-2: normal with deviation 0.02, 0.02 / sqrt(2 layers) where
 * a part adds to the residual stream, biases 0. NULL after an error. */
weft_module *gpt2_new(weft_fabric *f, const gpt2_options *o);

/* The mean cross entropy of the logits of `tokens` and targets (B,T), forward included. */
weft_tensor *gpt2_loss(weft_module *m, weft_tensor *tokens, weft_tensor *targets);

/* AdamW with GPT-2's betas, 0.9 and 0.95; weight decay acts on matrices alone, not on biases and
 * normalisations. */
weft_optimizer *gpt2_adamw(weft_module *m, double lr, double weight_decay);

#endif
