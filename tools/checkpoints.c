/* Finding checkpoints by a path. */
#include "checkpoints.h"

#include "checkpoint/directory.h"
#include "core/alloc.h"
#include "core/error.h"

#include <stdio.h>
#include <sys/stat.h>

static bool is_checkpoint(const char *path)
{
    char manifest[PATH_MAX];
    struct stat st;
    return snprintf(manifest, sizeof manifest, "%s/" WEFT__MANIFEST, path) < PATH_MAX &&
           lstat(manifest, &st) == 0;
}

static weft_status make_paths(checkpoints *c, const char *path)
{
    bool itself = c->n == 0;
    c->n = itself ? 1 : c->n;
    if (!(c->path = weft__new(c->n, sizeof *c->path)))
        return WEFT_ENOMEM;
    for (size_t i = 0; i < c->n; i++)
        if ((itself ? snprintf(c->path[i], PATH_MAX, "%s", path)
                    : snprintf(c->path[i], PATH_MAX, "%s/step-%06lld", path,
                               (long long)c->step[i])) >= PATH_MAX)
            return weft__fail(WEFT_EARG, "%.80s...: the name is too long", path);
    return WEFT_OK;
}

weft_status checkpoints_find(checkpoints *c, const char *path)
{
    struct stat st;
    *c = (checkpoints){0};
    if (stat(path, &st))
        return weft__fail_errno(WEFT_ENOENT, "%s", path);
    if (!S_ISDIR(st.st_mode))
        return weft__fail(WEFT_ENOENT,
                          "%s is no directory; a checkpoint is one, with a " //
                          WEFT__MANIFEST,
                          path);
    if (!is_checkpoint(path)) {
        WEFT_TRY(weft__scan(path, &c->step, &c->n));
        if (!c->n)
            return weft__fail(WEFT_ENOENT, "%s is no checkpoint and holds none (step-N)", path);
    }
    return make_paths(c, path);
}

void checkpoints_free(checkpoints *c)
{
    weft__free(c->path);
    weft__free(c->step);
}

weft_status checkpoints_open(weft__reader *r, const checkpoints *c, size_t i)
{
    WEFT_TRY(weft__reader_open(r, c->path[i]));
    if (c->step && c->step[i] != r->m.step)
        return weft__fail(WEFT_EFORMAT, "%s holds step %lld by its " WEFT__MANIFEST, c->path[i],
                          (long long)r->m.step);
    return WEFT_OK;
}

int64_t checkpoints_bytes(const weft__manifest *m)
{
    int64_t bytes = m->index.size;
    for (int i = 0; i < m->world; i++)
        bytes += m->file[i].size;
    return bytes;
}
