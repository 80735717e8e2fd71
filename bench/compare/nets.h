/* The networks that are compared, their losses, their files and what a step of them costs at least. */
#ifndef COMPARE_NETS_H
#define COMPARE_NETS_H
#include <jansson.h>
#include <weft.h>

#define LAYERS 8

typedef enum kind { MLP, CNN, GPT2 } kind;

typedef struct network {
    kind kind;
    weft_fabric *fabric;
    weft_module *model;
    weft_optimizer *adam;
    weft_loader *loader; /* or NULL: batches are taken in turn */
    int64_t rows, batches, at;
    int64_t layers, width[LAYERS + 1]; /* of linear layers */
    int64_t channels;                  /* of the first convolution */
    int64_t length, blocks, percent;   /* tokens of a row, blocks of GPT-2, what it drops */
    int64_t cells, targets;            /* of x and y in a row */
    bool low;                          /* bf16-mixed */
    void *x;                           /* f32, of GPT-2 i64 */
    int64_t *label;
    bool pinned; /* both are, and batches are copied; else they stay where they are */
} network;

/* From the words after "load": KIND FILE PRECISION ROWS BATCHES and
 *   mlp WIDTH...    linear layers with ReLU between them; Adam, cross entropy
 *   cnn CHANNELS    that of examples/cnn.c on images of 28 x 28; Adam, cross entropy
 *   gpt2 LENGTH BLOCKS [PERCENT]   GPT-2 124M with so many blocks and dropout; AdamW after clipping to norm 1
 * `options` are weft_open's. */
weft_status net_load(network *w, const char *options, char *words);
void net_free(network *w);
/* The next batch. */
weft_batch net_take(network *w);
weft_tensor *net_loss(network *w, weft_batch b);
/* The sum over the parts of a step of the larger of flops / peak and bytes / bandwidth, both measured now. */
json_t *net_bound(const network *w);
#endif
