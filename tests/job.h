/* Starting, watching and ending runs of train_job. Each run is a session of its own, by which all of
 * its processes are found, whoever their parent is by then. */
#ifndef TESTS_JOB_H
#define TESTS_JOB_H
#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 64

static char base[64], shm[64]; /* the test's directory; where Open MPI keeps what a kill leaves */

/* base/name, in one of a few places that are used in turn. */
static inline char *in(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline char *in(const char *format, ...)
{
    static char path[8][400];
    static int at;
    char *p = path[at++ % 8];
    va_list args;
    int n = snprintf(p, sizeof path[0], "%s/", base);
    va_start(args, format);
    vsnprintf(p + n, sizeof path[0] - (size_t)n, format, args);
    va_end(args);
    return p;
}

static inline int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline int shell(const char *format, ...)
{
    char command[2000];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int rc = system(command);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : 128;
}

static inline void job_setup(void)
{
    snprintf(base, sizeof base, "/tmp/weft-job-XXXXXX");
    snprintf(shm, sizeof shm, "/dev/shm/weft-job-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    setenv("TMPDIR", base, 1);
    if (mkdtemp(shm))
        setenv("OMPI_MCA_btl_vader_backing_directory", shm, 1);
    setenv("OMPI_MCA_odls_base_sigkill_timeout", "0", 1);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    ck_assert_int_eq(shell("./train_job --make '%s/data.h5' 2>/dev/null", base), 0);
}

static inline void job_teardown(void)
{
    if (!getenv("KEEP_FILES"))
        ck_assert_int_eq(shell("rm -rf '%s' '%s'", base, shm), 0);
}

/* All of a file, "" if there is none; to be freed. */
static inline char *text_of(const char *path)
{
    FILE *in = fopen(path, "r");
    char *text = calloc(1, 1 << 22);
    if (in) {
        size_t n = fread(text, 1, (1 << 22) - 1, in);
        text[n] = '\0';
        fclose(in);
    }
    return text;
}

static inline bool same_text(const char *a, const char *b)
{
    char *x = text_of(a), *y = text_of(b);
    bool same = *x && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

static inline bool holds(const char *path, const char *part)
{
    char *text = text_of(path);
    bool found = strstr(text, part) != NULL;
    free(text);
    return found;
}

/* Starts train_job on base/dir; its output is added to base/dir/out. `before`: words of env. Each job
 * has temporary files of its own: an mpirun that ends takes away the directory that another, on its
 * way up, may be about to use. */
static inline pid_t job_start(int ranks, const char *dir, const char *before, const char *options)
{
    char command[2000], launch[300] = "";
    if (ranks > 1)
        snprintf(launch, sizeof launch, "%s -np %d", getenv("MPIRUN"), ranks);
    if (mkdir(in("%s", dir), 0700) == 0)
        ck_assert_int_eq(symlink("../data.h5", in("%s/data.h5", dir)), 0);
    mkdir(in("%s.tmp", dir), 0700);
    unlink(in("%s/start", dir));
    unlink(in("%s/final", dir));
    snprintf(command, sizeof command,
             "exec env TMPDIR='%s/%s.tmp' %s %s ./train_job --dir '%s/%s' %s </dev/null "
             ">>'%s/%s/out' 2>&1",
             base, dir, before, launch, base, dir, options, base, dir);
    pid_t pid = fork();
    if (pid)
        return pid;
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that is ended leaves no job behind */
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* The processes of a session, apart from its leader. */
static inline int members(pid_t session, pid_t *out)
{
    int n = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && n < PROCESSES && (e = readdir(d));) {
        pid_t pid = (pid_t)atoi(e->d_name);
        if (pid > 0 && pid != session && getsid(pid) == session)
            out[n++] = pid;
    }
    if (d)
        closedir(d);
    return n;
}

/* Waits until no process of the run is left. @return the leader's exit status, 128 after a signal */
static inline int job_wait(pid_t pid)
{
    int rc = 0;
    pid_t left[PROCESSES];
    waitpid(pid, &rc, 0);
    while (members(pid, left) > 0) {
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        usleep(500);
    }
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : 128;
}

static inline int job_run(int ranks, const char *dir, const char *before, const char *options)
{
    return job_wait(job_start(ranks, dir, before, options));
}

/* The newest step-N under base/dir/run, -1 if there is none. */
static inline long newest(const char *dir)
{
    long step = -1;
    DIR *d = opendir(in("%s/run", dir));
    for (struct dirent *e; d && (e = readdir(d));) {
        char *end = e->d_name;
        long n = strncmp(e->d_name, "step-", 5) == 0 ? strtol(e->d_name + 5, &end, 10) : -1;
        step = *end == '\0' && n > step ? n : step;
    }
    if (d)
        closedir(d);
    return step;
}

/* How many names under base/dir/run hold a text. */
static inline int named(const char *dir, const char *part)
{
    int n = 0;
    DIR *d = opendir(in("%s/run", dir));
    for (struct dirent *e; d && (e = readdir(d));)
        n += strstr(e->d_name, part) != NULL;
    if (d)
        closedir(d);
    return n;
}

/* The rows of base/dir/metrics.csv without their wall_s, but for half a row at the end; to be freed.
 * *last is the number of rows if they are steps 1, 2, ..., else -1. */
static inline char *csv_rows(const char *dir, long *last)
{
    char *text = text_of(in("%s/metrics.csv", dir)), *to = text, *line = text, *end;
    long expected = 0;
    for (; (end = strchr(line, '\n')); line = end + 1) {
        char *comma = strchr(line, ','), *second = comma ? strchr(comma + 1, ',') : NULL;
        char *third = second ? strchr(second + 1, ',') : NULL;
        long step = expected ? atol(line) : 0;
        if (!third || third > end || step != expected) {
            *last = -1;
            return text;
        }
        expected++;
        memmove(to, line, (size_t)(second - line));
        to += second - line;
        memmove(to, third, (size_t)(end + 1 - third));
        to += end + 1 - third;
    }
    *to = '\0';
    *last = expected ? expected - 1 : 0;
    return text;
}

/* The steps and digests that all ranks have said alike in base/dir/start; -1: not (yet) all. */
static inline long started(const char *dir, int ranks, char digest[17])
{
    char *text = text_of(in("%s/start", dir)), *line = text;
    char first[40] = "";
    long step = -1;
    int n = 0;
    for (char *end; (end = strchr(line, '\n')); line = end + 1, n++) {
        char one[40];
        snprintf(one, sizeof one, "%.*s", (int)(end - line), line);
        if (n == 0)
            strcpy(first, one);
        ck_assert_str_eq(first, one);
    }
    if (n == ranks && digest)
        ck_assert_int_eq(sscanf(first, "%ld %16s", &step, digest), 2);
    else if (n == ranks)
        step = atol(first);
    free(text);
    return step;
}

/* Runs the tests, each in a directory of its own. @return for main */
static inline int job_tests(const char *name, const TTest *const *tests, int n)
{
    Suite *s = suite_create(name);
    TCase *t = tcase_create("jobs");
    suite_add_tcase(s, t);
    tcase_set_timeout(t, 0);
    tcase_add_checked_fixture(t, job_setup, job_teardown);
    for (int i = 0; i < n; i++)
        tcase_add_test(t, tests[i]);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
#endif
