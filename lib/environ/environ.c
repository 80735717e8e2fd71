/* Reading the launcher's variables. Which ones to believe, the traps:
 *   - under mpirun inside a Slurm allocation every rank sees the SLURM_PROCID and SLURM_LOCALID of
 *     the daemon that mpirun started through srun: OMPI_COMM_WORLD_* come first;
 *   - the same with MPICH's mpiexec, whose PMI_RANK and PMI_SIZE then differ from the step's figures;
 *   - a batch script has SLURM_PROCID=0 and SLURM_NTASKS too, and a program started in it without
 *     srun is alone: only a numbered step (SLURM_STEP_ID) counts, and Slurm numbers its batch, extern
 *     and interactive steps from 0xfffffff0 up;
 *   - torchrun starts its processes inside whatever started it, with that one's variables: it is first;
 *   - SLURM_NTASKS is the job's; a step may be smaller: SLURM_STEP_NUM_TASKS. */
#include "environ/environ.h"

#include "core/env.h"
#include "core/error.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NO_STEP 0xfffffff0

/* The first of the variables that is set, as a number from lo up; *out keeps its value if none is. */
static weft_status first_int(const char *const *name, int lo, int *out)
{
    int64_t v;
    for (; *name; name++) {
        int set = weft__env_int(*name, lo, INT_MAX, &v);
        if (set < 0)
            return WEFT_EARG;
        if (set) {
            *out = (int)v;
            break;
        }
    }
    return WEFT_OK;
}

#define FIRST(out, lo, ...) WEFT_TRY(first_int((const char *const[]){__VA_ARGS__, NULL}, lo, out))

static weft_status read_mpirun(weft__environ *e)
{
    e->launcher = WEFT__LAUNCHER_MPIRUN;
    FIRST(&e->rank, 0, "OMPI_COMM_WORLD_RANK");
    FIRST(&e->size, 1, "OMPI_COMM_WORLD_SIZE");
    FIRST(&e->local_rank, 0, "OMPI_COMM_WORLD_LOCAL_RANK");
    FIRST(&e->local_size, 1, "OMPI_COMM_WORLD_LOCAL_SIZE");
    FIRST(&e->nodes, 1, "OMPI_MCA_orte_num_nodes");
    return WEFT_OK;
}

static weft_status read_pmi(weft__environ *e)
{
    e->launcher = WEFT__LAUNCHER_PMI;
    FIRST(&e->rank, 0, "PMIX_RANK", "PMI_RANK");
    FIRST(&e->size, 1, "PMI_SIZE");
    FIRST(&e->local_rank, 0, "MPI_LOCALRANKID");
    FIRST(&e->local_size, 1, "MPI_LOCALNRANKS");
    return WEFT_OK;
}

static weft_status read_torchrun(weft__environ *e)
{
    e->launcher = WEFT__LAUNCHER_TORCHRUN;
    FIRST(&e->rank, 0, "RANK");
    FIRST(&e->size, 1, "WORLD_SIZE");
    FIRST(&e->local_rank, 0, "LOCAL_RANK");
    FIRST(&e->local_size, 1, "LOCAL_WORLD_SIZE");
    return WEFT_OK;
}

/* Tasks on node number `node` from a list like "2(x3),1". */
static weft_status tasks_on(const char *name, const char *list, int node, int *tasks)
{
    for (const char *p = list;; p++) {
        char *end;
        long n = strtol(p, &end, 10), times = 1;
        if (end == p || n < 0 || n > INT_MAX)
            break;
        if (strncmp(end, "(x", 2) == 0) {
            times = strtol(p = end + 2, &end, 10);
            if (end == p || times < 1 || *end++ != ')')
                break;
        }
        if (node < times) {
            *tasks = (int)n;
            return WEFT_OK;
        }
        node -= (int)times;
        p = end;
        if (*p != ',')
            break;
    }
    return weft__fail(WEFT_EARG, "%s is \"%.80s\", which says nothing of this node", name, list);
}

static weft_status read_srun(weft__environ *e)
{
    static const char *const name[] = {"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"};
    int node = -1;
    e->launcher = WEFT__LAUNCHER_SRUN;
    e->pmi = weft__env_text("PMIX_NAMESPACE") || weft__env_text("PMIX_RANK") ||
             weft__env_text("PMI_RANK");
    FIRST(&e->rank, 0, "PMIX_RANK", "PMI_RANK", "SLURM_PROCID");
    FIRST(&e->size, 1, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS");
    FIRST(&e->local_rank, 0, "SLURM_LOCALID");
    FIRST(&e->nodes, 1, "SLURM_STEP_NUM_NODES", "SLURM_NNODES");
    FIRST(&node, 0, "SLURM_NODEID");
    for (int i = 0; i < 2 && node >= 0; i++)
        if (weft__env_text(name[i]))
            return tasks_on(name[i], weft__env_text(name[i]), node, &e->local_size);
    return WEFT_OK;
}

/* This process is a task of a numbered step, and not the child of a daemon that is one. */
static weft_status is_task(bool *yes)
{
    int64_t step = NO_STEP;
    int task = -1, size = -1, pmi_rank = -1, pmi_size = -1, set;
    *yes = false;
    set = weft__env_int("SLURM_STEP_ID", 0, UINT32_MAX, &step);
    if (set == 0)
        set = weft__env_int("SLURM_STEPID", 0, UINT32_MAX, &step);
    if (set < 0)
        return WEFT_EARG;
    if (!set || step >= NO_STEP || !weft__env_text("SLURM_PROCID"))
        return WEFT_OK;
    FIRST(&task, 0, "SLURM_PROCID");
    FIRST(&size, 1, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS");
    FIRST(&pmi_rank, 0, "PMI_RANK");
    FIRST(&pmi_size, 1, "PMI_SIZE");
    *yes = (pmi_rank < 0 || pmi_rank == task) && (pmi_size < 0 || pmi_size == size);
    return WEFT_OK;
}

static weft_status read_launcher(weft__environ *e)
{
    bool task;
    if (weft__env_text("TORCHELASTIC_RUN_ID"))
        return read_torchrun(e);
    if (weft__env_text("OMPI_COMM_WORLD_RANK"))
        return read_mpirun(e);
    WEFT_TRY(is_task(&task));
    if (task)
        return read_srun(e);
    if (weft__env_text("PMIX_RANK") || weft__env_text("PMI_RANK"))
        return read_pmi(e);
    e->launcher = WEFT__LAUNCHER_NONE;
    return WEFT_OK;
}

static weft_status sane(const weft__environ *e)
{
    if (e->size > 0 && e->rank >= e->size)
        return weft__fail(WEFT_EARG, "the environment of %s says rank %d of %d",
                          weft__launcher_name(e->launcher), e->rank, e->size);
    if (e->local_size > 0 && e->local_rank >= e->local_size)
        return weft__fail(WEFT_EARG, "the environment of %s says local rank %d of %d",
                          weft__launcher_name(e->launcher), e->local_rank, e->local_size);
    return WEFT_OK;
}

/* The launcher's own mask, this process's parent's, is not narrowed by its binding of ranks. Behind
 * a wrapper script it says nothing new; weft__environ_share does better once the ranks can talk. */
static weft_status read_cores(weft__environ *e)
{
    unsigned char mask[WEFT__MASK];
    cpu_set_t parent, own;
    int slurm = 0;
    weft__environ_mask(mask);
    e->cpus = e->node_cpus = weft__environ_cores(mask);
    if (e->launcher == WEFT__LAUNCHER_NONE)
        return WEFT_OK;
    if (sched_getaffinity(getppid(), sizeof parent, &parent) == 0) {
        memcpy(&own, mask, sizeof own);
        CPU_OR(&own, &own, &parent);
        memcpy(mask, &own, sizeof own);
        e->node_cpus = weft__environ_cores(mask);
    }
    if (e->launcher == WEFT__LAUNCHER_SRUN)
        FIRST(&slurm, 1, "SLURM_CPUS_ON_NODE");
    if (slurm > 0 && slurm < e->node_cpus)
        e->node_cpus = slurm;
    if (e->node_cpus < e->cpus)
        e->node_cpus = e->cpus;
    return WEFT_OK;
}

weft_status weft__environ_read(weft__environ *e)
{
    const char *child = weft__env_text("WEFT_RELAUNCHED");
    *e = (weft__environ){.rank = -1, .size = -1, .local_rank = -1, .local_size = -1, .nodes = -1};
    if (child)
        WEFT_TRY(weft__parse_bool("WEFT_RELAUNCHED", child, &e->relaunched));
    WEFT_TRY(read_launcher(e));
    WEFT_TRY(sane(e));
    return read_cores(e);
}

const char *weft__launcher_name(weft__launcher l)
{
    static const char *const name[] = {"none", "mpirun", "srun", "pmi", "torchrun"};
    return (unsigned)l < 5 ? name[l] : "?";
}
