/* Tests that run on several ranks. An assertion must fail on all ranks or on none: Check leaves the
 * test at a failed one, and a rank that goes on alone would wait for ever in the next collective. */
#ifndef TESTS_MPI_ALL_H
#define TESTS_MPI_ALL_H
#include <check.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Waits without a core of its own: peers that are at work, or write to a disk, need it. */
static inline void all_wait(MPI_Request *r)
{
    int done = 0;
    for (int i = 0; !done; i++) {
        if (i > 20)
            nanosleep(&(struct timespec){0, i < 200 ? 20000 : 200000}, NULL);
        MPI_Test(r, &done, MPI_STATUS_IGNORE);
    }
}

static inline void all_barrier(void)
{
    MPI_Request r;
    MPI_Ibarrier(MPI_COMM_WORLD, &r);
    all_wait(&r);
}

/* ok on all ranks of MPI_COMM_WORLD; the ranks where it is not say so. Collective. */
static inline int all_ok(int ok, const char *what, const char *file, int line)
{
    int all = ok != 0, rank;
    MPI_Request r;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (!ok)
        fprintf(stderr, "%s:%d: rank %d: not true: %s\n", file, line, rank, what);
    MPI_Iallreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD, &r);
    all_wait(&r);
    return all;
}

#define all(ok) all_ok(ok, #ok, __FILE__, __LINE__)
#define ck_all(ok) ck_assert_msg(all(ok), "on all ranks: %s", #ok)

static inline int all_rank(void)
{
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
}

static inline int all_world(void)
{
    int world;
    MPI_Comm_size(MPI_COMM_WORLD, &world);
    return world;
}

/* Runs a suite under a running MPI; rank 0 reports. @return the number of failed tests. */
static inline int all_run(Suite *s)
{
    SRunner *r = srunner_create(s);
    int failed;
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, all_rank() ? CK_SILENT : CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}

/* Before MPI_Init: ranks that wait leave the core to those that do not, where others use it too. */
static inline void all_yield(void)
{
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
}

/* main of a test whose suite is made by `suite` and that finds MPI running. */
static inline int all_main(int *argc, char ***argv, Suite *(*suite)(void))
{
    int level, failed;
    all_yield();
    MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &level);
    failed = all_run(suite());
    MPI_Finalize();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
#endif
