/* Checkpoints and everything that goes wrong: damage, full disks, lost memory, failing calls. */
#include "checkpoint_fixture.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- damage ---- */

/* The newest is refused with `named` in the warning, the one before it is loaded. */
static void refused(struct program *a, const char *name)
{
    struct program *b = program(9);
    int64_t step = 0;
    warned[0] = '\0';
    ck_assert_msg(resume(b, &step) == WEFT_OK, "%s", weft__why());
    ck_assert_msg(step == 1 && equal(b, a), "%s: step %lld", name, (long long)step);
    ck_assert_msg(strstr(warned, name) != NULL, "%s is not in: %s", name, warned);
    drop(b);
}

/* Bytes of tensors, spread over the shard; its structure ends before the first. */
static void flip_tensors(struct program *a)
{
    long n;
    char *text = slurp(at(2, "MANIFEST"), &n), shard[400];
    snprintf(shard, sizeof shard, "%s", at(2, NULL));
    for (char *p = strstr(text, "\"slabs\":[["); p; p = strstr(p + 1, "\"slabs\":[[")) {
        long long rank, first, count, offset;
        ck_assert_int_eq(
            sscanf(p, "\"slabs\":[[%lld,%lld,%lld,%lld", &rank, &first, &count, &offset), 4);
        const long long byte[] = {offset, offset + count - 1, offset + count / 2};
        for (int i = 0; i < 3; i++) {
            flip(shard, (long)byte[i]);
            refused(a, strrchr(shard, '/') + 1);
            ck_assert_msg(strstr(warned, "\"model/") != NULL, "%s", warned);
            flip(shard, (long)byte[i]);
        }
    }
    free(text);
}

START_TEST(a_flipped_byte_is_found)
{
    struct program *a = program(1), *b = program(2);
    long n;
    int64_t step;
    ck_assert(save(a, 1) == WEFT_OK && save(b, 2) == WEFT_OK);
    free(slurp(at(2, "MANIFEST"), &n));
    for (long i = 0; i < n; i += i < n - 40 ? 37 : 1) {
        flip(at(2, "MANIFEST"), i);
        refused(a, "step-000002/MANIFEST");
        flip(at(2, "MANIFEST"), i);
    }
    flip_tensors(a);
    ck_assert(resume(a, &step) == WEFT_OK && step == 2 && equal(a, b));
    drop(a);
    drop(b);
}
END_TEST

START_TEST(structure_is_no_data)
{
    struct program *a = program(1), *b = program(2);
    int64_t step;
    ck_assert_int_eq(save(a, 1), WEFT_OK);
    flip(at(1, NULL), 100);
    ck_assert_int_eq(unlink(at(1, "checkpoint.h5")), 0);
    ck_assert(resume(b, &step) == WEFT_OK && step == 1 && equal(b, a));
    ck_assert(strstr(warned, "structure is damaged") && strstr(warned, "checkpoint.h5 is missing"));
    drop(a);
    drop(b);
}
END_TEST

START_TEST(files_of_a_wrong_size_are_found)
{
    struct program *a = program(1), *b = program(2);
    char shard[400], aside[420];
    struct stat st;
    ck_assert(save(a, 1) == WEFT_OK && save(b, 2) == WEFT_OK);
    snprintf(shard, sizeof shard, "%s", at(2, NULL));
    snprintf(aside, sizeof aside, "%s.away", shard);
    stat(shard, &st);
    ck_assert_int_eq(truncate(shard, st.st_size + 1), 0);
    refused(a, "instead of");
    ck_assert_int_eq(truncate(shard, st.st_size), 0);
    ck_assert_int_eq(rename(shard, aside), 0);
    refused(a, "is missing");
    ck_assert_int_eq(symlink(aside, shard), 0);
    refused(a, "cannot open");
    unlink(shard);
    ck_assert_int_eq(mkfifo(shard, 0600), 0);
    refused(a, "no plain file");
    unlink(shard);
    ck_assert_int_eq(rename(aside, shard), 0);
    for (long size = st.st_size - 1; size >= 0; size = size > 4 ? size / 4 : size - 1) {
        ck_assert_int_eq(truncate(shard, size), 0);
        refused(a, "instead of");
    }
    ck_assert_int_eq(truncate(at(2, "MANIFEST"), 100), 0);
    refused(a, "MANIFEST");
    ck_assert_int_eq(unlink(at(2, "MANIFEST")), 0);
    refused(a, "MANIFEST is missing");
    drop(a);
    drop(b);
}
END_TEST

START_TEST(all_bad_is_an_error)
{
    struct program *a = program(1), *b = program(2), *c = program(2);
    int64_t step = 5;
    ck_assert_int_eq(save(a, 1), WEFT_OK);
    unlink(at(1, "MANIFEST"));
    ck_assert_int_eq(resume(b, &step), WEFT_EFORMAT);
    ck_assert(step == 5 && equal(b, c));
    ck_assert_ptr_nonnull(strstr(weft__why(), "MANIFEST is missing"));
    drop(a);
    drop(b);
    drop(c);
}
END_TEST

/* ---- too little room ---- */

static void limit(rlim_t bytes)
{
    const struct rlimit l = {bytes, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &l);
}

START_TEST(a_full_disk_is_an_error)
{
    struct program *a = program(1), *b = program(2);
    const rlim_t sizes[] = {0, 100, 70000, 5000000, 10000000};
    int64_t step;
    ck_assert_int_eq(save(a, 1), WEFT_OK);
    for (int i = 0; i < COUNT(sizes); i++) {
        limit(sizes[i]); /* of Check's files too: no assertion may run in between */
        weft_status s = save(b, 2);
        limit(RLIM_INFINITY);
        ck_assert_int_eq(s, WEFT_EIO);
        ck_assert_ptr_nonnull(strstr(weft__why(), "File too large"));
        ck_assert_int_eq(named("step-"), 1);
    }
    ck_assert(resume(b, &step) == WEFT_OK && step == 1 && equal(b, a));
    ck_assert_int_eq(save(b, 2), WEFT_OK);
    drop(a);
    drop(b);
}
END_TEST

START_TEST(every_lost_allocation_is_an_error)
{
    struct program *a = program(1), *b = program(2);
    int64_t step = -1;
    int failed = 0;
    ck_assert_int_eq(save(a, 1), WEFT_OK);
    for (long k = 1, left = 0; left == 0; k++) {
        weft__fail_alloc(k);
        weft_status s = save(b, 2);
        left = weft__fail_alloc(0) > 0;
        failed += s == WEFT_ENOMEM;
        ck_assert_msg(s == WEFT_ENOMEM || s == WEFT_OK, "%d %s", s, weft__why());
        ck_assert_int_eq(named(".tmp-"), 0);
    }
    ck_assert_int_gt(failed, 20);
    for (long k = 1, left = 0; left == 0; k++) {
        weft__fail_alloc(k);
        weft_status s = resume(a, &step);
        left = weft__fail_alloc(0) > 0;
        ck_assert_msg(s == WEFT_ENOMEM || s == WEFT_OK, "%d %s", s, weft__why());
    }
    ck_assert(step == 2 && equal(a, b));
    drop(a);
    drop(b);
}
END_TEST

/* ---- faults ---- */

#define END 10 /* a child's exit status: there was no k-th call */

/* Runs in a process of its own with the shim: saves 1 and 2, saves 3 with call k failing, and then
 * everything must go on as if nothing had happened. */
static int child(const char *where, const char *k)
{
    struct program *a = program(1), *b = program(2), *got = program(3);
    int64_t step;
    long n;
    snprintf(dir, sizeof dir, "%s", where);
    if (save(a, 1) || save(a, 2))
        return 2;
    setenv("WEFT_FAULT_CALL", k, 1);
    setenv("WEFT_FAULT_DIR", dir, 1);
    weft_status s = save(b, 3);
    unsetenv("WEFT_FAULT_DIR");
    char *log = slurp(getenv("WEFT_FAULT_LOG"), &n), *last = strrchr(log, '\n');
    while (last > log && last[-1] != '\n')
        last--;
    if (atoi(k) > atoi(last))
        return s ? 3 : END;
    if (s > 0 || (s < 0 && (s != WEFT_EIO || !strstr(weft__why(), "step-000003"))))
        return fprintf(stderr, "%d %s\n", s, weft__why()), 4;
    if (resume(got, &step) || (s == 0 && step != 3) || !equal(got, step == 3 ? b : a))
        return fprintf(stderr, "%d: step %lld %s\n", s, (long long)step, weft__why()), 5;
    if (save(b, 4) || resume(got, &step) || step != 4 || !equal(got, b))
        return 6;
    return named(".tmp-") ? 7 : 0;
}

static int faulty(int k, int error, bool sticky)
{
    char command[600], self[200];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    snprintf(command, sizeof command,
             "rm -rf '%s' '%s.log'; WEFT_LOG_LEVEL=error WEFT_FAULT_LOG='%s.log' "
             "WEFT_FAULT_ERRNO=%d %s LD_PRELOAD='%s' '%s' child '%s' %d",
             dir, dir, dir, error, sticky ? "WEFT_FAULT_STICKY=1" : "", getenv("WEFT_FAULTSHIM"),
             self, dir, k);
    int rc = system(command);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

START_TEST(every_failing_call_is_survived)
{
    const int error[] = {ENOSPC, EIO};
    for (int e = 0; e < 2; e++)
        for (int sticky = 0; sticky < 2; sticky++)
            for (int k = 1, rc = 0; rc != END; k++) {
                rc = faulty(k, error[e], sticky);
                ck_assert_msg(rc == 0 || (rc == END && k > 20), "call %d, errno %d: exit status %d",
                              k, error[e], rc);
            }
}
END_TEST

/* The number of the last (or first) line of a log that holds all three; 0 if none does. */
static int line_of(char *log, const char *call, const char *a, const char *b, bool last)
{
    int found = 0;
    char *copy = strdup(log);
    for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n"))
        if ((last || !found) && strstr(line, call) && strstr(line, a) && strstr(line, b))
            found = atoi(line);
    free(copy);
    return found;
}

START_TEST(nothing_is_committed_before_it_is_on_disk)
{
    static const char *const file[] = {"/shard-", "/checkpoint.h5", "/MANIFEST"};
    char path[100];
    long n;
    ck_assert_int_eq(faulty(0, EIO, false), 0);
    snprintf(path, sizeof path, "%s.log", dir);
    char *log = slurp(path, &n);
    int rename = line_of(log, " rename ", "step-000003.tmp-", " step-000003", false);
    int tmp = 0, parent = 0;
    char *copy = strdup(log);
    for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n")) {
        if (strstr(line, " fsync ") && strstr(line, ".tmp-") && !strstr(line, "/"))
            tmp = atoi(line);
        if (strstr(line, " fsync ") && strcmp(strchr(line, ' '), " fsync .") == 0)
            parent = atoi(line);
    }
    for (int i = 0; i < 3; i++) {
        int sync = line_of(log, " fsync ", file[i], ".tmp-", true);
        ck_assert_int_lt(line_of(log, " pwrite ", file[i], ".tmp-", true), sync);
        ck_assert_int_lt(line_of(log, " open ", file[i], ".tmp-", true), sync);
        ck_assert(sync > 0 && sync < tmp);
    }
    ck_assert_msg(tmp < rename && rename < parent, "%s", log);
    ck_assert_int_lt(parent, line_of(log, " symlink ", "latest", "", false));
    ck_assert_int_lt(parent, line_of(log, " unlink ", "", "", false));
    ck_assert_int_lt(parent, line_of(log, " rename ", "step-000001", "", false));
    free(copy);
    free(log);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "child") == 0)
        return child(argv[2], argv[3]);
    if (!getenv("WEFT_FAULTSHIM"))
        return 77;
    const TTest *const tests[] = {
        a_flipped_byte_is_found,         structure_is_no_data,
        files_of_a_wrong_size_are_found, all_bad_is_an_error,
        a_full_disk_is_an_error,         every_lost_allocation_is_an_error,
        every_failing_call_is_survived,  nothing_is_committed_before_it_is_on_disk};
    return run("checkpoint faults", tests, COUNT(tests));
}
