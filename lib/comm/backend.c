/* Which communicator, by name. */
#include "comm/backend.h"

#include "comm/comm.h"
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
               {"nccl", "it moves the memory of CUDA devices, which are not in this build"},
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
                          "mpi and shm",
                          backend[i].name, backend[i].needs);
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
