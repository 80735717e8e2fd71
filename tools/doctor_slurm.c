/* Slurm's variables, where there is a job, and whether its srun speaks PMIx. */
#include "doctor.h"

#include "core/env.h"
#include "launch/command.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static int number(const char *name)
{
    int64_t n = 0;
    return weft__env_int(name, 1, INT_MAX, &n) > 0 ? (int)n : 0;
}

static void look_at_pmix(doctor *d)
{
    char line[200];
    const char *type = weft__env_text("SLURM_MPI_TYPE");
    bool has =
        doctor_ask("srun --mpi=list 2>&1 | grep -o pmix | head -n 1", line, sizeof line) == 0 &&
        strcmp(line, "pmix") == 0;
    doctor_say(d, has ? DOCTOR_OK : DOCTOR_BAD, "srun",
               has ? NULL
                   : "start with mpirun inside the allocation, or have Slurm's PMIx plugin "
                     "installed",
               "srun %s PMIx (srun --mpi=list)", has ? "speaks" : "does not speak");
    if (type && strncmp(type, "pmix", 4) != 0)
        doctor_say(
            d, DOCTOR_WARN, "srun", "unset SLURM_MPI_TYPE, or set it to pmix",
            "SLURM_MPI_TYPE=%s: an Open MPI that speaks only PMIx would start ranks that are "
            "all alone",
            type);
}

static void look_at_job(doctor *d)
{
    int tasks = number("SLURM_NTASKS"), nodes = number("SLURM_NNODES"),
        a_node = number("SLURM_NTASKS_PER_NODE"), cpus = number("SLURM_CPUS_PER_TASK"),
        node_cpus = number("SLURM_CPUS_ON_NODE");
    const char *spread = weft__env_text("SLURM_TASKS_PER_NODE");
    doctor_say(d, DOCTOR_OK, "slurm", NULL, "job %s: %d tasks on %d nodes (%s a node)",
               weft__env_text("SLURM_JOB_ID"), tasks ? tasks : 1, nodes ? nodes : 1,
               spread ? spread : "?");
    if (a_node && nodes && tasks && a_node * nodes != tasks)
        doctor_say(d, DOCTOR_WARN, "slurm", "give --nodes and --ntasks-per-node, and not --ntasks",
                   "%d tasks are not %d nodes of %d", tasks, nodes, a_node);
    else if (spread && strchr(spread, ','))
        doctor_say(d, DOCTOR_WARN, "slurm", "give --nodes and --ntasks-per-node",
                   "nodes have unequal numbers of tasks: %s", spread);
    if (!cpus && nodes && tasks && node_cpus > (tasks + nodes - 1) / nodes)
        doctor_say(d, DOCTOR_WARN, "slurm", "give --cpus-per-task",
                   "tasks share the %d CPUs of a node, or have 1 each where Slurm binds them",
                   node_cpus);
}

void doctor_slurm(doctor *d)
{
    char path[PATH_MAX];
    bool srun = weft__find_program("srun", path), job = weft__env_text("SLURM_JOB_ID") != NULL;
    if (!job)
        doctor_say(d, DOCTOR_OK, "slurm", NULL, "not in a job; srun is %s",
                   srun ? path : "not here");
    else
        look_at_job(d);
    if (job && srun)
        look_at_pmix(d);
}
