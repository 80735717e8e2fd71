/* The heartbeat among ranks of one test: starting it where something is wrong on one rank, what it
 * leaves alone, and a rank that gives up. (Ranks that die or stop: test_heartbeat.c.) */
#include "mpi_all.h"

#include "comm/comm.h"
#include "comm/heartbeat_self.h"
#include "comm/mpi.h"
#include "core/alloc.h"
#include "core/context.h"
#include "core/process.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <weft.h>
#include <weft/mpi.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS 0 /* they have allocators of their own */
#else
#define COUNTS 1
#endif

/* Allocations of the thread that is looked at. */
static atomic_int looking, asked;
static pthread_t looked_at;

#if COUNTS
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);

static void note(void)
{
    if (atomic_load(&looking))
        atomic_fetch_add(&asked, pthread_equal(pthread_self(), looked_at) != 0);
}

void *malloc(size_t n)
{
    note();
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    note();
    return __libc_calloc(n, size);
}
#endif

static weft_comm *comm;
static int64_t step;

static void setup(void)
{
    bool is_world;
    step = 0;
    weft_status s = weft__comm_mpi(&comm, (int)MPI_Comm_c2f(MPI_COMM_WORLD), 60, &is_world);
    ck_all(s == WEFT_OK);
}

static void teardown(void)
{
    weft__comm_free(comm);
}

static weft_status start(double seconds)
{
    weft__watch w = {.seconds = seconds, .host = "here", .step = &step};
    int size;
    weft_status s = weft__mpi_topology(comm, &w.local_rank, &size, &w.node_rank, &w.nodes);
    return s ? s : weft__heartbeat_start(comm, &w);
}

/* Entries of a directory of /proc/self: threads, or open files. */
static int count(const char *what)
{
    int n = 0;
    char path[40];
    snprintf(path, sizeof path, "/proc/self/%s", what);
    DIR *d = opendir(path);
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

START_TEST(leaves_nothing)
{
    int threads = count("task"), files = count("fd");
    ck_all(!start(5) && comm->heartbeat);
    ck_all(count("task") == threads + 1);
    ck_all(!weft__barrier(comm, "one"));
    ck_all(!weft__heartbeat_end(comm));
    ck_all(count("task") == threads && count("fd") == files);
    ck_all(!weft__barrier(comm, "unwatched")); /* goes on without */
    ck_all(!weft__heartbeat_end(comm));        /* has ended */
}
END_TEST

START_TEST(tells_where_it_is)
{
    weft__progress p;
    weft_comm *part;
    ck_all(!start(5));
    weft__heartbeat *h = comm->heartbeat;
    step = 12;
    ck_all(!weft__barrier(comm, "one"));
    ck_all(weft__cell_read(h->mine, &p) && p.step == 12 && !p.waiting);
    ck_all(p.sequence == comm->sequence && strcmp(p.name, "one") == 0);
    /* calls of a part of the ranks have numbers of their own */
    ck_all(!weft__split(comm, "halves", comm->rank % 2, 0, &part) && part->heartbeat == h);
    ck_all(!weft__barrier(part, "half"));
    ck_all(weft__cell_read(h->mine, &p) && p.sequence == comm->sequence);
    ck_all(strcmp(p.name, "halves") == 0 && !p.waiting);
    weft__comm_free(part);
    ck_all(!weft__barrier(comm, "two"));
    ck_all(!weft__heartbeat_end(comm));
}
END_TEST

/* Also when it has something to say. */
START_TEST(asks_for_no_memory)
{
    ck_all(!start(1));
    looked_at = ((weft__heartbeat *)comm->heartbeat)->thread;
    atomic_store(&looking, 1);
    if (comm->rank == 0)
        usleep(600000);
    weft_status s = weft__barrier(comm, "one is late");
    atomic_store(&looking, 0);
    ck_all(!s && asked == 0);
    ck_all(!weft__heartbeat_end(comm));
}
END_TEST

/* The k-th allocation fails on one rank, for all k. */
START_TEST(no_memory)
{
    weft_status s = WEFT_ENOMEM;
    int k = 0, files = count("fd");
    while (s && k++ < 50) {
        weft__fail_alloc(comm->rank == comm->world - 1 ? k : 0);
        s = start(5);
        weft__fail_alloc(0);
        ck_all(s == WEFT_OK || (s == WEFT_ENOMEM && !comm->heartbeat));
    }
    ck_all(s == WEFT_OK && k > 3);
    ck_all(!weft__heartbeat_end(comm) && count("fd") == files);
}
END_TEST

/* What a full /dev/shm says, and what a process without a free descriptor says. */
static void limited(int what, rlim_t value, int rank, weft_status expected, const char *said)
{
    struct rlimit before, now;
    int files = count("fd");
    getrlimit(what, &before);
    now = (struct rlimit){value, before.rlim_max};
    ck_all(!weft__barrier(comm, "all connected"));
    if (comm->rank == rank)
        setrlimit(what, &now);
    weft_status s = start(5);
    setrlimit(what, &before);
    ck_all(s == expected && strstr(weft__why(), said) && strstr(weft__why(), "heartbeat=off"));
    ck_all(!comm->heartbeat && count("fd") == files);
    ck_all(!start(5) && !weft__heartbeat_end(comm));
}

START_TEST(no_room)
{
    signal(SIGXFSZ, SIG_IGN);
    limited(RLIMIT_FSIZE, 0, 0, WEFT_ENOMEM, "no room for");
    signal(SIGXFSZ, SIG_DFL);
}
END_TEST

START_TEST(no_descriptor)
{
    limited(RLIMIT_NOFILE, 3, comm->world - 1, WEFT_EIO, "heartbeat: ");
}
END_TEST

/* One rank's time runs out and it closes: the others do not wait for their own. */
START_TEST(one_gives_up)
{
    double begun = weft__now();
    int late = comm->rank == comm->world - 1;
    if (comm->world < 3)
        return;
    ck_all(!start(1)); /* it counts after 0.3 s */
    comm->timeout = comm->rank == 0 ? 0.5 : 60;
    if (late)
        usleep(2000000);
    weft_status s = weft__barrier(comm, "never"), again = weft__barrier(comm, "after");
    if (comm->rank == 0) {
        ck_assert_int_eq(s, WEFT_ETIMEOUT);
    } else {
        ck_assert_msg(s == WEFT_EPEER && strstr(weft__why(), "a peer was lost"), "%s", weft__why());
        ck_assert(weft__now() - begun < 5);
    }
    ck_assert(comm->lost && again == WEFT_EPEER);
    ck_assert_int_eq(weft__heartbeat_end(comm), WEFT_OK); /* at once */
    ck_all(1);
}
END_TEST

/* Through the fabric: one rank asks for another value. */
START_TEST(settings_differ)
{
    weft_fabric *f;
    bool odd = comm->rank == comm->world - 1;
    weft_log_level(WEFT_LOG_SILENT);
    weft_status s = weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.heartbeat = odd ? 5 : 6));
    ck_all(s == (comm->world > 1 ? WEFT_ECONFIG : WEFT_OK));
    ck_all(weft_close(&f) == -s);
    s = weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.heartbeat = odd ? 0.5 : 6));
    ck_all(s == WEFT_EARG && strstr(weft_message(f), ".heartbeat is 0.5"));
    ck_all(weft_close(&f) == -s);
    int threads = count("task");
    ck_all(!weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.heartbeat = WEFT_OFF)));
    ck_all(count("task") == threads && !weft_close(&f));
    weft_log_level(WEFT_LOG_WARNING);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("heartbeat");
    TCase *t = tcase_create("ranks");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, settings_differ);
    if (all_world() > 1) { /* one rank has nobody to watch */
        tcase_add_test(t, leaves_nothing);
        tcase_add_test(t, tells_where_it_is);
        tcase_add_test(t, asks_for_no_memory);
        tcase_add_test(t, no_memory);
        tcase_add_test(t, no_room);
        tcase_add_test(t, no_descriptor);
        tcase_add_test(t, one_gives_up);
    }
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    return all_main(&argc, &argv, suite);
}
