/* Weft's side of a comparison: trains a network at the word of compare.py, which reads one line of JSON for
 * each of these:
 *
 *   load ...    weights and batches from a file, a new network: see nets.h
 *   unload      it goes, with its memory
 *   loaders     from here on batches come shuffled from a loader over the arrays
 *   losses N    the losses of the next N steps
 *   time N      microseconds of each of the next N steps (the mean, where the device goes on beside the
 *               program), and a step's mean processor time and number of times that it was made to wait
 *   bound       what a step costs at least on this machine, by measured peak and bandwidth
 *   about       versions, kernels, where it runs
 *
 * Batches stay in memory and are taken in turn. Options are weft_open's. */
#include "../bounds.h"
#include "../report.h"
#include "nets.h"

#include "core/alloc.h"
#include "core/context.h"
#include "device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define STEPS 100000

static weft_status make_loader(network *w)
{
    if (w->kind != MLP)
        return weft_fail(w->fabric, WEFT_ENOTSUP, "loaders: of linear layers' networks alone");
    w->loader = weft_loader_arrays(
        w->fabric, w->batches * w->rows, w->x, 1, &w->width[0], WEFT_F32, w->label, WEFT_I64,
        WEFT_LOADER(.global_batch = w->rows, .epochs = 1000000, .shuffle = true));
    return weft_setup_loader(w->fabric, w->loader);
}

/* One step, with its loss if it is asked for. */
static void train(network *w, double *loss)
{
    weft_batch b;
    if (!w->loader)
        b = net_take(w);
    else if (!weft_next(w->loader, &b))
        return;
    weft_tensor *l = net_loss(w, b);
    weft_zero_grad(w->adam);
    weft_backward(w->fabric, l);
    if (w->kind == GPT2)
        weft_clip_gradients(w->adam, WEFT_CLIP(.max_norm = 1));
    weft_step(w->adam);
    if (loss)
        *loss = weft_item(l);
    if (!w->loader)
        weft_step_end(w->fabric);
}

/* Processor time of all threads in seconds, and how often one was made to wait for another process. */
static double used(int64_t *preempted)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    *preempted = r.ru_nivcsw;
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static json_t *steps(network *w, int64_t n, bool losses)
{
    json_t *list = json_array();
    int64_t before, after;
    const weft_device *d = w->fabric->device;
    double cpu = used(&before), begin = weft__now();
    double *value = n > 0 && n <= STEPS ? weft__new((size_t)n, sizeof *value) : NULL;
    for (int64_t i = 0; value && i < n; i++) {
        double start = weft__now();
        train(w, losses ? &value[i] : NULL);
        if (!losses)
            value[i] = 1e6 * (weft__now() - start);
    }
    if (!d->ops->immediate && !losses) {
        d->ops->sync(w->fabric->stream);
        begin = weft__now() - begin;
        for (int64_t i = 0; value && i < n; i++)
            value[i] = 1e6 * begin / (double)n;
    }
    cpu = used(&after) - cpu;
    for (int64_t i = 0; value && i < n; i++)
        json_array_append_new(list, json_real(value[i]));
    weft__free(value);
    if (weft_error(w->fabric))
        return json_decref(list), NULL;
    return json_pack("{s:o, s:f, s:f}", losses ? "losses" : "us", list, "cpu_us",
                     1e6 * cpu / (double)n, "preempted", (double)(after - before) / (double)n);
}

static json_t *about(const network *w)
{
    json_t *out = bench_machine();
    json_object_set_new(out, "kernels", json_string(weft_kernel_set(w->fabric)));
    json_object_set_new(out, "threads", json_integer(weft_threads(w->fabric)));
    json_object_set_new(out, "bounds", bench_bounds(weft_threads(w->fabric)));
    return out;
}

static json_t *obey(network *w, const char *options, char *line)
{
    char *words = line + strcspn(line, " ");
    words += *words == ' ';
    if (strncmp(line, "load ", 5) == 0)
        return net_load(w, options, words) ? NULL : json_object();
    if (strcmp(line, "unload") == 0)
        return net_free(w), json_object();
    if (!w->fabric || weft_error(w->fabric))
        return NULL;
    if (strncmp(line, "losses ", 7) == 0 || strncmp(line, "time ", 5) == 0)
        return steps(w, strtol(words, NULL, 10), line[0] == 'l');
    if (strcmp(line, "loaders") == 0)
        return make_loader(w) ? NULL : json_object();
    return strcmp(line, "bound") == 0 ? net_bound(w) : strcmp(line, "about") == 0 ? about(w) : NULL;
}

int main(int argc, char **argv)
{
    char line[8192];
    network w = {0};
    const char *options = argc > 1 ? argv[1] : "";
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        json_t *answer = obey(&w, options, line);
        if (!answer)
            answer = json_pack("{s:s}", "error", w.fabric ? weft_message(w.fabric) : line);
        bench_print(answer);
    }
    net_free(&w);
    return 0;
}
