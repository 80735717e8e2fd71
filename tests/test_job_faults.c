/* A real job whose disk fails: saves that cannot be written, checkpoints that are damaged, data that
 * is not there. */
#include "job.h"

#define ALL "--epochs 4"

static void same_end(const char *a, const char *b)
{
    long x, y;
    char *one = csv_rows(a, &x), *two = csv_rows(b, &y);
    ck_assert_msg(x > 0 && x == y && strcmp(one, two) == 0, "%s and %s differ", in("%s", a),
                  in("%s", b));
    free(one);
    free(two);
    ck_assert_msg(same_text(in("%s/final", a), in("%s/final", b)), "%s and %s differ",
                  in("%s/final", a), in("%s/final", b));
}

static void fresh(const char *dir)
{
    ck_assert_int_eq(shell("rm -rf '%s'", in("%s", dir)), 0);
}

static void run_rc(int expected, const char *dir, const char *before, const char *options)
{
    int rc = job_run(2, dir, before, options);
    ck_assert_msg(rc == expected, "train_job %s: exit status %d instead of %d, see %s", options, rc,
                  expected, in("%s/out", dir));
}

/* ---- saves that fail ---- */

/* Save 2k-1 has its k-th call fail on a rank, the ones between are left alone. */
static void failing(int rank, const char *more)
{
    char before[600], options[100];
    int calls = 0, k;
    fresh("run");
    unlink(in("log"));
    snprintf(before, sizeof before, "LD_PRELOAD='%s' WEFT_FAULT_LOG='%s' %s",
             getenv("WEFT_FAULTSHIM"), in("log"), more);
    snprintf(options, sizeof options, ALL " --every 2 --fault %d", rank);
    run_rc(0, "run", before, options);
    same_end("run", "whole");
    /* The last save had no k-th call to fail. */
    char *log = text_of(in("log")), *line = log;
    for (k = 0; (line = strchr(line, '\n')) && line[1]; line++) {
        int call = atoi(line + 1);
        k += call == 1;
        calls = call;
    }
    free(log);
    ck_assert_msg(calls > 3 && calls < k, "%d saves, the last had %d calls", k, calls);
    ck_assert_int_eq(named("run", ".tmp-"), 0);
    ck_assert(holds(in("run/out"), "step-000006.tmp-"));
    run_rc(0, "run", "", "--epochs 5");
    ck_assert_int_eq(started("run", 2, NULL), 252);
    ck_assert(!holds(in("run/out"), "bad checkpoint"));
    printf("# rank %d, %s: each of the %d calls of a save failed once\n", rank, more, calls);
}

START_TEST(every_failing_call)
{
    run_rc(0, "whole", "", ALL);
    for (int rank = 0; rank < 2; rank++) {
        failing(rank, "WEFT_FAULT_ERRNO=28");
        failing(rank, "WEFT_FAULT_ERRNO=5 WEFT_FAULT_STICKY=1");
    }
}
END_TEST

START_TEST(files_must_not_grow)
{
    const int bytes[] = {0, 100, 4000, 66000};
    char options[100];
    run_rc(0, "whole", "", ALL);
    for (int i = 0; i < 4; i++) {
        fresh("run");
        snprintf(options, sizeof options, ALL " --limit %d", bytes[i]);
        /* Save 2 has to fail, or the job says so; so does one that fails later. */
        run_rc(0, "run", "", options);
        ck_assert(holds(in("run/out"), "step-000016.tmp-"));
        ck_assert(holds(in("run/out"), "File too large"));
        ck_assert_int_eq(named("run", ".tmp-"), 0);
        ck_assert(same_text(in("run/final"), in("whole/final")));
    }
}
END_TEST

/* ---- damage ---- */

/* The state of a run directory, apart from what a run says. */
static void digest_of(const char *dir, const char *out)
{
    ck_assert_int_eq(shell("cd '%s' && find run metrics.csv* -type f -exec cksum {} + | sort >'%s'",
                           in("%s", dir), in("%s", out)),
                     0);
}

START_TEST(damage_falls_back)
{
    static const struct {
        const char *command, *said;
    } damage[] = {
        {"rm step-000040/shard-*-00001.h5", "-00001.h5 is missing"},
        {"truncate -s 300 step-000040/MANIFEST", "step-000040/MANIFEST"},
        {"rm step-000040/MANIFEST", "step-000040/MANIFEST is missing"},
        {"truncate -s -1 step-000040/shard-*-00000.h5", "-00000.h5 has "},
        {"s=$(ls step-000040/shard-*-00000.h5); printf X | dd of=$s bs=1 conv=notrunc status=none "
         "seek=$(($(stat -c %s $s) - 3))",
         "is damaged in block"},
    };
    run_rc(0, "whole", "", ALL);
    for (int i = 0; i < (int)(sizeof damage / sizeof *damage); i++) {
        fresh("run");
        run_rc(0, "run", "", ALL " --stop 40");
        ck_assert_int_eq(shell("cd '%s' && %s", in("run/run"), damage[i].command), 0);
        run_rc(0, "run", "", ALL);
        ck_assert_int_eq(started("run", 2, NULL), 32);
        ck_assert_msg(holds(in("run/out"), "bad checkpoint: ") &&
                          holds(in("run/out"), damage[i].said),
                      "%s: see %s", damage[i].command, in("run/out"));
        same_end("run", "whole");
    }
}
END_TEST

START_TEST(all_damaged)
{
    run_rc(0, "run", "", ALL " --stop 40");
    ck_assert_int_eq(shell("cd '%s' && truncate -s 200 step-*/MANIFEST", in("run/run")), 0);
    digest_of("run", "before");
    run_rc(10, "run", "", ALL);
    ck_assert_int_eq(started("run", 2, NULL), -1);
    ck_assert(holds(in("run/out"), "none of the 3 checkpoints is good"));
    digest_of("run", "after");
    ck_assert(same_text(in("before"), in("after")));
}
END_TEST

/* ---- data ---- */

START_TEST(data_that_is_not_there)
{
    static const struct {
        const char *command, *said;
        int status;
    } data[] = {
        {"rm -f $d", "data.h5", 8},
        {"rm -f $d; mkdir $d", "data.h5", 10},
        {"rm -rf $d; head -c 100000 ../data.h5 >$d", "data.h5", 10},
        {"rm -rf $d; head -c 100 ../data.h5 >$d", "data.h5", 10},
        {"rm -rf $d; : >$d", "data.h5", 10},
        {"rm -rf $d; echo hello >$d", "data.h5", 10},
    };
    run_rc(0, "run", "", ALL " --stop 40");
    digest_of("run", "before");
    for (int i = 0; i < (int)(sizeof data / sizeof *data); i++) {
        ck_assert_int_eq(
            shell("cd '%s' && : >out && d=data.h5 && { %s; }", in("run"), data[i].command), 0);
        run_rc(data[i].status, "run", "", ALL);
        ck_assert_msg(holds(in("run/out"), data[i].said), "%s: see %s", data[i].command,
                      in("run/out"));
    }
    digest_of("run", "after");
    ck_assert(same_text(in("before"), in("after")));
}
END_TEST

int main(void)
{
    if (!getenv("MPIRUN") || !*getenv("MPIRUN") || !getenv("WEFT_FAULTSHIM"))
        return 77;
    const TTest *const tests[] = {every_failing_call, files_must_not_grow, damage_falls_back,
                                  all_damaged, data_that_is_not_there};
    return job_tests("failing disks", tests, (int)(sizeof tests / sizeof *tests));
}
