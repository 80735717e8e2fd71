/* The parts of the program: its options, the text, sampling. model.h has the network, tokenizer.h the
 * tokens. */
#ifndef GPT2_H
#define GPT2_H
#include "tokenizer.h"

#include <stdbool.h>
#include <weft.h>

typedef struct options {
    const char *size, *text, *data, *vocab, *merges, *from, *run, *metrics, *prompt;
    int64_t layers, heads, width, context, length, batch, accumulate, steps, stop, warmup;
    int64_t evaluate, save, print, sample, top_k, chunk;
    double lr, min_lr, decay, clip, dropout, temperature, peak;
    bool recompute;
} options;

/* Defaults, then the command line, then what the size says of the rest. NULL, or what is wrong. */
const char *options_read(int argc, char **argv, options *o);

/* Writes the tokens of a text, a file or all files of a folder, to train.bin and val.bin (u16) in a folder that
 * is made if need be: of 100 equal parts every tenth is held out. For rank 0. */
weft_status text_write(weft_fabric *f, const tokenizer *t, const char *text, const char *folder);
/* The entropy of single tokens in a file of u16, in nats: what a model that looks at no context can reach
 * at best. NAN, and an error sticks, if it cannot be read. */
double text_entropy(weft_fabric *f, const char *path);

/* A module that gives the logits (1,1,V) of the token that comes after tokens (1,T). */
weft_module *sample_module(weft_fabric *f, weft_module *model);
/* Prints what comes after the prompt, o->sample tokens of it. All ranks compute, rank 0 prints. */
void sample_print(weft_fabric *f, weft_module *next, const tokenizer *t, const options *o);
#endif
