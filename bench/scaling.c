/* Throughput and efficiency from lines of `step`: a table in CSV on stdout.
 *
 *   scaling <scaling.jsonl >scaling.csv
 *
 * Lines with one --tag are one series, compared with its line of the fewest cores (ranks x threads): efficiency is samples a
 * second and core over those of that line, for a batch that grows with the cores (weak) as for one that does not (strong). Parts
 * of the step are rank 0's, in microseconds. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 4096
#define PARTS 6

static const char *const part_names[PARTS] = {"data",          "forward",   "backward",
                                              "communication", "optimizer", "other"};

typedef struct point {
    char tag[32];
    int ranks, threads, nodes, batch;
    double us, low, high, part[PARTS];
} point;

static double cores(const point *p)
{
    return (double)p->ranks * p->threads;
}

static double rate(const point *p)
{
    return 1e6 * p->batch / p->us;
}

/* By series, threads and ranks. */
static int order(const void *a, const void *b)
{
    const point *x = a, *y = b;
    int by_tag = strcmp(x->tag, y->tag);
    if (by_tag)
        return by_tag;
    return x->threads != y->threads ? x->threads - y->threads : x->ranks - y->ranks;
}

static double median(const json_t *parts, const char *name)
{
    return json_real_value(json_object_get(json_object_get(parts, name), "median"));
}

static int parse(const char *line, point *p)
{
    const char *tag;
    json_t *in = json_loads(line, 0, NULL), *us, *parts;
    int good = in && json_unpack(in, "{s:s, s:i, s:i, s:i, s:i, s:{s:F, s:F, s:F}, s:o, s:o}",
                                 "tag", &tag, "ranks", &p->ranks, "threads", &p->threads, "nodes",
                                 &p->nodes, "batch", &p->batch, "step_us", "p25", &p->low, "median",
                                 &p->us, "p75", &p->high, "step_us", &us, "parts_us", &parts) == 0;
    if (good) {
        snprintf(p->tag, sizeof p->tag, "%s", tag);
        for (int k = 0; k < PARTS; k++)
            p->part[k] = median(parts, part_names[k]);
    }
    json_decref(in);
    return good && p->us > 0 && p->ranks > 0 && p->threads > 0;
}

static void print(const point *p, const point *first)
{
    double speedup = rate(p) / rate(first);
    printf("%s,%d,%d,%d,%g,%d,%.2f,%.2f,%.2f,%.1f,%.3f,%.3f", p->tag, p->ranks, p->threads,
           p->nodes, cores(p), p->batch, p->us, p->low, p->high, rate(p), speedup,
           speedup * cores(first) / cores(p));
    for (int k = 0; k < PARTS; k++)
        printf(",%.2f", p->part[k]);
    putchar('\n');
}

int main(void)
{
    static point all[MOST];
    char *line = NULL;
    size_t room = 0;
    int n = 0;
    while (getline(&line, &room, stdin) > 0)
        if (line[0] != '{')
            continue;
        else if (n == MOST || !parse(line, &all[n])) {
            fprintf(stderr, "scaling: this is no line of bench/step, or one too many: %s", line);
            free(line);
            return 1;
        } else
            n++;
    free(line);
    qsort(all, (size_t)n, sizeof *all, order);
    fputs("scaling,ranks,threads,nodes,cores,batch,step_us,step_p25,step_p75,samples_s,speedup,"
          "efficiency",
          stdout);
    for (int k = 0; k < PARTS; k++)
        printf(",%s_us", part_names[k]);
    putchar('\n');
    for (int i = 0; i < n; i++) {
        const point *first = &all[i];
        for (int j = 0; j < n; j++)
            if (!strcmp(all[j].tag, all[i].tag) && cores(&all[j]) < cores(first))
                first = &all[j];
        print(&all[i], first);
    }
    return n ? 0 : 1;
}
