/* Trains a GPT-2 (Radford et al. 2019) on text and prints what it goes on with after a prompt.
 *
 *   mpirun -n 2 gpt2 [--size toy|mini|124M] [--text FILE|FOLDER] [--steps N] [--run DIR] ...
 *
 * The text's bytes are the tokens, or those of GPT-2's BPE with --vocab vocab.json --merges merges.txt. They
 * are written to DIR/train.bin and DIR/val.bin of --data DIR, which may also bring its own, without --text.
 * AdamW, clipping and a cosine schedule with warm-up are GPT-3's (Brown et al. 2020, appendix B). It resumes
 * from --run; --from begins with the weights of a checkpoint (`weft import` makes one of safetensors).
 * Weft's own options (--strategy, --precision, --seed, ...) work too.
 *
 * The exit status is 0 if the held-out loss is below the entropy of single tokens, 1 if it is not, and the
 * error's otherwise. */
#include "gpt2.h"
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

typedef struct program {
    options o;
    weft_fabric *f;
    tokenizer *tokens;
    weft_module *model, *next;
    weft_optimizer *adam;
    weft_loader *train, *val;
    weft_metric *loss, *held_out;
    double flops, peak; /* of a token; of all ranks in a second */
    double since;       /* the last line of progress, */
    int64_t seen;       /* and the tokens seen after it */
} program;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What all ranks together reach in a large matrix product in the precision's type, in flops a second: what
 * the progress line compares with, where --peak does not say (in Gflop/s a rank). */
static double find_peak(weft_fabric *f, double given)
{
    enum { N = 1024 };
    const int64_t shape[] = {N, N};
    double best = given * 1e9;
    weft_eval_begin(f);
    weft_autocast_begin(f);
    weft_tensor *a = weft_full(f, 1e-3, 2, shape, WEFT_DEFAULT);
    for (int i = 0; i < 6 && !(given > 0); i++) {
        const double begun = seconds();
        weft_item(weft_slice(weft_slice(weft_matmul(a, a), 0, 0, 1, 1), 1, 0, 1, 1)); /* waits */
        best = fmax(best, 2.0 * N * N * N / (seconds() - begun));
    }
    weft_autocast_end(f);
    weft_eval_end(f);
    weft_sum_over_ranks(f, &best, 1);
    return best;
}

static void open_text(program *p)
{
    const options *o = &p->o;
    char why[600] = "no memory", path[2][4096];
    p->tokens = o->vocab ? tokenizer_bpe(o->vocab, o->merges, why, sizeof why) : tokenizer_bytes();
    if (!p->tokens)
        weft_fail(p->f, WEFT_EFORMAT, "%s", why);
    if (!weft_rank_zero_first_begin(p->f, false) && o->text && weft_is_global_zero(p->f))
        text_write(p->f, p->tokens, o->text, o->data);
    weft_rank_zero_first_end(p->f);
    snprintf(path[0], sizeof path[0], "%s/train.bin", o->data);
    snprintf(path[1], sizeof path[1], "%s/val.bin", o->data);
    const int64_t batch = o->batch * o->accumulate;
    p->train = weft_loader_tokens(p->f, path[0], WEFT_TOKENS(.length = o->length, .stride = 1),
                                  WEFT_LOADER(.global_batch = o->batch, .replacement = true,
                                              .samples = 1000 * batch, .epochs = 1 << 30));
    p->val = weft_loader_tokens(p->f, path[1], WEFT_TOKENS(.length = o->length),
                                WEFT_LOADER(.global_batch = o->batch, .evaluation = true));
}

static void build(program *p)
{
    const options *o = &p->o;
    p->model =
        gpt2_new(p->f, &(gpt2_options){.layers = o->layers,
                                       .heads = o->heads,
                                       .width = o->width,
                                       .vocabulary = p->tokens ? tokenizer_size(p->tokens) : 1,
                                       .context = o->context,
                                       .dropout = o->dropout,
                                       .recompute = o->recompute,
                                       .chunk = o->chunk});
    p->next = sample_module(p->f, p->model);
    p->adam = gpt2_adamw(p->model, o->lr, o->decay);
    weft_set_schedule(p->adam, WEFT_SCHEDULE(.warmup = o->warmup < o->steps ? o->warmup : 0,
                                             .total = o->steps, .min_lr = o->min_lr));
    p->loss = weft_metric_mean(p->f);
    p->held_out = weft_metric_mean(p->f);
    weft_logger_csv(p->f, o->metrics);
    if (o->accumulate > 1)
        weft_accumulate(p->f, o->accumulate);
    weft_setup(p->f, p->model, p->adam);
    weft_setup_loader(p->f, p->train);
    if (o->from)
        weft_load_raw(p->f, o->from, p->model, NULL);
    weft_resume(p->f, o->run);
    /* Forward and backward of the products with each parameter, and of attention's two. */
    p->flops = 6.0 * (double)weft_param_elements(p->model) +
               6.0 * (double)(o->layers * o->width * o->length);
    p->peak = find_peak(p->f, o->peak);
}

/* The mean loss over the held-out tokens, of all ranks. */
static double evaluate(program *p)
{
    weft_metric_reset(p->held_out);
    weft_rewind(p->val);
    weft_eval_begin(p->f);
    for (weft_batch b; weft_next(p->val, &b);)
        weft_metric_update(p->held_out, gpt2_loss(p->model, b.x, b.y), NULL);
    weft_eval_end(p->f);
    return weft_metric_value(p->f, p->held_out);
}

static void begin_interval(program *p)
{
    weft_metric_reset(p->loss);
    p->seen = 0;
    p->since = seconds();
}

static void progress(program *p, weft_tensor *norm)
{
    const double loss = weft_metric_value(p->f, p->loss), took = seconds() - p->since;
    const double rate = (double)p->seen / took;
    weft_print(p->f, "step %lld/%lld  loss %.4f  lr %.3g  norm %.3g  %.0f tokens/s  MFU %.1f %%",
               (long long)weft_step_count(p->f), (long long)p->o.steps, loss, weft_lr(p->adam),
               weft_item(norm), rate, 100 * rate * p->flops / p->peak);
    begin_interval(p);
}

/* What is due after a step; its time is not the steps'. */
static void after_step(program *p, weft_tensor *norm)
{
    const int64_t step = weft_step_count(p->f);
    if (p->o.print && step % p->o.print == 0)
        progress(p, norm);
    const double begun = seconds();
    if (p->o.evaluate && step % p->o.evaluate == 0 && step < p->o.stop) {
        const double loss = evaluate(p);
        weft_log_value(p->f, "held_out", loss);
        weft_print(p->f, "step %lld/%lld  held-out loss %.4f", (long long)step,
                   (long long)p->o.steps, loss);
    }
    if (p->o.save && step % p->o.save == 0)
        weft_save_async(p->f, p->o.run);
    p->since += seconds() - begun;
}

static void train(program *p)
{
    begin_interval(p);
    for (weft_batch b; weft_step_count(p->f) < p->o.stop && weft_next(p->train, &b);) {
        weft_tensor *loss = gpt2_loss(p->model, b.x, b.y);
        weft_zero_grad(p->adam);
        weft_backward(p->f, loss);
        weft_tensor *norm = weft_clip_gradients(p->adam, WEFT_CLIP(.max_norm = p->o.clip));
        weft_log_value(p->f, "lr", weft_lr(p->adam));
        weft_log(p->f, "loss", loss);
        weft_metric_update(p->loss, loss, NULL);
        p->seen += b.global_rows * p->o.length;
        if (weft_step(p->adam) != WEFT_POSTPONED)
            after_step(p, norm);
    }
}

int main(int argc, char **argv)
{
    program p = {.f = NULL};
    double loss = NAN, entropy = NAN;
    char path[4096];
    if (weft_open(&p.f, &argc, &argv, NULL))
        return weft_close(&p.f);
    const char *bad = options_read(argc, argv, &p.o);
    if (bad) {
        weft_fail(p.f, WEFT_EARG, "gpt2: %s", bad);
        return weft_close(&p.f);
    }
    open_text(&p);
    build(&p);
    if (!weft_error(p.f))
        weft_print(p.f, "%lld parameters, %lld tokens a step, %.3g Gflop/s to reach",
                   (long long)weft_param_elements(p.model),
                   (long long)(p.o.batch * p.o.accumulate * p.o.length), p.peak / 1e9);
    train(&p);
    loss = evaluate(&p);
    snprintf(path, sizeof path, "%s/val.bin", p.o.data);
    entropy = text_entropy(p.f, path);
    if (!weft_error(p.f)) {
        weft_print(p.f, "held-out loss %.6f, entropy of single tokens %.4f", loss, entropy);
        if (p.o.sample)
            sample_print(p.f, p.next, p.tokens, &p.o);
    }
    tokenizer_free(p.tokens);
    const int status = weft_close(&p.f);
    return status ? status : !(loss < entropy);
}
