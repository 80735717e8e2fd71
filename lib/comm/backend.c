/* Which communicator, by name. */
#include "comm/backend.h"

#include "comm/comm.h"
#include "comm/direct.h"
#include "comm/nccl.h"
#include "comm/shm.h"
#include "core/env.h"
#include "core/error.h"
#include "core/log.h"

#include <string.h>

static const struct {
    const char *name, *needs; /* needs: why it is not in this build */
} backend[] = {{"auto", NULL},
               {"mpi", NULL},
               {"shm", NULL},
               {"nccl", WEFT__HAS_NCCL ? NULL : "this build is without CUDA or without NCCL"},
               {"gloo", "its work, on the cpu, is mpi's and shm's here"},
               {"ucc", "its work, on the cpu, is mpi's and shm's here"}};

#define BACKENDS ((int)(sizeof backend / sizeof backend[0]))

weft_status weft__backend_find(const char *name, const char **out)
{
    const char *word[BACKENDS];
    for (int i = 0; i < BACKENDS; i++)
        word[i] = backend[i].name;
    int i = weft__parse_choice("process_group_backend", name ? name : "auto", word, BACKENDS);
    if (i < 0)
        return WEFT_EARG;
    if (backend[i].needs)
        return weft__fail(WEFT_ENOTSUP,
                          "process_group_backend %s is not in this version (%s); there are auto, "
                          "mpi and shm%s",
                          backend[i].name, backend[i].needs, WEFT__HAS_NCCL ? ", and nccl" : "");
    *out = backend[i].name;
    return WEFT_OK;
}

weft_status weft__backend_choose(weft_comm **c, const char *name, int nodes)
{
    const char *word = NULL;
    weft_status s = weft__agree(*c, "settings", weft__backend_find(name, &word), "");
    if (!s)
        s = weft__agree_text(*c, "settings", "process_group_backend", word);
    if (s || (*c)->world == 1 || strcmp(word, "mpi") == 0)
        return s;
    bool demanded = strcmp(word, "shm") == 0;
    if (nodes > 1 && demanded)
        return weft__fail(WEFT_ECONFIG,
                          "process_group_backend shm needs all ranks on one node, and these are on "
                          "%d; use auto or mpi",
                          nodes);
    if (nodes == 1)
        s = weft__comm_shm(c);
    if (s && demanded)
        return weft__fail(s, "process_group_backend shm: %s; use auto or mpi", weft__why());
    if (s && (*c)->rank == 0 && !(*c)->lost)
        weft__say(WEFT_LOG_WARNING,
                  "ranks on one node go by MPI, which is slower, as process_group_backend=mpi does "
                  "without this warning: %s",
                  weft__why());
    return (*c)->lost ? s : WEFT_OK;
}

/* auto takes NCCL where several ranks have GPUs, if it can be had. */
static bool fits(const weft_comm *c, const char *word, const weft_device *d)
{
    return strcmp(word, "auto") == 0 && c->world > 1 && strcmp(d->ops->name, "cuda") == 0;
}

/* On all ranks alike. */
static weft_status take_nccl(weft_comm **c, weft_device *d, bool beside)
{
    return WEFT__HAS_NCCL ? weft__comm_direct(c, d, WEFT__NCCL, beside)
                          : weft__fail(WEFT_ENOTSUP, "this build is without NCCL");
}

weft_status weft__backend_device(weft_comm **c, const char *name, weft_device *d, bool beside)
{
    const char *word = NULL;
    WEFT_TRY(weft__agree(*c, "settings", weft__backend_find(name, &word), ""));
    WEFT_TRY(weft__agree_text(*c, "settings", "accelerator", d->ops->name));
    WEFT_TRY(weft__agree_text(*c, "settings", "process_group_backend", word));
    const bool demanded = strcmp(word, "nccl") == 0;
    if (!demanded && !fits(*c, word, d))
        return WEFT_OK;
    if (demanded && (*c)->world == 1 && d->ops->bind)
        return WEFT_OK; /* one rank needs none */
    const weft_status s = take_nccl(c, d, beside);
    if (!s || demanded || (*c)->lost)
        return s;
    if ((*c)->rank == 0)
        weft__say(WEFT_LOG_WARNING,
                  "GPUs exchange by way of the host, which is slower, as process_group_backend=%s "
                  "does without this warning: %s",
                  (*c)->ops->name, weft__why());
    return WEFT_OK;
}
