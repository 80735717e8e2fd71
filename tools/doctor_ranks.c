/* The ranks together: are they one job, which cores has each, do they see one file system, and how
 * long does a message take. */
#include "doctor.h"

#include "comm/backend.h"
#include "comm/comm.h"
#include "comm/mpi.h"
#include "core/alloc.h"
#include "core/context.h"
#include "core/env.h"
#include "core/error.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIMEOUT 60   /* seconds for a peer */
#define SHOWN 32     /* the most ranks that get a line of their own */
#define MESSAGES 200 /* to be timed */
#define LATE 1e-3    /* seconds for a sum over ranks, at most */

/* What a rank knows, sent to all as bytes. */
typedef struct fact {
    char host[64];
    unsigned char mask[WEFT__MASK];
    int node, local_size, cores, omp;
    int sees; /* the file that rank 0 made */
} fact;

typedef struct team {
    doctor *d;
    weft_comm *comm;
    int nodes;
    fact *fact;
} team;

static int bits(const unsigned char *a, const unsigned char *b)
{
    int n = 0;
    for (int i = 0; i < WEFT__MASK; i++)
        n += __builtin_popcount(a[i] & b[i]);
    return n;
}

/* Whether rank 0's file is seen, by a name that all agree on. */
static weft_status look_for_file(team *t, int *sees)
{
    char file[PATH_MAX] = "";
    struct stat st;
    int fd = -1;
    if (t->comm->rank == 0) {
        snprintf(file, sizeof file, "%.3900s/.weft-doctor-%lx-%d", t->d->dir, gethostid(),
                 (int)getpid());
        fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    WEFT_TRY(weft__comm_broadcast(t->comm, "file", file, sizeof file, 0));
    int fd_elsewhere = open(t->d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* NFS looks again */
    *sees = stat(file, &st) == 0;
    if (fd_elsewhere >= 0)
        close(fd_elsewhere);
    WEFT_TRY(weft__barrier(t->comm, "file seen"));
    if (fd >= 0) {
        close(fd);
        unlink(file);
    }
    return WEFT_OK;
}

static weft_status collect(team *t)
{
    fact mine = {{0}, {0}, 0, 0, 0, 0, 0};
    int64_t omp = 0, *counts = weft__new((size_t)t->comm->world, sizeof *counts);
    int local_rank;
    t->fact = weft__new((size_t)t->comm->world, sizeof *t->fact);
    WEFT_TRY(weft__agree(t->comm, "room", counts && t->fact ? WEFT_OK : WEFT_ENOMEM, ""));
    WEFT_TRY(weft__mpi_topology(t->comm, &local_rank, &mine.local_size, &mine.node, &t->nodes));
    gethostname(mine.host, sizeof mine.host - 1);
    weft__environ_mask(mine.mask);
    mine.cores = weft__environ_cores(mine.mask);
    mine.omp = weft__env_int("OMP_NUM_THREADS", 1, INT_MAX, &omp) > 0 ? (int)omp : 0;
    WEFT_TRY(look_for_file(t, &mine.sees));
    for (int i = 0; i < t->comm->world; i++)
        counts[i] = sizeof mine;
    weft_status s = weft__all_gather(t->comm, "facts", t->fact, counts, &mine, WEFT_U8);
    weft__free(counts);
    return s;
}

static weft_status time_messages(team *t, double *seconds)
{
    double one = 1;
    WEFT_TRY(weft__barrier(t->comm, "start"));
    double start = weft__now();
    for (int i = 0; i < MESSAGES; i++)
        WEFT_TRY(weft__all_reduce(t->comm, "message", &one, 1, WEFT_F64, WEFT_REDUCE_MAX));
    *seconds = (weft__now() - start) / MESSAGES;
    return WEFT_OK;
}

/* Cores of rank i's node that its ranks may use together. */
static int node_cores(const team *t, int i)
{
    unsigned char all[WEFT__MASK] = {0};
    for (int k = 0; k < t->comm->world; k++)
        for (int b = 0; b < WEFT__MASK && t->fact[k].node == t->fact[i].node; b++)
            all[b] |= t->fact[k].mask[b];
    return weft__environ_cores(all);
}

/* The first rank of i's node that is bound apart from the rest and yet to some of i's cores; -1. */
static int shares_with(const team *t, int i, int cores)
{
    const fact *a = &t->fact[i];
    for (int k = 0; k < i; k++) {
        const fact *b = &t->fact[k];
        bool bound = a->cores < cores || (a->cores == 1 && cores == 1);
        if (a->node == b->node && bound && bits(a->mask, b->mask))
            return k;
    }
    return -1;
}

static void say_rank(team *t, int i)
{
    const fact *f = &t->fact[i];
    char cpus[200], rank[24];
    int cores = node_cores(t, i), with = shares_with(t, i, cores);
    int share = cores > f->local_size ? cores / f->local_size : 1;
    int threads = f->omp && f->omp < share ? f->omp : share;
    doctor_mask(f->mask, cpus, sizeof cpus);
    snprintf(rank, sizeof rank, "rank %d", i);
    if (with >= 0 && cores >= f->local_size)
        doctor_say(t->d, DOCTOR_BAD, rank,
                   "mpirun --map-by slot:PE=N or --bind-to none; srun --cpus-per-task=N",
                   "on %s, bound to CPUs %s, and so is rank %d: each waits for the other", f->host,
                   cpus, with);
    else if (f->cores == 1 && share > 1)
        doctor_say(t->d, DOCTOR_WARN, rank, "srun --cpus-per-task=N or mpirun --map-by slot:PE=N",
                   "on %s, bound to CPUs %s: 1 core, though there are %d for %d ranks", f->host,
                   cpus, cores, f->local_size);
    else if (i < SHOWN)
        doctor_say(t->d, DOCTOR_OK, rank, NULL, "on %s, CPUs %s (%d core%s), %d thread%s", f->host,
                   cpus, f->cores, f->cores > 1 ? "s" : "", threads, threads > 1 ? "s" : "");
    if (f->omp > share)
        doctor_say(t->d, DOCTOR_WARN, rank, "leave OMP_NUM_THREADS alone; Weft sets the threads",
                   "OMP_NUM_THREADS=%d, but %d ranks share %d cores", f->omp, f->local_size, cores);
}

static void say_crowds(team *t)
{
    for (int i = 0; i < t->comm->world; i++) {
        int cores = node_cores(t, i);
        bool first = true;
        for (int k = 0; k < i; k++)
            first = first && t->fact[k].node != t->fact[i].node;
        if (first && t->fact[i].local_size > cores)
            doctor_say(t->d, DOCTOR_WARN, "ranks", "start fewer a node",
                       "%d ranks on the %d cores of %s: they wait for each other",
                       t->fact[i].local_size, cores, t->fact[i].host);
    }
}

static void say_files(team *t)
{
    int blind = 0, which = 0;
    for (int i = t->comm->world; i-- > 0;)
        if (!t->fact[i].sees) {
            blind++;
            which = i;
        }
    if (blind)
        doctor_say(t->d, DOCTOR_BAD, "one file system",
                   "keep checkpoints in a directory that all nodes mount and that can be written",
                   "%d of %d ranks, first rank %d on %s, do not see what rank 0 writes in %s",
                   blind, t->comm->world, which, t->fact[which].host, t->d->dir);
    else
        doctor_say(t->d, DOCTOR_OK, "one file system", NULL,
                   "all ranks see what rank 0 writes in %s", t->d->dir);
}

static void say_all(team *t, double seconds)
{
    bool late = seconds > LATE;
    doctor_say(t->d, DOCTOR_OK, "ranks", NULL, "%s started %d on %d node%s, and %s sees them all",
               weft__launcher_name(t->d->environ.launcher), t->comm->world, t->nodes,
               t->nodes > 1 ? "s" : "", weft__mpi_version());
    for (int i = 0; i < t->comm->world; i++)
        say_rank(t, i);
    say_crowds(t);
    doctor_say(t->d, DOCTOR_OK, "process group", NULL, "%s%s", t->comm->ops->name,
               strcmp(t->comm->ops->name, "shm") == 0
                   ? ": the ranks share memory (process_group_backend=mpi does without)"
                   : "");
    doctor_say(t->d, late ? DOCTOR_WARN : DOCTOR_OK, "messages",
               late
                   ? "bind each rank to cores of its own, or none; start fewer; look for other load"
                   : NULL,
               "a sum of one number over the ranks takes %.0f us", seconds * 1e6);
    say_files(t);
}

/* Open MPI ends the process in MPI_Init where srun tells it nothing: this must be said before. */
static void warn_of_abort(doctor *d)
{
    if (d->environ.launcher == WEFT__LAUNCHER_SRUN && d->environ.size > 1 && d->environ.rank <= 0 &&
        !weft__env_text("PMIX_NAMESPACE") && !weft__env_text("PMI_FD"))
        doctor_say(d, DOCTOR_WARN, "srun",
                   "start with srun --mpi=pmix, or export SLURM_MPI_TYPE=pmix",
                   "it tells its %d tasks nothing of each other (neither PMIx nor PMI-2); MPI may "
                   "end them now",
                   d->environ.size);
}

static weft_status look(team *t)
{
    bool is_world;
    int world;
    double seconds = 0;
    warn_of_abort(t->d);
    WEFT_TRY(weft__mpi_enter(&world));
    WEFT_TRY(weft__comm_mpi(&t->comm, world, TIMEOUT, &is_world));
    WEFT_TRY(weft__environ_check(&t->d->environ, t->comm->world, 0, 0, 0, 0));
    WEFT_TRY(collect(t));
    WEFT_TRY(
        weft__backend_choose(&t->comm, weft__env_text("WEFT_PROCESS_GROUP_BACKEND"), t->nodes));
    WEFT_TRY(time_messages(t, &seconds));
    if (t->comm->rank == 0)
        say_all(t, seconds);
    return WEFT_OK;
}

void doctor_ranks(doctor *d)
{
    team t = {.d = d};
    weft_status s = look(&t);
    if (s < 0 && d->environ.rank <= 0)
        doctor_say(d, DOCTOR_BAD, "ranks", NULL, "%s", weft__why());
    bool lost = t.comm && t.comm->lost;
    weft__free(t.fact);
    weft__comm_free(t.comm);
    if (weft__mpi_is_up())
        weft__mpi_leave(lost);
}
