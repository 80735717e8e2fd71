/* Sampling: the network is asked for the next token, one is drawn, and again. */
#include "gpt2.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/sys/module.h>

/* --- a module that has the network's last position alone --- */

static weft_tensor *forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)m;
    return weft_slice(weft_forward(*(weft_module **)self, x), 1, -1, INT64_MAX, 1);
}

static const weft_module_ops ops = {.size = sizeof ops, .name = "next", .forward = forward};

weft_module *sample_module(weft_fabric *f, weft_module *model)
{
    return weft_module_new(f, &ops, &model, sizeof model);
}

/* --- drawing --- */

/* Uniform in [0, 1); Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014. */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static int falling(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* One of n, with probabilities softmax(logits / temperature) over the k largest; temperature 0: the
 * largest. */
static int32_t draw(const float *logits, float *sorted, int64_t n, const options *o,
                    uint64_t *state)
{
    const int64_t k = o->temperature <= 0 ? 1 : o->top_k && o->top_k < n ? o->top_k : n;
    double sum = 0;
    int64_t i = 0;
    memcpy(sorted, logits, (size_t)n * sizeof *logits);
    qsort(sorted, (size_t)n, sizeof *sorted, falling);
    const double temperature = o->temperature > 0 ? o->temperature : 1;
    for (int64_t j = 0; j < n; j++)
        sum += logits[j] >= sorted[k - 1] ? exp((logits[j] - sorted[0]) / temperature) : 0;
    double left = k == 1 ? 0 : uniform(state) * sum;
    for (int64_t j = 0; j < n; j++) {
        if (!(logits[j] >= sorted[k - 1]))
            continue;
        i = j;
        left -= exp((logits[j] - sorted[0]) / temperature);
        if (left < 0)
            break;
    }
    return (int32_t)i;
}

static void print(weft_fabric *f, const tokenizer *t, int32_t token)
{
    size_t n;
    const char *text = tokenizer_decode(t, token, &n);
    if (weft_is_global_zero(f) && text)
        fwrite(text, 1, n, stdout);
}

static void sample(weft_fabric *f, weft_module *next, const tokenizer *t, const options *o,
                   int32_t *token, int64_t n, float *logits)
{
    const int64_t size = tokenizer_size(t);
    uint64_t state = weft_seed(f);
    for (int64_t i = 0; i < n; i++)
        print(f, t, token[i]);
    for (int64_t i = 0; i < o->sample; i++) {
        const int64_t seen = n < o->context ? n : o->context, shape[] = {1, seen};
        if (weft_infer(next, token + n - seen, 2, shape, WEFT_I32, logits, size, WEFT_F32))
            return;
        token[n++] = draw(logits, logits + size, size, o, &state);
        print(f, t, token[n - 1]);
    }
    if (weft_is_global_zero(f))
        puts("");
}

void sample_print(weft_fabric *f, weft_module *next, const tokenizer *t, const options *o)
{
    const size_t prompt = strlen(o->prompt);
    int32_t *token = malloc((prompt + (size_t)o->sample + 1) * sizeof *token);
    float *logits = malloc(2 * (size_t)tokenizer_size(t) * sizeof *logits);
    if (!token || !logits || !prompt)
        weft_fail(f, prompt ? WEFT_ENOMEM : WEFT_EARG, "%s",
                  prompt ? "no memory" : "--prompt is empty");
    else
        sample(f, next, t, o, token, tokenizer_encode(t, o->prompt, prompt, token), logits);
    free(token);
    free(logits);
}
