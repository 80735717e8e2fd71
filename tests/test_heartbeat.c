/* Real jobs of which one rank dies, stops, goes another way or is only late, all at once: each ends in
 * time with the culprit named, or goes on with nobody blamed. HEARTBEAT is the option's value in
 * seconds (default 4; `make long` takes what it is made for, 10, and the launcher's own patience). */
#include "job.h"

#include <math.h>
#include <time.h>

enum { GOES_ON, ENDS };
typedef struct trial {
    int ranks, rank;
    const char *what;
    double part;   /* seconds that it takes, in parts of the heartbeat */
    bool recovery; /* mpirun leaves the other ranks alone, so that all depends on us */
    int outcome;
    const char *said; /* of the culprit */
    char dir[24];
    pid_t pid;
    double ended;
    int rc;
} trial;

static double heartbeat = 4;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t); /* files' times are on it */
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Every other one sums gradients by a ring and a thread; on two ranks that makes the same bits. */
static void start(trial *t, int i)
{
    char options[200], before[100];
    snprintf(t->dir, sizeof t->dir, "trial%d", i);
    snprintf(options, sizeof options, "--heartbeat %g --every 1000 --trouble %d:20:%s:%g",
             heartbeat, t->rank, t->what, t->part * heartbeat);
    snprintf(before, sizeof before, "%s %s", t->recovery ? "OMPI_MCA_orte_enable_recovery=1" : "",
             i % 2 ? "WEFT_OVERLAP_COMM=on" : "");
    t->pid = job_start(t->ranks, t->dir, before, options);
}

/* Whether it has ended with all its processes. */
static bool over(trial *t)
{
    pid_t left[PROCESSES];
    int rc;
    if (t->pid && waitpid(t->pid, &rc, WNOHANG) == t->pid) {
        t->rc = WIFEXITED(rc) ? WEXITSTATUS(rc) : 128;
        t->ended = -(double)t->pid; /* until its processes have gone too */
        t->pid = 0;
    }
    if (!t->pid && t->ended < 0 && members((pid_t)-t->ended, left) == 0)
        t->ended = now();
    return t->ended > 0;
}

static void run_all(trial *t, int n)
{
    int left = n;
    for (int i = 0; i < n; i++)
        start(&t[i], i);
    while (left) {
        usleep(20000);
        left = 0;
        for (int i = 0; i < n; i++)
            left += !over(&t[i]);
        for (pid_t pid; (pid = waitpid(-1, NULL, WNOHANG | __WNOTHREAD)) > 0;)
            for (int i = 0; i < n; i++)
                if (t[i].pid == pid) { /* was taken in between */
                    t[i].ended = -(double)pid;
                    t[i].pid = 0;
                }
    }
}

static int times_said(const char *path, const char *part)
{
    char *text = text_of(path);
    int n = 0;
    for (char *at = text; (at = strstr(at, part)); at += strlen(part))
        n++;
    free(text);
    return n;
}

static void check(const trial *t)
{
    const char *out = in("%s/out", t->dir);
    struct stat s;
    char culprit[200], *said = text_of(out);
    ck_assert_msg(stat(in("%s/trouble", t->dir), &s) == 0, "%s did not happen: exit status %d, %s",
                  t->what, t->rc, said);
    free(said);
    double took = t->ended - ((double)s.st_mtim.tv_sec + 1e-9 * (double)s.st_mtim.tv_nsec);
    printf("# rank %d of %d, %s: %.1f s, exit status %d\n", t->rank, t->ranks, t->what, took,
           t->rc);
    fflush(stdout);
    if (t->outcome == GOES_ON) {
        ck_assert_msg(t->rc == 0 && !holds(out, "error"), "%s: see %s", t->what, out);
        ck_assert_msg(times_said(out, " is slow: ") == 1, "%s: not named once: see %s", t->what,
                      out);
        snprintf(culprit, sizeof culprit, "warning: rank %d on ", t->rank);
        ck_assert_msg(holds(out, culprit), "another was named: see %s", out);
        ck_assert(same_text(in("%s/final", t->dir), in("whole%d/final", t->ranks)));
        return;
    }
    /* The launcher has its own words for a rank that is killed; it may end the job before we do. */
    ck_assert_msg(took < heartbeat, "%s: %.1f s until all had ended", t->what, took);
    ck_assert_msg(t->recovery || t->rc != 0, "%s: exit status 0: see %s", t->what, out);
    snprintf(culprit, sizeof culprit, "rank %d on ", t->rank);
    char *text = text_of(out), *at = strstr(text, t->said);
    ck_assert_msg(at && strstr(text, culprit) && strstr(at, " collective ") &&
                      strstr(at, " at step ") && strstr(text, "WEFT_EPEER"),
                  "%s: not named: see %s", t->what, out);
    free(text);
}

START_TEST(one_rank_of_several)
{
    trial t[] = {
        {3, 1, "kill", 0, true, ENDS, "was lost: its process has ended", "", 0, 0, 0},
        {2, 0, "exit", 0, true, ENDS, "was lost: its process has ended", "", 0, 0, 0},
        {3, 0, "stop", 0, false, ENDS, "is stopped, and has been for", "", 0, 0, 0},
        {2, 1, "stop", 0, false, ENDS, "is stopped, and has been for", "", 0, 0, 0},
        {3, 2, "barrier", 0, false, ENDS, "went another way: it is ", "", 0, 0, 0},
        {3, 1, "leave", 0, false, ENDS, "went another way: it is ", "", 0, 0, 0},
        {3, 1, "pause", 0.5, false, GOES_ON, "", "", 0, 0, 0},
        {2, 0, "pause", 0.5, false, GOES_ON, "", "", 0, 0, 0},
        {3, 2, "sleep", heartbeat < 10 ? 1.5 : 2.5, false, GOES_ON, "", "", 0, 0, 0},
    };
    int n = (int)(sizeof t / sizeof *t);
    setenv("OMPI_MCA_odls_base_sigkill_timeout", heartbeat < 10 ? "0" : "1", 1);
    for (int ranks = 2; ranks <= 3; ranks++) {
        char dir[24];
        snprintf(dir, sizeof dir, "whole%d", ranks);
        ck_assert_int_eq(job_run(ranks, dir, "", "--every 1000"), 0);
        ck_assert(!holds(in("%s/out", dir), "slow"));
    }
    run_all(t, n);
    for (int i = 0; i < n; i++)
        check(&t[i]);
}
END_TEST

/* A machine with far more to do than it has cores for: nobody is blamed. */
START_TEST(overload)
{
    int hogs = heartbeat < 10 ? 4 : 12;
    pid_t hog[16];
    for (int i = 0; i < hogs; i++)
        if ((hog[i] = fork()) == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (volatile double x = 0;; x = sin(x) + 1)
                ;
        }
    int rc = job_run(4, "run", "",
                     heartbeat < 10 ? "--every 1000 --pace 5000 --heartbeat 2"
                                    : "--every 1000 --pace 50000 --epochs 6");
    for (int i = 0; i < hogs; i++) {
        kill(hog[i], SIGKILL);
        waitpid(hog[i], NULL, 0);
    }
    ck_assert_msg(rc == 0 && !holds(in("run/out"), "WEFT_EPEER"), "exit status %d: see %s", rc,
                  in("run/out"));
}
END_TEST

int main(void)
{
    const char *seconds = getenv("HEARTBEAT");
    if (!getenv("MPIRUN") || !*getenv("MPIRUN"))
        return 77;
    if (seconds)
        heartbeat = atof(seconds);
    const TTest *const tests[] = {one_rank_of_several, overload};
    return job_tests("heartbeat", tests, (int)(sizeof tests / sizeof *tests));
}
