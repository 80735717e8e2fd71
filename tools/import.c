/* weft import: a checkpoint with the tensors of a safetensors file, for weft_load_raw. */
#include "names.h"
#include "safetensors.h"
#include "tool.h"
#include "transpose.h"

#include "checkpoint/checkpoint.h"
#include "comm/comm.h"
#include "core/alloc.h"
#include "core/error.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char usage[] =
    "usage: weft import [--names TABLE] [--into NAME] FILE.safetensors DIR\n"
    "\n"
    "Makes the checkpoint DIR/step-000000 of the tensors of a file. A program loads it with\n"
    "weft_load_raw.\n"
    "  --names TABLE  renames them: a line has Weft's name, the file's name, and perhaps the word\n"
    "                 transpose; * stands for a part without dots, ** for any, - for none\n"
    "  --into NAME    the module that they are of, as weft inspect shows it (default: model)\n";

typedef struct import {
    const char *file, *dir, *into;
    names names;
    safetensors in;
    weft_state_item *item; /* what it makes of the tensors */
    weft_slab *slab;
    char (*name)[NAMES_MAX];
    size_t n;
} import;

static weft_status take(import *m, const safetensor *t)
{
    const char *word;
    bool turned;
    weft_state_item *item = &m->item[m->n];
    weft_slab *slab = &m->slab[m->n];
    WEFT_TRY(names_map(&m->names, NAMES_FILE, t->name, m->name[m->n], &turned));
    if (!*m->name[m->n])
        return WEFT_OK;
    *item = (weft_state_item){.name = m->name[m->n],
                              .kind = WEFT_STATE_TENSOR,
                              .dtype = safetensors_type(t, &word),
                              .rank = t->rank,
                              .nslabs = 1,
                              .slabs = slab};
    safetensors_shape(t, item->shape);
    if (!item->dtype)
        return weft__fail(WEFT_EDTYPE,
                          "%s: \"%s\" is %s, which Weft has not; a line \"- %s\" of the table "
                          "leaves it out",
                          m->file, t->name, word, t->name);
    *slab = (weft_slab){.host = weft__new((size_t)(t->end - t->begin), 1)};
    m->n++;
    if (!slab->host)
        return WEFT_ENOMEM;
    slab->count = (t->end - t->begin) / (int64_t)weft_dtype_size(item->dtype);
    WEFT_TRY(safetensors_read(&m->in, t, slab->host));
    return turned ? transpose(t->name, slab->host, item) : WEFT_OK;
}

static weft_status state(void *self, weft_visitor *v)
{
    const import *m = self;
    WEFT_TRY(weft_state_enter(v, m->into));
    for (size_t i = 0; i < m->n; i++)
        WEFT_TRY(v->item(v, &m->item[i]));
    weft_state_leave(v);
    return WEFT_OK;
}

static void place_of(const char *dir, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/step-000000", dir);
}

static weft_status is_free(const char *dir)
{
    char there[PATH_MAX];
    struct stat st;
    place_of(dir, there);
    return lstat(there, &st) ? WEFT_OK : weft__fail(WEFT_ESTATE, "%s is there already", there);
}

static weft_status save(import *m)
{
    weft_comm *self;
    WEFT_TRY(weft__comm_self(&self));
    weft__checkpoint c = {.comm = self, .state = state, .self = m, .keep = WEFT_OFF};
    weft_status s = weft__checkpoint_save(&c, m->dir, 0);
    weft__checkpoint_free(&c);
    weft__comm_free(self);
    return s;
}

static weft_status run(import *m, const char *table)
{
    int64_t bytes = 0;
    char size[32], there[PATH_MAX];
    WEFT_TRY(names_load(&m->names, table));
    WEFT_TRY(safetensors_open(&m->in, m->file));
    WEFT_TRY(is_free(m->dir));
    m->item = weft__new(m->in.n, sizeof *m->item);
    m->slab = weft__new(m->in.n, sizeof *m->slab);
    m->name = weft__new(m->in.n, sizeof *m->name);
    if (!m->item || !m->slab || !m->name)
        return WEFT_ENOMEM;
    for (size_t i = 0; i < m->in.n; i++)
        WEFT_TRY(take(m, &m->in.tensor[i]));
    WEFT_TRY(save(m));
    for (size_t i = 0; i < m->n; i++)
        bytes += m->slab[i].count * (int64_t)weft_dtype_size(m->item[i].dtype);
    place_of(m->dir, there);
    printf("%s: %zu tensors of %zu, %s\n", there, m->n, m->in.n, tool_size(size, (double)bytes));
    return WEFT_OK;
}

int tool_import(int argc, char **argv)
{
import m = {.into = "model", .in = {.fd = - 1 } };
    const char *table = NULL;
    int k = 1;
    if (argc > 1 && tool_is(argv[1], "--help"))
        return fputs(usage, stdout) < 0;
    for (; k + 1 < argc && argv[k][0] == '-'; k += 2)
        if (tool_is(argv[k], "--names"))
            table = argv[k + 1];
        else if (tool_is(argv[k], "--into"))
            m.into = argv[k + 1];
        else
            break;
    if (argc - k != 2 || argv[k][0] == '-')
        return tool_misused("weft import takes a file and a directory; weft import --help says "
                            "more");
    m.file = argv[k];
    m.dir = argv[k + 1];
    weft_status s = run(&m, table);
    for (size_t i = 0; i < m.n; i++)
        weft__free(m.slab[i].host);
    weft__free(m.item);
    weft__free(m.slab);
    weft__free(m.name);
    names_free(&m.names);
    safetensors_close(&m.in);
    return s < 0 ? tool_failed(s) : 0;
}
