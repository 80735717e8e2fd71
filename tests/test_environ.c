/* What the launcher says, read and checked; threads; and a program that starts itself again. Called
 * with arguments this program is the one that does. */
#include "near_machine.h"

#include <check.h>

#include "comm/comm.h"
#include "comm/mpi.h"
#include "core/error.h"
#include "core/process.h"
#include "environ/environ.h"
#include "launch/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <mpi.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include("config.h")
#include "config.h" /* WEFT__MPIRUN_DEFAULT */
#endif
#endif

/* Sets the variables of "A=1 B=2(x3)" and unsets all others that count. */
static void set_environment(const char *text)
{
    static const char *const name[] = {"OMPI_COMM_WORLD_RANK",
                                       "OMPI_COMM_WORLD_SIZE",
                                       "OMPI_COMM_WORLD_LOCAL_RANK",
                                       "OMPI_COMM_WORLD_LOCAL_SIZE",
                                       "OMPI_MCA_orte_num_nodes",
                                       "PMIX_RANK",
                                       "PMI_RANK",
                                       "PMI_SIZE",
                                       "MPI_LOCALRANKID",
                                       "MPI_LOCALNRANKS",
                                       "SLURM_PROCID",
                                       "SLURM_LOCALID",
                                       "SLURM_NODEID",
                                       "SLURM_NTASKS",
                                       "SLURM_NPROCS",
                                       "SLURM_NNODES",
                                       "SLURM_STEP_ID",
                                       "SLURM_STEPID",
                                       "SLURM_STEP_NUM_TASKS",
                                       "SLURM_STEP_NUM_NODES",
                                       "SLURM_STEP_TASKS_PER_NODE",
                                       "SLURM_TASKS_PER_NODE",
                                       "SLURM_CPUS_ON_NODE",
                                       "SLURM_JOB_ID",
                                       "TORCHELASTIC_RUN_ID",
                                       "RANK",
                                       "WORLD_SIZE",
                                       "LOCAL_RANK",
                                       "LOCAL_WORLD_SIZE",
                                       "WEFT_RELAUNCHED",
                                       "OMP_NUM_THREADS"};
    char copy[512], *word, *rest = copy;
    for (size_t i = 0; i < sizeof name / sizeof name[0]; i++)
        unsetenv(name[i]);
    snprintf(copy, sizeof copy, "%s", text);
    while ((word = strsep(&rest, " "))) {
        char *value = strchr(word, '=');
        if (value) {
            *value = '\0';
            setenv(word, value + 1, 1);
        }
    }
}

#define MPIRUN(r, n, lr, ln)                                                                       \
    "OMPI_COMM_WORLD_RANK=" #r " OMPI_COMM_WORLD_SIZE=" #n " OMPI_COMM_WORLD_LOCAL_RANK=" #lr      \
    " OMPI_COMM_WORLD_LOCAL_SIZE=" #ln " "
/* As Slurm sets them in task 3 of srun -N2 -n4 --ntasks-per-node=2, and in a batch script. */
#define TASK                                                                                       \
    "SLURM_JOB_ID=3 SLURM_PROCID=3 SLURM_LOCALID=1 SLURM_NODEID=1 SLURM_NTASKS=4 SLURM_NPROCS=4 "  \
    "SLURM_NNODES=2 SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=4 SLURM_STEP_NUM_NODES=2 "                \
    "SLURM_STEP_TASKS_PER_NODE=2(x2) "
#define BATCH                                                                                      \
    "SLURM_JOB_ID=3 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_NTASKS=4 SLURM_NNODES=2 "  \
    "SLURM_TASKS_PER_NODE=2(x2) "

#define TORCHRUN "TORCHELASTIC_RUN_ID=none RANK=5 WORLD_SIZE=8 LOCAL_RANK=1 LOCAL_WORLD_SIZE=4 "

enum { NONE, RUN, SRUN, PMI, TORCH };
static const struct {
    const char *text;
    int launcher, rank, size, local_rank, local_size, nodes;
} row[] = {
    {"", NONE, -1, -1, -1, -1, -1},
    {MPIRUN(0, 1, 0, 1), RUN, 0, 1, 0, 1, -1},
    {MPIRUN(3, 4, 1, 2) "OMPI_MCA_orte_num_nodes=2 PMIX_RANK=3", RUN, 3, 4, 1, 2, 2},
    {"OMPI_COMM_WORLD_RANK=0", RUN, 0, -1, -1, -1, -1},
    {TASK, SRUN, 3, 4, 1, 2, 2},
    {TASK "PMIX_RANK=3", SRUN, 3, 4, 1, 2, 2},
    {TASK "PMI_RANK=3 PMI_SIZE=4", SRUN, 3, 4, 1, 2, 2},
    {TASK "SLURM_STEP_ID= SLURM_STEPID=7", SRUN, 3, 4, 1, 2, 2},
    /* a step smaller than its job */
    {TASK "SLURM_NTASKS=64", SRUN, 3, 4, 1, 2, 2},
    {TASK "SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_STEP_NUM_TASKS=1 SLURM_STEP_NUM_NODES=1 "
          "SLURM_STEP_TASKS_PER_NODE=1 SLURM_NODEID=0",
     SRUN, 0, 1, 0, 1, 1},
    /* unbalanced lists */
    {TASK "SLURM_STEP_TASKS_PER_NODE=1,3", SRUN, 3, 4, 1, 3, 2},
    {TASK "SLURM_STEP_TASKS_PER_NODE=2(x2),1 SLURM_NODEID=2 SLURM_LOCALID=0", SRUN, 3, 4, 0, 1, 2},
    /* a batch script: alone, whichever way Slurm numbers its step */
    {BATCH, NONE, -1, -1, -1, -1, -1},
    {BATCH "SLURM_STEP_ID=4294967291", NONE, -1, -1, -1, -1, -1},
    {BATCH "SLURM_STEPID=4294967294", NONE, -1, -1, -1, -1, -1},
    {BATCH "SLURM_STEP_ID=4294967290", NONE, -1, -1, -1, -1, -1},
    /* mpirun in a batch script: the figures of Slurm are its daemon's */
    {BATCH MPIRUN(1, 4, 1, 2), RUN, 1, 4, 1, 2, -1},
    {TASK MPIRUN(1, 4, 0, 2) "SLURM_LOCALID=0 SLURM_STEP_NUM_TASKS=2", RUN, 1, 4, 0, 2, -1},
    {TASK "PMI_RANK=5 PMI_SIZE=8 MPI_LOCALRANKID=1 MPI_LOCALNRANKS=4", PMI, 5, 8, 1, 4, -1},
    {"PMIX_RANK=2", PMI, 2, -1, -1, -1, -1},
    {"PMI_RANK=2 PMI_SIZE=3", PMI, 2, 3, -1, -1, -1},
    {BATCH "PMIX_RANK=2", PMI, 2, -1, -1, -1, -1},
    /* torchrun, alone or started by somebody else */
    {TORCHRUN, TORCH, 5, 8, 1, 4, -1},
    {TASK TORCHRUN, TORCH, 5, 8, 1, 4, -1},
    {MPIRUN(0, 1, 0, 1) TORCHRUN, TORCH, 5, 8, 1, 4, -1},
    {"RANK=5 WORLD_SIZE=8", NONE, -1, -1, -1, -1, -1},
};

START_TEST(launchers)
{
    weft__environ e;
    set_environment(row[_i].text);
    ck_assert_msg(!weft__environ_read(&e), "row %d: %s", _i, weft__why());
    ck_assert_int_eq((int)e.launcher, row[_i].launcher);
    ck_assert_int_eq(e.rank, row[_i].rank);
    ck_assert_int_eq(e.size, row[_i].size);
    ck_assert_int_eq(e.local_rank, row[_i].local_rank);
    ck_assert_int_eq(e.local_size, row[_i].local_size);
    ck_assert_int_eq(e.nodes, row[_i].nodes);
    ck_assert(e.cpus >= 1 && e.node_cpus >= e.cpus && !e.relaunched);
}
END_TEST

/* The variable that is wrong is named. Those of a launcher that did not start us are not read. */
START_TEST(nonsense)
{
    static const char *const bad[][2] = {
        {"OMPI_COMM_WORLD_RANK=one", "OMPI_COMM_WORLD_RANK"},
        {"OMPI_COMM_WORLD_RANK=-1", "OMPI_COMM_WORLD_RANK"},
        {MPIRUN(0, 0, 0, 1), "OMPI_COMM_WORLD_SIZE"},
        {MPIRUN(4, 4, 0, 1), "rank 4 of 4"},
        {MPIRUN(0, 4, 2, 2), "local rank 2 of 2"},
        {MPIRUN(0, 4, 0, 2x), "OMPI_COMM_WORLD_LOCAL_SIZE"},
        {TASK "SLURM_STEP_ID=first", "SLURM_STEP_ID"},
        {TASK "SLURM_PROCID=99999999999", "SLURM_PROCID"},
        {TASK "SLURM_STEP_TASKS_PER_NODE=2(x", "SLURM_STEP_TASKS_PER_NODE"},
        {TASK "SLURM_STEP_TASKS_PER_NODE=2", "SLURM_STEP_TASKS_PER_NODE"},
        {TASK "SLURM_STEP_TASKS_PER_NODE=2(x2", "SLURM_STEP_TASKS_PER_NODE"},
        {TASK "SLURM_STEP_TASKS_PER_NODE=,3", "SLURM_STEP_TASKS_PER_NODE"},
        {TASK "SLURM_CPUS_ON_NODE=some", "SLURM_CPUS_ON_NODE"},
        {"PMI_RANK=0 PMI_SIZE=1.5", "PMI_SIZE"},
        {"WEFT_RELAUNCHED=maybe", "WEFT_RELAUNCHED"}};
    weft__environ e;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        set_environment(bad[i][0]);
        ck_assert_msg(weft__environ_read(&e) == WEFT_EARG, "%s", bad[i][0]);
        ck_assert_msg(strstr(weft__why(), bad[i][1]), "%s: %s", bad[i][0], weft__why());
    }
    set_environment(MPIRUN(0, 1, 0, 1) "SLURM_PROCID=x SLURM_STEP_TASKS_PER_NODE=x");
    ck_assert(!weft__environ_read(&e));
    set_environment("WEFT_RELAUNCHED=1");
    ck_assert(!weft__environ_read(&e) && e.relaunched);
}
END_TEST

/* launcher and size; world, nodes, local size; devices and num_nodes of the user; the message. */
static const struct {
    int launcher, size, world, nodes, local, devices, num_nodes;
    const char *says;
} truth[] = {
    {NONE, -1, 1, 1, 1, 0, 0, NULL},
    {NONE, -1, 1, 1, 1, 1, 1, NULL},
    {NONE, -1, 1, 1, 1, 2, 0, "devices=2 was asked for, but 1 ranks run on this node"},
    {NONE, -1, 4, 2, 2, 0, 0, NULL},
    {RUN, 4, 4, 2, 2, 2, 2, NULL},
    {RUN, 4, 4, 2, 2, 4, 0, "ppr"},
    {RUN, 4, 4, 2, 2, 0, 3, "num_nodes=3 was asked for, but 2 nodes run"},
    {RUN, 4, 1, 1, 1, 0, 0, "ldd"},
    {RUN, 4, 2, 1, 2, 0, 0, "mpirun started 4 ranks, but MPI has 2"},
    {RUN, 1, 1, 1, 1, 0, 0, NULL},
    {SRUN, 4, 4, 2, 2, 0, 0, NULL},
    {SRUN, 4, 4, 2, 2, 2, 2, NULL},
    {SRUN, 4, 1, 1, 1, 0, 0, "srun --mpi=pmix (srun --mpi=list"},
    {SRUN, 4, 1, 1, 1, 0, 0, "mpirun -n 4"},
    {SRUN, 1, 1, 1, 1, 0, 0, NULL},
    {SRUN, 4, 3, 1, 3, 0, 0, "srun started 4 ranks, but MPI has 3"},
    {SRUN, 4, 4, 2, 2, 4, 0, "--ntasks-per-node"},
    {SRUN, 4, 4, 2, 2, 0, 1, "--nodes"},
    {PMI, -1, 4, 1, 4, 0, 0, NULL},
    {PMI, 4, 1, 1, 1, 0, 0, "sees this one alone"},
    {TORCH, 4, 1, 1, 1, 0, 0, "torchrun started 4 processes"},
    {TORCH, 1, 1, 1, 1, 0, 0, NULL},
};

START_TEST(checks)
{
    const weft__environ e = {.launcher = (weft__launcher)truth[_i].launcher,
                             .size = truth[_i].size};
    weft_status rc;
    set_environment("");
    rc = weft__environ_check(&e, truth[_i].world, truth[_i].nodes, truth[_i].local,
                             truth[_i].devices, truth[_i].num_nodes);
    ck_assert_int_eq(rc, truth[_i].says ? WEFT_ECONFIG : WEFT_OK);
    ck_assert_msg(!truth[_i].says || strstr(weft__why(), truth[_i].says), "%s", weft__why());
}
END_TEST

static char said[1024];
static int times_said;

static void listen(void *user, weft_level level, const char *text)
{
    (void)user, (void)level;
    snprintf(said, sizeof said, "%s", text);
    times_said++;
}

START_TEST(alone_in_a_batch_script)
{
    weft__environ e;
    set_environment(BATCH);
    times_said = 0;
    ck_assert(!weft__environ_read(&e) && !weft__environ_check(&e, 1, 1, 1, 0, 0));
    ck_assert(times_said == 1 && strstr(said, "4 tasks") && strstr(said, "srun"));
    set_environment("");
    ck_assert(!weft__environ_read(&e) && !weft__environ_check(&e, 1, 1, 1, 0, 0));
    ck_assert_int_eq(times_said, 1);
}
END_TEST

static const struct {
    int cpus, node_cpus, local, asked;
    const char *omp;
    int threads;
    const char *says;
} thread[] = {
    {8, 8, 1, 0, "", 8, NULL}, /* alone: all */
    {8, 8, 2, 0, "", 4, NULL}, /* unbound ranks share */
    {4, 8, 2, 0, "", 4, NULL}, /* bound apart */
    {2, 8, 2, 0, "", 2, NULL}, /* bound to less than the share */
    {8, 8, 3, 0, "", 2, NULL}, /* rounded down */
    {2, 2, 4, 0, "", 1, NULL}, /* more ranks than cores */
    {1, 8, 2, 0, "", 1, "--cpus-per-task=4"},
    {1, 1, 1, 0, "", 1, NULL},
    {8, 8, 2, 3, "", 3, NULL}, /* asked for */
    {8, 8, 2, 6, "", 4, "threads asks for 6"},
    {8, 8, 2, 0, "3", 3, NULL},
    {8, 8, 2, 0, "2,4", 2, NULL},
    {8, 8, 2, 0, "8", 4, "OMP_NUM_THREADS asks for 8"},
    {8, 8, 2, 1, "8", 1, NULL}, /* the option wins */
    {8, 8, 2, 0, "all", 4, "not a number"},
    {8, 8, 2, 0, "0", 4, "not a number"},
};

START_TEST(threads)
{
    const weft__environ e = {.cpus = thread[_i].cpus, .node_cpus = thread[_i].node_cpus};
    weft__environ other = e;
    other.rank = 1;
    set_environment("");
    setenv("OMP_NUM_THREADS", thread[_i].omp, 1);
    times_said = 0;
    ck_assert_int_eq(weft__environ_threads(&e, thread[_i].local, thread[_i].asked),
                     thread[_i].threads);
    ck_assert_int_eq(times_said, thread[_i].says != NULL);
    ck_assert_msg(!thread[_i].says || strstr(said, thread[_i].says), "%s", said);
    weft__environ_threads(&other, thread[_i].local, thread[_i].asked); /* once a job */
    ck_assert_int_eq(times_said, thread[_i].says != NULL);
}
END_TEST

/* The figures follow the mask. */
START_TEST(cores)
{
    unsigned char mask[WEFT__MASK];
    cpu_set_t all, one;
    weft__environ e;
    set_environment("");
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    weft__environ_mask(mask);
    ck_assert_int_eq(memcmp(mask, &all, sizeof all), 0);
    ck_assert(weft__environ_cores(mask) <= CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (size_t i = 0; !CPU_COUNT(&one); i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert(!weft__environ_read(&e) && e.cpus == 1 && e.node_cpus == 1);
    weft__environ_share(&e, mask);
    ck_assert(e.cpus == 1 && e.node_cpus == weft__environ_cores(mask));
    ck_assert_int_eq(sched_setaffinity(0, sizeof all, &all), 0);
}
END_TEST

/* What a relaunched child does; the relaunching process and its parent are below. */
static int child(const char *what, char **argv)
{
    const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *omp = getenv("OMP_NUM_THREADS");
    sigset_t set;
    int sig;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (strcmp(what, "kill") == 0)
        return rank && *rank == '1' ? raise(SIGKILL) : 0;
    if (strcmp(what, "arguments") == 0)
        return strcmp(argv[2], "") || strcmp(argv[3], "two words") || strcmp(argv[4], "-n") ||
               argv[5] || !omp || strcmp(omp, "3") || !getenv("OMPI_COMM_WORLD_SIZE");
    if (strcmp(what, "stdin") == 0)
        return rank && *rank == '0' && getchar() != 'x';
    if (strcmp(what, "wait") == 0) {
        printf("%ld\n", (long)getpid());
        fflush(stdout);
        alarm(20);
        sigwait(&set, &sig);
        return 7;
    }
    return atoi(argv[2] ? argv[2] : what);
}

/* Status 200 and up: weft__relaunch failed, with minus that much. */
static int relaunching(const char *what)
{
    int status = -1;
    weft_status rc;
    if (strcmp(what, "ignoring") == 0)
        signal(SIGCHLD, SIG_IGN);
    rc = weft__relaunch(2, 3, &status);
    if (rc == WEFT_RELAUNCHED)
        return status;
    fprintf(stderr, "%s\n", weft__why());
    return 200 - rc;
}

/* Starts this program with arguments; its stdout and stdin are pipes. */
static pid_t begin(char *const *argument, int *from, int *to)
{
    int out[2], in[2];
    char *argv[8] = {"test_environ"};
    ck_assert(!pipe2(out, O_CLOEXEC) && !pipe2(in, O_CLOEXEC));
    for (int i = 0; i < 6 && argument[i]; i++)
        argv[i + 1] = argument[i];
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], 1);
        dup2(in[0], 0);
        execv("/proc/self/exe", argv);
        _exit(126);
    }
    close(out[1]);
    close(in[0]);
    *from = out[0];
    *to = in[1];
    return pid;
}

static int end(pid_t pid, int from, int to)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    close(from);
    close(to);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#define ARGUMENTS(...) ((char *const[]){__VA_ARGS__, NULL})

static int outcome(char *const *argument)
{
    int from, to;
    set_environment("");
    pid_t pid = begin(argument, &from, &to);
    (void)!write(to, "x\n", 2);
    return end(pid, from, to);
}

START_TEST(relaunch_status)
{
    ck_assert_int_eq(outcome(ARGUMENTS("0")), 0);
    ck_assert_int_eq(outcome(ARGUMENTS("3")), 3);
    ck_assert_int_eq(outcome(ARGUMENTS("200")), 125);
    ck_assert_int_eq(outcome(ARGUMENTS("kill")), 125);
    ck_assert_int_eq(outcome(ARGUMENTS("ignoring", "4")), 4);
}
END_TEST

START_TEST(relaunch_passes_arguments)
{
    ck_assert_int_eq(outcome(ARGUMENTS("arguments", "", "two words", "-n")), 0);
    ck_assert_int_eq(outcome(ARGUMENTS("stdin")), 0);
}
END_TEST

static long child_pid(int from)
{
    char text[64] = "";
    for (size_t n = 0; n < sizeof text - 1 && read(from, text + n, 1) == 1; n++)
        if (text[n] == '\n')
            return atol(text);
    return 0;
}

START_TEST(relaunch_passes_signals)
{
    int from, to;
    set_environment("");
    pid_t pid = begin(ARGUMENTS("wait"), &from, &to);
    ck_assert(child_pid(from) > 0 && child_pid(from) > 0); /* both have come */
    kill(pid, SIGUSR1);
    ck_assert_int_eq(end(pid, from, to), 7);
}
END_TEST

/* Nothing is left behind a parent that is killed. */
START_TEST(relaunch_dies_with_its_parent)
{
    int from, to, tries = 0;
    long one, two;
    set_environment("");
    pid_t pid = begin(ARGUMENTS("wait"), &from, &to);
    one = child_pid(from);
    two = child_pid(from);
    ck_assert(one > 0 && two > 0);
    kill(pid, SIGKILL);
    ck_assert_int_eq(end(pid, from, to), 1000 + SIGKILL);
    while (tries++ < 1000 && (!kill((pid_t)one, 0) || !kill((pid_t)two, 0)))
        usleep(10000);
    ck_assert_int_lt(tries, 1000);
}
END_TEST

START_TEST(relaunch_refused)
{
    int status = -1;
    char *path = strdup(getenv("PATH")), file[] = "not_mpirun_XXXXXX";
    char slashed[sizeof file + 2];
    int fd = mkstemp(file);
    snprintf(slashed, sizeof slashed, "./%s", file);
    ck_assert(fd >= 0 && write(fd, "\177", 1) == 1);
    set_environment("WEFT_RELAUNCHED=1");
    ck_assert_int_eq(weft__relaunch(2, 1, &status), WEFT_ESTATE);
    set_environment("");
    ck_assert_int_eq(weft__relaunch(0, 1, &status), WEFT_EARG);
    setenv("WEFT_MPIRUN", "/nowhere/mpirun", 1);
    ck_assert_int_eq(weft__relaunch(2, 1, &status), WEFT_ENOENT);
    ck_assert_ptr_nonnull(strstr(weft__why(), "/nowhere/mpirun"));
    close(fd);
    chmod(file, 0700);
    setenv("WEFT_MPIRUN", slashed, 1);
    ck_assert_int_eq(weft__relaunch(2, 1, &status), WEFT_EIO);
    ck_assert_ptr_nonnull(strstr(weft__why(), file));
    unlink(file);
    unsetenv("WEFT_MPIRUN");
#ifndef WEFT__MPIRUN_DEFAULT
    setenv("PATH", "/nowhere", 1);
    ck_assert_int_eq(weft__relaunch(2, 1, &status), WEFT_ENOENT);
    ck_assert_ptr_nonnull(strstr(weft__why(), "openmpi"));
    setenv("PATH", path, 1);
#endif
    ck_assert_int_eq(status, -1);
    free(path);
}
END_TEST

/* MPI that Weft started is ended by its last user, and cannot start again. Last: no MPI after it. */
START_TEST(mpi_life)
{
    int handle, over = 0;
    bool is_world = false;
    weft_comm *c;
    set_environment("");
    ck_assert_int_eq(weft__comm_mpi(&c, 0, 1, &is_world), WEFT_ESTATE);
    ck_assert(!weft__mpi_enter(&handle) && !weft__mpi_enter(&handle));
    ck_assert(!weft__comm_mpi(&c, handle, 10, &is_world) && is_world && c->world == 1);
    weft__mpi_leave(false);
    MPI_Finalized(&over);
    ck_assert(!over && !weft__barrier(c, "still there"));
    weft__comm_free(c);
    weft__mpi_leave(false);
    MPI_Finalized(&over);
    ck_assert(over && weft__process.mpi_users == 0 && weft__process.mpi_ours == 0);
    ck_assert_int_eq(weft__mpi_enter(&handle), WEFT_ESTATE);
}
END_TEST

/* How near devices are to ranks, and what each gets. The last rows: the only one that is near to a rank,
 * and a rank's second best so that all are near in all. */
static const struct {
    int ranks, devices;
    unsigned char near[4][4];
    int of[4];
} assigned[] = {
    {1, 1, {{0}}, {0}},
    {4, 4, {{0}, {0}, {0}, {0}}, {0, 1, 2, 3}},
    {2, 4, {{0}, {0}}, {0, 1}},
    {2, 2, {{0, 1}, {1, 0}}, {1, 0}},
    {4, 4, {{1, 0, 1, 0}, {0, 1, 0, 1}, {1, 0, 1, 0}, {0, 1, 0, 1}}, {0, 1, 2, 3}},
    {4, 4, {{0, 0, 1, 1}, {0, 0, 1, 1}, {1, 1, 0, 0}, {1, 1, 0, 0}}, {2, 3, 0, 1}},
    {2, 4, {{0, 1, 0, 3}, {0, 0, 0, 3}}, {1, 3}},
    {2, 2, {{3, 3}, {3, 0}}, {1, 0}},
    {3, 3, {{2, 3, 0}, {0, 3, 2}, {0, 2, 0}}, {0, 2, 1}},
};

START_TEST(nearest_devices)
{
    unsigned char near[4 * WEFT__DEVICE_IDS] = {0};
    int of[4] = {-1, -1, -1, -1};
    for (int r = 0; r < 4; r++)
        memcpy(near + r * WEFT__DEVICE_IDS, assigned[_i].near[r], 4);
    weft__devices_near(assigned[_i].ranks, assigned[_i].devices, near, of);
    for (int r = 0; r < assigned[_i].ranks; r++)
        ck_assert_msg(of[r] == assigned[_i].of[r], "rank %d has device %d", r, of[r]);
}
END_TEST

/* As many as a node may have, each near to one rank alone, in some order. */
START_TEST(many_devices)
{
    static unsigned char near[WEFT__DEVICE_IDS * WEFT__DEVICE_IDS];
    int of[WEFT__DEVICE_IDS];
    for (int r = 0; r < WEFT__DEVICE_IDS; r++)
        near[r * WEFT__DEVICE_IDS + (r * 29 + 5) % WEFT__DEVICE_IDS] = WEFT__NEAREST;
    weft__devices_near(WEFT__DEVICE_IDS, WEFT__DEVICE_IDS, near, of);
    for (int r = 0; r < WEFT__DEVICE_IDS; r++)
        ck_assert_int_eq(of[r], (r * 29 + 5) % WEFT__DEVICE_IDS);
}
END_TEST

/* Where a device is, by hwloc, which looks once. */
START_TEST(where_devices_are)
{
    char path[] = "near-XXXXXX.xml";
    unsigned char mask[WEFT__MASK] = {1}, other[WEFT__MASK] = {2}, all[WEFT__MASK];
    memset(all, 0xff, sizeof all);
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        return;
    close(mkstemps(path, 4));
    ck_assert(near_machine(path));
    setenv("HWLOC_XMLFILE", path, 1);
    ck_assert_int_gt(weft__environ_near(mask, "ffff:01:00.0"), 0);
    ck_assert(!remove(path) && !unsetenv("HWLOC_XMLFILE"));
    ck_assert_int_eq(weft__environ_near(mask, "ffff:00:00.0"), 0);
    ck_assert_int_gt(weft__environ_near(other, "ffff:00:00.0"), 0);
    ck_assert_int_eq(weft__environ_near(other, "ffff:03:00.0"), 0);
    ck_assert_int_eq(weft__environ_near(all, "ffff:01:00.0"), 0);  /* not bound */
    ck_assert_int_eq(weft__environ_near(mask, "ffff:07:00.0"), 0); /* hwloc does not know it */
    ck_assert_int_eq(weft__environ_near(mask, "") + weft__environ_near(mask, "what?"), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("environ and launch");
    TCase *t = tcase_create("environ"), *l = tcase_create("launch");
    tcase_add_loop_test(t, launchers, 0, sizeof row / sizeof row[0]);
    tcase_add_test(t, nonsense);
    tcase_add_loop_test(t, checks, 0, sizeof truth / sizeof truth[0]);
    tcase_add_test(t, alone_in_a_batch_script);
    tcase_add_loop_test(t, threads, 0, sizeof thread / sizeof thread[0]);
    tcase_add_test(t, cores);
    tcase_add_loop_test(t, nearest_devices, 0, sizeof assigned / sizeof assigned[0]);
    tcase_add_test(t, many_devices);
    tcase_add_test(t, where_devices_are);
    suite_add_tcase(s, t);
    tcase_set_timeout(l, 60);
    if (system("command -v mpirun >/dev/null") == 0) {
        tcase_add_test(l, relaunch_status);
        tcase_add_test(l, relaunch_passes_arguments);
        tcase_add_test(l, relaunch_passes_signals);
        tcase_add_test(l, relaunch_dies_with_its_parent);
    }
    tcase_add_test(l, relaunch_refused);
    tcase_add_test(l, mpi_life);
    suite_add_tcase(s, l);
    return s;
}

int main(int argc, char **argv)
{
    SRunner *r;
    int failed;
    if (argc > 1)
        return getenv("WEFT_RELAUNCHED") ? child(argv[1], argv) : relaunching(argv[1]);
    weft_log_to(listen, NULL);
    r = srunner_create(suite());
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
