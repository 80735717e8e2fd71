/* The environment that ranks start in: what is here already wins, but for the job's own settings. */
#include "launch/command.h"

#include "core/alloc.h"
#include "core/env.h"
#include "core/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* Sets NAME=value, in the place of an earlier NAME. */
static weft_status put(weft__command *cmd, char *setting)
{
    const size_t name = strcspn(setting, "=") + 1;
    size_t i = 0;
    while (i < cmd->settings && strncmp(cmd->envp[i], setting, name) != 0)
        i++;
    WEFT_TRY(weft__grow(&cmd->envp, &cmd->envp_room, cmd->settings + 2, sizeof setting));
    cmd->envp[i] = setting;
    cmd->settings += i == cmd->settings;
    cmd->envp[cmd->settings] = NULL;
    return WEFT_OK;
}

/* Sets NAME=value, unless the user has set NAME. */
static weft_status add(weft__command *cmd, const char *name, char *setting)
{
    return getenv(name) ? WEFT_OK : put(cmd, setting);
}
#define ADD(cmd, name, value) WEFT_TRY(add(cmd, name, name "=" value))

static weft_status for_mpirun(weft__command *cmd, const weft__job *job)
{
    char path[PATH_MAX];
    if (geteuid() == 0) {
        ADD(cmd, "OMPI_ALLOW_RUN_AS_ROOT", "1");
        ADD(cmd, "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    }
    /* More ranks than slots are what the user asked for. Unbound, because Open MPI binds each job's
     * first rank to core 0, where two jobs of one machine would meet. */
    ADD(cmd, "OMPI_MCA_rmaps_base_oversubscribe", "1");
    if (!job->bind)
        ADD(cmd, "OMPI_MCA_hwloc_base_binding_policy", "none");
    /* Without a remote shell even a local mpirun gives up, unless told that there are no hosts. */
    if (!job->hosts && !weft__find_program("ssh", path) && !weft__find_program("rsh", path) &&
        !weft__env_text("SLURM_JOB_ID"))
        ADD(cmd, "OMPI_MCA_plm", "isolated");
    return WEFT_OK;
}

/* Bound to cores of its own, a rank may tell each thread which is its own. Unbound it must not:
 * the first thread of every rank would then be on the first core. */
static weft_status for_threads(weft__command *cmd, const weft__job *job)
{
    if (job->threads > 0) {
        snprintf(cmd->threads, sizeof cmd->threads, "OMP_NUM_THREADS=%d", job->threads);
        WEFT_TRY(add(cmd, "OMP_NUM_THREADS", cmd->threads));
    }
    if (!job->bind)
        return WEFT_OK;
    ADD(cmd, "OMP_PROC_BIND", "close");
    ADD(cmd, "OMP_PLACES", "cores");
    return WEFT_OK;
}

weft_status weft__command_environment(weft__command *cmd, const weft__job *job)
{
    for (char **e = environ; *e; e++)
        WEFT_TRY(put(cmd, *e));
    if (!job->program)
        ADD(cmd, "WEFT_RELAUNCHED", "1");
    if (!job->srun)
        WEFT_TRY(for_mpirun(cmd, job));
    WEFT_TRY(for_threads(cmd, job));
    for (char *const *s = job->settings; s && *s; s++)
        WEFT_TRY(put(cmd, *s));
    return WEFT_OK;
}
