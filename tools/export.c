/* weft export: a module's tensors as a safetensors file. */
#include "checkpoints.h"
#include "names.h"
#include "safetensors.h"
#include "tool.h"
#include "transpose.h"

#include "checkpoint/disk.h"
#include "core/alloc.h"
#include "core/error.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: weft export [--names TABLE] [--from NAME] CHECKPOINT FILE.safetensors\n"
    "\n"
    "Writes a module's tensors. CHECKPOINT is one (run/step-000123), or holds some (run): then "
    "the\n"
    "newest is taken.\n"
    "  --names TABLE  renames them: a line has Weft's name, the file's name, and perhaps the word\n"
    "                 transpose; * stands for a part without dots, ** for any, - for none\n"
    "  --from NAME    the module, as weft inspect shows it (default: model)\n";

typedef struct chosen {
    const weft__entry *entry;
    weft_state_item item; /* its type and its shape in the file */
    char name[NAMES_MAX];
    bool turned;
    int place;
    int64_t bytes;
} chosen;

typedef struct exporter {
    const char *file, *from;
    names names;
    weft__reader *in;
    chosen *tensor; /* in the order of the file */
    size_t n;
    char *header;
    size_t length, room;
} exporter;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const chosen *)a)->name, ((const chosen *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const chosen *s = a, *t = b;
    return s->place != t->place ? s->place - t->place : strcmp(s->name, t->name);
}

static weft_status choose_one(exporter *x, const weft__entry *e, const char *name)
{
    chosen *c = &x->tensor[x->n];
    *c = (chosen){.entry = e,
                  .item = {.name = name, .dtype = e->dtype, .rank = e->rank},
                  .bytes = e->numel * (int64_t)weft_dtype_size(e->dtype)};
    memcpy(c->item.shape, e->shape, sizeof e->shape);
    WEFT_TRY(names_map(&x->names, NAMES_WEFT, name, c->name, &c->turned));
    if (!*c->name)
        return WEFT_OK;
    safetensors_word(e->dtype, &c->place);
    if (e->placement == WEFT_PER_RANK)
        return weft__fail(WEFT_ENOTSUP, "\"%s\" is each rank's own and no one tensor", e->name);
    x->n++;
    return c->turned ? transpose(name, NULL, &c->item) : WEFT_OK;
}

static weft_status choose(exporter *x)
{
    const size_t scope = strlen(x->from);
    const weft__manifest *m = &x->in->m;
    if (!(x->tensor = weft__new(m->n, sizeof *x->tensor)))
        return WEFT_ENOMEM;
    for (size_t i = 0; i < m->n; i++) {
        const weft__entry *e = &m->entry[i];
        if (e->kind == WEFT_STATE_TENSOR && strncmp(e->name, x->from, scope) == 0 &&
            e->name[scope] == '/')
            WEFT_TRY(choose_one(x, e, e->name + scope + 1));
    }
    if (!x->n)
        return weft__fail(WEFT_ENOENT,
                          "%s holds no tensor of \"%s\"; weft inspect shows what it "
                          "holds",
                          x->in->where, x->from);
    qsort(x->tensor, x->n, sizeof *x->tensor, by_name);
    for (size_t i = 1; i < x->n; i++)
        if (strcmp(x->tensor[i - 1].name, x->tensor[i].name) == 0)
            return weft__fail(WEFT_ECONFIG, "two tensors would be \"%s\": \"%s\" and \"%s\"",
                              x->tensor[i].name, x->tensor[i - 1].entry->name,
                              x->tensor[i].entry->name);
    qsort(x->tensor, x->n, sizeof *x->tensor, by_place);
    return WEFT_OK;
}

static weft_status add(exporter *x, const char *format, ...) WEFT_PRINTF(2, 3);

static weft_status add(exporter *x, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    WEFT_TRY(weft__grow(&x->header, &x->room, x->length + (size_t)n + 1, 1));
    va_start(args, format);
    vsnprintf(x->header + x->length, (size_t)n + 1, format, args);
    va_end(args);
    x->length += (size_t)n;
    return WEFT_OK;
}

/* Names in the checkpoint are UTF-8 without control bytes. */
static weft_status add_name(exporter *x, const char *name)
{
    WEFT_TRY(add(x, "\""));
    for (; *name; name++)
        WEFT_TRY(add(x, *name == '"' || *name == '\\' ? "\\%c" : "%c", *name));
    return add(x, "\":");
}

/* As the format's own writer has it, to the byte; padded with spaces, so that data is aligned. */
static weft_status write_header(exporter *x)
{
    int place;
    int64_t at = 0;
    WEFT_TRY(add(x, "{\"__metadata__\":{\"format\":\"pt\"}"));
    for (size_t i = 0; i < x->n; at += x->tensor[i++].bytes) {
        const chosen *c = &x->tensor[i];
        WEFT_TRY(add(x, ","));
        WEFT_TRY(add_name(x, c->name));
        WEFT_TRY(add(x, "{\"dtype\":\"%s\",\"shape\":[", safetensors_word(c->item.dtype, &place)));
        for (int d = 0; d < c->item.rank; d++)
            WEFT_TRY(add(x, "%s%" PRId64, d ? "," : "", c->item.shape[d]));
        WEFT_TRY(add(x, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", at, at + c->bytes));
    }
    WEFT_TRY(add(x, "}"));
    while (x->length % 8)
        WEFT_TRY(add(x, " "));
    return (int64_t)x->length <= SAFETENSORS_HEADER
               ? WEFT_OK
               : weft__fail(WEFT_ENOTSUP, "a header of %zu bytes, the format has at most %lld",
                            x->length, (long long)SAFETENSORS_HEADER);
}

/* A tensor of the checkpoint, whole. */
static weft_status fetch(weft__reader *r, const weft__entry *e, char *to)
{
    const int64_t size = (int64_t)weft_dtype_size(e->dtype);
    for (size_t i = 0; i < e->npieces; i++) {
        const weft__piece *p = &e->piece[i];
        const int64_t bytes = weft__piece_bytes(e, p);
        for (int64_t b = 0; b < weft__piece_blocks(e, p); b++) {
            const int64_t skip = b * WEFT__BLOCK, left = bytes - skip;
            WEFT_TRY(weft__reader_block(r, e, p, b));
            memcpy(to + p->first * size + skip, r->block,
                   (size_t)(left < WEFT__BLOCK ? left : WEFT__BLOCK));
        }
    }
    return WEFT_OK;
}

static weft_status write_tensor(exporter *x, const chosen *c, weft__out *out, int64_t at)
{
    char *data = weft__new((size_t)c->bytes, 1);
    weft_state_item item = c->item;
    if (!data)
        return WEFT_ENOMEM;
    memcpy(item.shape, c->entry->shape, sizeof item.shape);
    weft_status s = fetch(x->in, c->entry, data);
    if (!s && c->turned)
        s = transpose(c->name, data, &item);
    if (!s)
        s = weft__out_write(out, data, c->bytes, at);
    weft__free(data);
    return s;
}

static weft_status write_all(exporter *x, weft__out *out)
{
    unsigned char length[8];
    int64_t at = 8 + (int64_t)x->length;
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)x->length >> 8 * i);
    WEFT_TRY(weft__out_write(out, length, 8, 0));
    WEFT_TRY(weft__out_write(out, x->header, (int64_t)x->length, 8));
    for (size_t i = 0; i < x->n; at += x->tensor[i++].bytes)
        WEFT_TRY(write_tensor(x, &x->tensor[i], out, at));
    return WEFT_OK;
}

/* Written aside; one rename puts it in place. */
static weft_status write_file(exporter *x, int64_t size)
{
    char where[PATH_MAX], aside[NAMES_MAX];
    weft__out out;
    const char *slash = strrchr(x->file, '/'), *base = slash ? slash + 1 : x->file;
    snprintf(where, sizeof where, "%.*s", slash ? (int)(slash - x->file) + 1 : 1,
             slash ? x->file : ".");
    if (snprintf(aside, sizeof aside, ".%s.tmp-%ld", base, (long)getpid()) >= (int)sizeof aside ||
        !*base)
        return weft__fail(WEFT_EARG, "\"%s\" cannot name a file", x->file);
    const int dir = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return weft__fail_errno(WEFT_EIO, "%s: cannot open the directory", where);
    weft_status s = weft__out_create(&out, dir, where, aside, size);
    if (!s)
        s = weft__out_close(&out, write_all(x, &out));
    if (!s && renameat(dir, aside, dir, base)) {
        s = weft__fail_errno(WEFT_EIO, "%s: cannot rename %s to it", x->file, aside);
        unlinkat(dir, aside, 0);
    }
    if (!s)
        s = weft__sync_directory(dir, where);
    close(dir);
    return s;
}

static weft_status run(exporter *x, const char *table)
{
    int64_t bytes = 0;
    char size[32];
    WEFT_TRY(names_load(&x->names, table));
    WEFT_TRY(choose(x));
    WEFT_TRY(write_header(x));
    for (size_t i = 0; i < x->n; i++)
        bytes += x->tensor[i].bytes;
    WEFT_TRY(write_file(x, 8 + (int64_t)x->length + bytes));
    printf("%s: %zu tensors of %s, %s\n", x->file, x->n, x->in->where,
           tool_size(size, (double)bytes));
    return WEFT_OK;
}

static int export_newest(exporter *x, const char *path, const char *table)
{
    checkpoints c;
    weft_status s = checkpoints_find(&c, path);
    x->in = s < 0 ? NULL : weft__new(1, sizeof *x->in);
    if (s >= 0)
        s = x->in ? checkpoints_open(x->in, &c, 0) : WEFT_ENOMEM;
    if (s >= 0)
        s = run(x, table);
    if (x->in)
        weft__reader_close(x->in);
    weft__free(x->in);
    weft__free(x->tensor);
    weft__free(x->header);
    names_free(&x->names);
    checkpoints_free(&c);
    return s < 0 ? tool_failed(s) : 0;
}

int tool_export(int argc, char **argv)
{
    exporter x = {.from = "model"};
    const char *table = NULL;
    int k = 1;
    if (argc > 1 && tool_is(argv[1], "--help"))
        return fputs(usage, stdout) < 0;
    for (; k + 1 < argc && argv[k][0] == '-'; k += 2)
        if (tool_is(argv[k], "--names"))
            table = argv[k + 1];
        else if (tool_is(argv[k], "--from"))
            x.from = argv[k + 1];
        else
            break;
    if (argc - k != 2 || argv[k][0] == '-')
        return tool_misused("weft export takes a checkpoint and a file; weft export --help says "
                            "more");
    x.file = argv[k + 1];
    return export_newest(&x, argv[k], table);
}
