/* SIGKILL at any instant: no committed checkpoint is lost, nothing unfinished is ever loaded, and
 * the run that was killed and resumed ends as one that was not, bit for bit.
 *
 * KILLS (default 50) is the number of kills on two ranks, KILL_SEED the seed of what is
 * killed when. */
#include "job.h"

#include <time.h>

static const char *options; /* of every run */
static unsigned random_state;

static unsigned below(unsigned n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct {
    int kills, inside, finished, whole, one, launcher;
    char before[4000]; /* names in the directory when the run began */
} count;

static void list_unfinished(char *out, size_t room)
{
    DIR *d = opendir(in("run/run"));
    size_t n = 0;
    out[0] = '\0';
    for (struct dirent *e; d && (e = readdir(d));)
        if (strstr(e->d_name, ".tmp-"))
            n += (size_t)snprintf(out + n, n < room ? room - n : 0, "%s\n", e->d_name);
    if (d)
        closedir(d);
}

/* A save began that did not end. */
static bool is_inside(void)
{
    char after[4000];
    list_unfinished(after, sizeof after);
    for (char *name = strtok(after, "\n"); name; name = strtok(NULL, "\n"))
        if (!strstr(count.before, name))
            return true;
    return false;
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = {0};
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return info.si_pid != 0;
}

/* Waits for a moment worth a kill. @return false if the run ended before it. */
static bool await(pid_t pid, int ranks)
{
    unsigned mode = below(10), saves = 1 + below(4), seen = 0;
    bool was = false;
    if (mode == 0) {
        usleep(below(250000));
        return !has_ended(pid);
    }
    for (double end = now() + 20; started("run", ranks, NULL) < 0 && now() < end; usleep(30))
        if (has_ended(pid))
            return false;
    if (mode < 4) {
        usleep(below(60000));
        return true;
    }
    for (double end = now() + 20; seen < saves && now() < end; usleep(20)) {
        bool is = is_inside();
        seen += is && !was;
        was = is;
        if (has_ended(pid))
            return false;
    }
    usleep(below(mode < 7 ? 100 : 1500));
    return true;
}

/* All of it, one rank, or the launcher. */
static void strike(pid_t pid)
{
    pid_t other[PROCESSES];
    int n = members(pid, other);
    unsigned mode = below(8);
    if (mode >= 6 && n) {
        count.launcher++;
        kill(pid, SIGKILL);
    } else if (mode >= 4 && n) {
        count.one++;
        kill(other[below((unsigned)n)], SIGKILL);
    } else {
        count.whole++;
        kill(pid, SIGKILL);
        for (int i = 0; i < n; i++)
            kill(other[i], SIGKILL);
    }
}

/* What a kill must leave. @return the newest step. */
static long examine(long newest_before)
{
    long step = newest("run"), rows;
    free(csv_rows("run", &rows));
    ck_assert_msg(step >= newest_before, "step %ld was committed, now %ld is the newest",
                  newest_before, step);
    ck_assert_msg(rows >= step, "metrics.csv has %ld good rows at step %ld", rows, step);
    ck_assert_msg(!holds(in("run/out"), "bad checkpoint"), "see %s", in("run/out"));
    return step;
}

static void compare_with_unbroken(int ranks)
{
    long rows, all;
    char *broken = csv_rows("run", &rows), *unbroken = csv_rows("whole", &all);
    ck_assert_msg(rows == all && strcmp(broken, unbroken) == 0, "%s and %s differ", in("run"),
                  in("whole"));
    free(broken);
    free(unbroken);
    ck_assert_msg(same_text(in("run/final"), in("whole/final")), "%s and %s differ",
                  in("run/final"), in("whole/final"));
    /* What a killed save left, and the checkpoint that it had not yet retired, go with the next one,
     * so not if the last run only resumed at the end. */
    bool tidied = started("run", ranks, NULL) < newest("run");
    if (tidied)
        ck_assert_int_eq(named("run", ".tmp-"), 0);
    ck_assert_int_eq(named("run", ".bad-"), 0);
    ck_assert_int_ge(named("run", "step-"), 3);
    ck_assert_int_le(named("run", "step-"), tidied ? 3 : 4);
    count.finished++;
}

/* One run until it is killed or ends. */
static bool survive(int ranks, long *expected, bool undisturbed)
{
    list_unfinished(count.before, sizeof count.before);
    char words[100];
    snprintf(words, sizeof words, "%s%s", options, undisturbed ? "" : " --pace 1500");
    pid_t pid = job_start(ranks, "run", "", words);
    bool hit = !undisturbed && await(pid, ranks);
    long committed = newest("run");
    if (hit)
        strike(pid);
    int rc = job_wait(pid);
    long from = started("run", ranks, NULL);
    ck_assert_msg(from < 0 || from == (*expected < 0 ? 0 : *expected),
                  "step %ld was committed, the run began at %ld", *expected, from);
    if (!hit || rc == 0) {
        ck_assert_msg(rc == 0, "exit status %d, see %s", rc, in("run/out"));
        return true;
    }
    count.kills++;
    count.inside += is_inside();
    *expected = examine(committed);
    return false;
}

/* Kills until there were enough, some of them inside a save; then lets it end. */
static void campaign(int ranks, int kills, int inside)
{
    long expected = -1;
    double begun = now();
    memset(&count, 0, sizeof count);
    options = "--epochs 12";
    ck_assert_int_eq(job_run(ranks, "whole", "", options), 0);
    while (count.kills < kills || count.inside < inside)
        if (survive(ranks, &expected, false)) {
            compare_with_unbroken(ranks);
            ck_assert_int_eq(shell("rm -rf '%s'", in("run")), 0);
            expected = -1;
        }
    ck_assert(survive(ranks, &expected, true));
    compare_with_unbroken(ranks);
    printf("# %d rank%s: %d kills (%d inside a save; %d of all at once, %d of one rank, %d of the "
           "launcher), %d runs ended like the unbroken one, %.1f s\n",
           ranks, ranks > 1 ? "s" : "", count.kills, count.inside, count.whole, count.one,
           count.launcher, count.finished, now() - begun);
}

static int kills_wanted(void)
{
    return getenv("KILLS") ? atoi(getenv("KILLS")) : 50;
}

START_TEST(two_ranks)
{
    campaign(2, kills_wanted(), kills_wanted() * 2 / 5);
}
END_TEST

START_TEST(alone)
{
    campaign(1, kills_wanted() / 5, kills_wanted() / 10);
}
END_TEST

START_TEST(three_ranks)
{
    campaign(3, kills_wanted() / 10, kills_wanted() / 25);
}
END_TEST

START_TEST(four_ranks)
{
    campaign(4, kills_wanted() / 10, kills_wanted() / 25);
}
END_TEST

/* Not at random: before each call that changes the file system, through a save and what follows. */
START_TEST(before_every_call)
{
    char before[300], words[100];
    int k = 1, rc = 128;
    memset(&count, 0, sizeof count);
    options = "--epochs 2";
    ck_assert_int_eq(job_run(1, "whole", "", options), 0);
    snprintf(before, sizeof before, "LD_PRELOAD='%s' WEFT_FAULT_KILL=1", getenv("WEFT_FAULTSHIM"));
    for (; rc != 0; k++) {
        ck_assert_int_eq(shell("rm -rf '%s'", in("run")), 0);
        snprintf(words, sizeof words, "%s --stop 24 --kill %d", options, k);
        rc = job_run(1, "run", before, words);
        ck_assert(rc == 0 || rc == 128);
        long expected = examine(rc ? 8 : 24);
        ck_assert(survive(1, &expected, true));
        compare_with_unbroken(1);
    }
    printf("# 1 rank: killed before each of the %d calls of a save\n", k - 2);
    ck_assert_int_gt(k, 20);
}
END_TEST

int main(void)
{
    const char *seed = getenv("KILL_SEED");
    if (!getenv("MPIRUN") || !*getenv("MPIRUN") || !getenv("WEFT_FAULTSHIM"))
        return 77;
    random_state =
        seed ? (unsigned)strtoul(seed, NULL, 10) : (unsigned)time(NULL) ^ (unsigned)getpid();
    printf("# KILL_SEED=%u\n", random_state);
    const TTest *const tests[] = {two_ranks, alone, three_ranks, four_ranks, before_every_call};
    return job_tests("kill and resume", tests, 5);
}
