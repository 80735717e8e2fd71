/* weft inspect: what a MANIFEST says, for people and as JSON. Nothing but the MANIFEST is read. */
#include "checkpoints.h"
#include "tool.h"

#include "core/alloc.h"
#include "core/error.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char usage[] = "usage: weft inspect [--json] DIR\n"
                            "\n"
                            "DIR is a checkpoint (run/step-000123), or holds some (run): then all "
                            "are listed, and the newest\n"
                            "is shown. Shows tensors with their types, shapes and sizes, the "
                            "planes that they make up, and\n"
                            "the values: positions, counts, what the program tracks. --json prints "
                            "one object a checkpoint.\n";

static void print_shape(const weft__entry *e, char out[200])
{
    int n = snprintf(out, 200, "(");
    for (int d = 0; d < e->rank; d++)
        n += snprintf(out + n, 200 - (size_t)n, "%s%" PRId64, d ? ", " : "", e->shape[d]);
    snprintf(out + n, 200 - (size_t)n, e->rank == 1 ? ",)" : ")");
}

static int64_t bytes_of(const weft__entry *e)
{
    return e->numel * (int64_t)weft_dtype_size(e->dtype);
}

/* The part of a name before the parameter's own: "model", "optimizer/exp_avg". */
static int plane_length(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? (int)(slash - name) : 0;
}

static bool same_plane(const weft__entry *a, const weft__entry *b)
{
    int n = plane_length(a->name);
    return b->kind == WEFT_STATE_TENSOR && b->dtype == a->dtype && n == plane_length(b->name) &&
           strncmp(a->name, b->name, (size_t)n) == 0;
}

/* One line for the tensors of one type under one name. */
static void print_planes(const weft__manifest *m)
{
    char size[32], shape[32];
    for (size_t i = 0; i < m->n; i++) {
        const weft__entry *e = &m->entry[i];
        int64_t tensors = 0, elements = 0, bytes = 0;
        size_t before = 0;
        while (before < i && !same_plane(e, &m->entry[before]))
            before++;
        if (e->kind != WEFT_STATE_TENSOR || before < i)
            continue;
        for (size_t k = i; k < m->n; k++)
            if (same_plane(e, &m->entry[k])) {
                tensors++;
                elements += m->entry[k].numel;
                bytes += bytes_of(&m->entry[k]);
            }
        snprintf(shape, sizeof shape, "%" PRId64, elements);
        printf("  plane   %-5s %-16s %9s  %.*s, %" PRId64 " tensors\n", weft_dtype_name(e->dtype),
               shape, tool_size(size, (double)bytes), plane_length(e->name), e->name, tensors);
    }
}

static void print_value(const weft__entry *e, int64_t k)
{
    double x;
    memcpy(&x, &e->values[k], sizeof x);
    if (e->kind == WEFT_STATE_I64)
        printf("%" PRId64, e->values[k]);
    else
        printf("%.17g", x);
}

/* JSON has no infinities. */
static void json_value(const weft__entry *e, int64_t k)
{
    double x;
    memcpy(&x, &e->values[k], sizeof x);
    if (e->kind == WEFT_STATE_F64 && !isfinite(x))
        printf(isnan(x) ? "\"nan\"" : x > 0 ? "\"inf\"" : "\"-inf\"");
    else
        print_value(e, k);
}

static void print_entry(const weft__entry *e)
{
    char shape[200], size[32];
    if (e->kind == WEFT_STATE_TENSOR) {
        print_shape(e, shape);
        printf("  tensor  %-5s %-16s %9s  %s, %s, %zu slab%s\n", weft_dtype_name(e->dtype), shape,
               tool_size(size, (double)bytes_of(e)), e->name, weft__placement_word[e->placement],
               e->npieces, e->npieces == 1 ? "" : "s");
        return;
    }
    printf("  value   %-5s %s = ", weft__kind_word[e->kind], e->name);
    for (int o = 0; o < e->owners; o++) {
        if (o)
            printf("; ");
        for (int64_t k = 0; k < e->count && e->kind != WEFT_STATE_TEXT; k++) {
            printf(k ? " " : "");
            print_value(e, o * e->count + k);
        }
        if (e->kind == WEFT_STATE_TEXT)
            tool_json_text(e->text[o]);
    }
    putchar('\n');
}

static void print_checkpoint(const char *path, const weft__manifest *m)
{
    char size[32];
    printf("%s: step %" PRId64 ", saved by %d rank%s, %s in %d files, save %s\n", path, m->step,
           m->world, m->world == 1 ? "" : "s", tool_size(size, (double)checkpoints_bytes(m)),
           m->world + 1, m->id);
    print_planes(m);
    for (size_t i = 0; i < m->n; i++)
        print_entry(&m->entry[i]);
}

static void json_entry(const weft__entry *e)
{
    printf("{\"name\": ");
    tool_json_text(e->name);
    printf(", \"kind\": \"%s\", \"placement\": \"%s\"", weft__kind_word[e->kind],
           weft__placement_word[e->placement]);
    if (e->kind == WEFT_STATE_TENSOR) {
        printf(", \"dtype\": \"%s\", \"shape\": [", weft_dtype_name(e->dtype));
        for (int d = 0; d < e->rank; d++)
            printf("%s%" PRId64, d ? ", " : "", e->shape[d]);
        printf("], \"bytes\": %" PRId64 ", \"slabs\": %zu}", bytes_of(e), e->npieces);
        return;
    }
    printf(", \"values\": [");
    for (int64_t k = 0; k < e->owners * (e->kind == WEFT_STATE_TEXT ? 1 : e->count); k++) {
        printf(k ? ", " : "");
        if (e->kind == WEFT_STATE_TEXT)
            tool_json_text(e->text[k]);
        else
            json_value(e, k);
    }
    printf("]}");
}

static void json_file(const weft__file *f, bool first)
{
    printf("%s{\"name\": \"%s\", \"bytes\": %" PRId64 "}", first ? "" : ", ", f->name, f->size);
}

static void json_checkpoint(const char *path, const weft__manifest *m)
{
    printf("{\"path\": ");
    tool_json_text(path);
    printf(", \"step\": %" PRId64 ", \"world\": %d, \"save\": \"%s\", \"bytes\": %" PRId64
           ", \"files\": [",
           m->step, m->world, m->id, checkpoints_bytes(m));
    json_file(&m->index, true);
    for (int i = 0; i < m->world; i++)
        json_file(&m->file[i], false);
    printf("], \"items\": [");
    for (size_t i = 0; i < m->n; i++) {
        printf(i ? ",\n" : "\n");
        json_entry(&m->entry[i]);
    }
    printf("]}\n");
}

/* @return the exit status of what went wrong, or 0 */
static int inspect(const checkpoints *c, size_t i, bool json)
{
    weft__reader *r = weft__new(1, sizeof *r);
    char size[32];
    weft_status s = r ? checkpoints_open(r, c, i) : WEFT_ENOMEM;
    if (s < 0)
        tool_failed(s);
    else if (json)
        json_checkpoint(c->path[i], &r->m);
    else if (i == 0)
        print_checkpoint(c->path[i], &r->m);
    else
        printf("%s: step %" PRId64 ", saved by %d rank%s, %s\n", c->path[i], r->m.step, r->m.world,
               r->m.world == 1 ? "" : "s", tool_size(size, (double)checkpoints_bytes(&r->m)));
    if (r)
        weft__reader_close(r);
    weft__free(r);
    return s < 0 ? -s : 0;
}

int tool_inspect(int argc, char **argv)
{
    checkpoints c;
    int status = 0;
    bool json = argc > 1 && tool_is(argv[1], "--json");
    argc -= json;
    argv += json;
    if (argc > 1 && tool_is(argv[1], "--help"))
        return fputs(usage, stdout) < 0;
    if (argc != 2 || argv[1][0] == '-')
        return tool_misused("weft inspect takes one directory; weft inspect --help says more");
    weft_status s = checkpoints_find(&c, argv[1]);
    if (s < 0)
        status = tool_failed(s);
    for (size_t i = c.n; s >= 0 && i-- > 0;) { /* the newest last */
        int one = inspect(&c, i, json);
        status = status ? status : one;
    }
    checkpoints_free(&c);
    return status;
}
