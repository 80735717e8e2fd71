/* What runs, MPI's word, against what the launcher and the user say; and the threads of a rank. */
#include "environ/environ.h"

#include "core/env.h"
#include "core/error.h"
#include "core/log.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* The launcher started many, MPI sees one: every process would train alone and all would write the
 * same files. */
static weft_status refuse_singleton(const weft__environ *e)
{
    switch (e->launcher) {
    case WEFT__LAUNCHER_SRUN:
        return weft__fail(
            WEFT_ECONFIG,
            "srun started %d tasks, but MPI sees this one alone: srun and this MPI do "
            "not speak to each other. Use srun --mpi=pmix (srun --mpi=list shows what "
            "there is), or mpirun -n %d inside the allocation",
            e->size, e->size);
    case WEFT__LAUNCHER_MPIRUN:
        return weft__fail(
            WEFT_ECONFIG,
            "mpirun started %d ranks, but MPI sees this one alone: the program is linked "
            "with another MPI than this mpirun's. Compare ldd of the program with "
            "mpirun --version, and use the mpirun of the same installation",
            e->size);
    case WEFT__LAUNCHER_TORCHRUN:
        return weft__fail(
            WEFT_ECONFIG,
            "torchrun started %d processes, of which MPI knows nothing: each would train alone. "
            "Start with weft run --devices %d, mpirun -n %d or srun --mpi=pmix",
            e->size, e->local_size > 0 ? e->local_size : e->size, e->size);
    default:
        return weft__fail(
            WEFT_ECONFIG,
            "the launcher started %d ranks, but MPI sees this one alone: the launcher "
            "and this MPI do not speak to each other. Use the mpirun of the MPI that "
            "the program is linked with",
            e->size);
    }
}

weft_status weft__environ_check_pmi(const weft__environ *e, const char *mpi)
{
    if (e->launcher != WEFT__LAUNCHER_SRUN || e->pmi || strncmp(mpi, "Open MPI", 8) != 0)
        return WEFT_OK;
    return weft__fail(
        WEFT_ECONFIG,
        "srun started %d tasks without a PMI, so that %s cannot start. Use srun "
        "--mpi=pmix (srun --mpi=list shows what there is), or mpirun -n %d inside the "
        "allocation",
        e->size, mpi, e->size);
}

/* The figure that the user gave (0: none) against what runs. */
static weft_status check_asked(const char *option, int asked, int runs, const char *noun,
                               const char *cure)
{
    if (asked <= 0 || asked == runs)
        return WEFT_OK;
    return weft__fail(WEFT_ECONFIG, "%s=%d was asked for, but %d %s. %s, or leave %s out", option,
                      asked, runs, noun, cure, option);
}

/* Legal (a tool run beside the job's steps), and the most common slip in batch scripts. */
static void warn_alone(const weft__environ *e, int world)
{
    int64_t tasks = 0;
    if (e->launcher != WEFT__LAUNCHER_NONE || world != 1 || !weft__env_text("SLURM_JOB_ID"))
        return;
    if (weft__env_int("SLURM_NTASKS", 1, INT_MAX, &tasks) == 1 && tasks > 1)
        weft__say(WEFT_LOG_WARNING,
                  "running alone in a Slurm job of %d tasks: the program was started without srun; "
                  "srun --mpi=pmix PROGRAM or mpirun PROGRAM starts them all",
                  (int)tasks);
}

weft_status weft__environ_check(const weft__environ *e, int world, int nodes, int local_size,
                                int devices, int num_nodes)
{
    bool slurm = e->launcher == WEFT__LAUNCHER_SRUN;
    if (e->size > 1 && world == 1)
        return refuse_singleton(e);
    if (e->size > 0 && e->size != world)
        return weft__fail(WEFT_ECONFIG,
                          "%s started %d ranks, but MPI has %d: they are not one job. Start all "
                          "ranks with one %s, of the MPI that the program is linked with",
                          weft__launcher_name(e->launcher), e->size, world,
                          slurm ? "srun --mpi=pmix" : "mpirun");
    WEFT_TRY(check_asked("devices", devices, local_size, "ranks run on this node",
                         slurm ? "Start with srun --ntasks-per-node of the same value"
                               : "Start that many ranks a node (mpirun --map-by ppr:N:node)"));
    WEFT_TRY(check_asked("num_nodes", num_nodes, nodes, "nodes run",
                         slurm ? "Start with srun --nodes of the same value"
                               : "Start on that many hosts (mpirun --host or --hostfile)"));
    warn_alone(e, world);
    return WEFT_OK;
}

/* OMP_NUM_THREADS may be a list, one number a nesting level: the first counts. 0: none or bad. */
static int omp_threads(bool loud)
{
    const char *text = weft__env_text("OMP_NUM_THREADS");
    char *end;
    long n;
    if (!text)
        return 0;
    n = strtol(text, &end, 10);
    if (end != text && (*end == '\0' || *end == ',') && n >= 1 && n <= INT_MAX)
        return (int)n;
    if (loud)
        weft__say(WEFT_LOG_WARNING, "OMP_NUM_THREADS is \"%s\", which is not a number; ignored",
                  text);
    return 0;
}

int weft__environ_threads(const weft__environ *e, int local_size, int asked)
{
    bool loud = e->rank <= 0; /* once a job */
    int share = e->node_cpus / (local_size > 0 ? local_size : 1), omp, want, most;
    share = share > 0 ? share : 1;
    most = e->cpus < share ? e->cpus : share;
    most = most > 0 ? most : 1;
    omp = asked > 0 ? 0 : omp_threads(loud);
    want = asked > 0 ? asked : omp > 0 ? omp : most;
    if (want > most && loud)
        weft__say(
            WEFT_LOG_WARNING,
            "%s asks for %d threads a rank, but %d ranks share %d cores of this node and this "
            "one may use %d: %d threads run, since more would wait for each other",
            asked > 0 ? "threads" : "OMP_NUM_THREADS", want, local_size, e->node_cpus, e->cpus,
            most);
    else if (e->cpus == 1 && share > 1 && want == most && loud)
        weft__say(WEFT_LOG_WARNING,
                  "each rank is bound to 1 core, though %d cores are there for %d ranks: ask for "
                  "more with srun --cpus-per-task=%d or mpirun --map-by slot:PE=%d",
                  e->node_cpus, local_size, share, share);
    return want < most ? want : most;
}
