/* Resuming a real job: in the middle of an epoch, with other hyperparameters, on another number of
 * ranks, on other data. */
#include "job.h"

#include <jansson.h>

static void fresh(const char *dir)
{
    ck_assert_int_eq(shell("rm -rf '%s'", in("%s", dir)), 0);
}

static void run_ok(int ranks, const char *dir, const char *options)
{
    int rc = job_run(ranks, dir, "", options);
    ck_assert_msg(rc == 0, "train_job %s on %d ranks: exit status %d, see %s", options, ranks, rc,
                  in("%s/out", dir));
}

/* Column `at` (from 0, wall_s not counted) of the row of a step, as text. */
static void cell(const char *dir, long step, int at, char out[64])
{
    long last;
    char *rows = csv_rows(dir, &last), *p = rows;
    ck_assert_msg(last >= step, "%s has steps up to %ld", in("%s/metrics.csv", dir), last);
    for (long i = 0; i < step; i++)
        p = strchr(p, '\n') + 1;
    for (int i = 0; i < at; i++)
        p = strchr(p, ',') + 1;
    snprintf(out, 64, "%.*s", (int)strcspn(p, ",\n"), p);
    free(rows);
}

/* The rows of the steps 1, 2, ... of metrics.jsonl, without their wall_s. */
static json_t *json_rows(const char *dir)
{
    char *text = text_of(in("%s/metrics.jsonl", dir)), *line = text;
    json_t *all = json_array();
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *o = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
        ck_assert_msg(o && json_real_value(json_object_get(o, "wall_s")) > 0, "%s", line);
        ck_assert_int_eq(json_integer_value(json_object_get(o, "step")),
                         (long)json_array_size(all) + 1);
        json_object_del(o, "wall_s");
        json_array_append_new(all, o);
    }
    ck_assert_msg(!*line, "a torn row: %s", line);
    free(text);
    return all;
}

static void same_rows(const char *a, const char *b, long steps)
{
    long x, y;
    char *one = csv_rows(a, &x), *two = csv_rows(b, &y);
    ck_assert_msg(x == steps && y == steps && strcmp(one, two) == 0, "%s and %s differ",
                  in("%s", a), in("%s", b));
    free(one);
    free(two);
    json_t *p = json_rows(a), *q = json_rows(b);
    ck_assert_msg((long)json_array_size(p) == steps && json_equal(p, q),
                  "the jsonl of %s and %s differ", in("%s", a), in("%s", b));
    json_decref(p);
    json_decref(q);
}

/* 63 batches an epoch. */
START_TEST(in_the_middle_of_an_epoch)
{
    const int stop[] = {1, 40, 62, 63, 64, 100};
    char options[100];
    run_ok(2, "whole", "--epochs 2");
    for (int i = 0; i < 6; i++) {
        fresh("run");
        snprintf(options, sizeof options, "--epochs 2 --every 1000 --stop %d", stop[i]);
        run_ok(2, "run", options);
        ck_assert_int_eq(newest("run"), stop[i]);
        run_ok(2, "run", "--epochs 2 --every 1000");
        ck_assert_int_eq(started("run", 2, NULL), stop[i]);
        same_rows("run", "whole", 126);
        ck_assert(same_text(in("run/final"), in("whole/final")));
    }
    /* Nothing is left to do: no step, and the same end. */
    run_ok(2, "run", "--epochs 2");
    ck_assert_int_eq(started("run", 2, NULL), 126);
    same_rows("run", "whole", 126);
    ck_assert(same_text(in("run/final"), in("whole/final")));
}
END_TEST

/* The schedule is the program's, the position the checkpoint's. */
START_TEST(with_more_epochs)
{
    char a[64], b[64];
    run_ok(2, "long", "--epochs 4");
    run_ok(2, "run", "--epochs 2 --stop 70");
    run_ok(2, "run", "--epochs 4 --stop 80");
    for (long step = 71; step <= 80; step++) {
        cell("run", step, 2, a);
        cell("long", step, 2, b);
        ck_assert_str_eq(a, b);
        cell("run", step, 1, a);
        ck_assert_str_eq(a, "1");
    }
    cell("run", 70, 2, a);
    cell("long", 70, 2, b);
    ck_assert_str_ne(a, b);
    run_ok(2, "run", "--epochs 3");
    long last;
    free(csv_rows("run", &last));
    ck_assert_int_eq(last, 3 * 63);
}
END_TEST

/* The position counts rows: other batches begin where these ended. */
START_TEST(with_another_batch)
{
    char a[64];
    run_ok(1, "run", "--epochs 2 --stop 10");
    run_ok(1, "run", "--epochs 2 --batch 64 --stop 15");
    ck_assert(holds(in("run/out"), "goes on with a global batch of 64, it was 32"));
    cell("run", 15, 0, a);
    ck_assert_str_eq(a, "15");
    int rc = job_run(1, "run", "", "--epochs 2 --batch 96");
    ck_assert_int_eq(rc, 13); /* 640 rows are no multiple of 96 */
}
END_TEST

/* "step row sample" of all ranks in order, from a step on; to be freed. */
static char *samples(const char *dir, long from)
{
    shell("cat '%s'/samples.* | awk '$1 + 0 > %ld' | sort >'%s/sorted'; rm -f '%s'/samples.*",
          in("%s", dir), from, in("%s", dir), in("%s", dir));
    return text_of(in("%s/sorted", dir));
}

/* Saved on p ranks, resumed on q. */
static void other_ranks(int p, int q)
{
    char saved[17], loaded[17], options[600];
    long step, rows;
    fresh("run");
    snprintf(options, sizeof options, "--epochs 2 --stop 40");
    run_ok(p, "run", options);
    char *final = text_of(in("run/final"));
    ck_assert_int_eq(sscanf(final, "%ld %16s", &step, saved), 2);
    free(final);
    snprintf(options, sizeof options, "--epochs 2 --stop 90 --samples '%s'", in("run/samples"));
    run_ok(q, "run", options);
    ck_assert_int_eq(started("run", q, loaded), 40);
    ck_assert_msg(strcmp(saved, loaded) == 0, "%d -> %d ranks: %s was saved, %s loaded", p, q,
                  saved, loaded);
    char *got = samples("run", 40), *want = text_of(in("whole/from40"));
    ck_assert_msg(*want && strcmp(got, want) == 0, "%d -> %d ranks: %s and %s differ", p, q,
                  in("run/sorted"), in("whole/from40"));
    free(got);
    free(want);
    free(csv_rows("run", &rows));
    ck_assert_int_eq(rows, 90);
}

START_TEST(on_another_number_of_ranks)
{
    char options[600];
    snprintf(options, sizeof options, "--epochs 2 --stop 90 --samples '%s'", in("whole/samples"));
    run_ok(1, "whole", options);
    free(samples("whole", 40));
    ck_assert_int_eq(rename(in("whole/sorted"), in("whole/from40")), 0);
    for (int p = 1; p <= 4; p++)
        for (int q = 1; q <= 4; q++)
            other_ranks(p, q);
}
END_TEST

/* WEFT_ECONFIG, and nothing has changed: neither on disk nor, by that, in what a next run loads. */
START_TEST(on_other_data)
{
    run_ok(2, "run", "--epochs 2 --stop 40");
    ck_assert_int_eq(
        shell("cd '%s' && find . -type f -exec cksum {} + | sort >../before", in("run")), 0);
    ck_assert_int_eq(
        shell("rm '%s/data.h5'; ./train_job --make '%s/data.h5' --rows 1999 2>/dev/null", in("run"),
              in("run")),
        0);
    ck_assert_int_eq(job_run(2, "run", "", "--epochs 2"), 13);
    ck_assert(holds(in("run/out"), "made with 2000 rows of data, this data set has 1999"));
    ck_assert_int_eq(
        shell("cd '%s' && rm data.h5 && find . -type f ! -name out -exec cksum {} + | "
              "sort >../after; grep -v '/out$\\|/start$\\|/final$' ../before | cmp - ../after",
              in("run")),
        0);
    ck_assert_int_eq(symlink("../data.h5", in("run/data.h5")), 0);
    run_ok(2, "whole", "--epochs 2");
    run_ok(2, "run", "--epochs 2");
    same_rows("run", "whole", 126);
    ck_assert(same_text(in("run/final"), in("whole/final")));
}
END_TEST

/* The step and the digest of the parameters at the end. */
static void ends_at(const char *dir, char out[32])
{
    char *text = text_of(in("%s/final", dir));
    snprintf(out, 32, "%.20s", text);
    ck_assert_uint_eq(strlen(out), 20);
    free(text);
}

/* In reproducible mode each part of a run may have its own number of ranks and of threads. */
START_TEST(the_same_bits_on_other_ranks)
{
    const struct {
        int ranks, stop;
        const char *threads;
    } part[] = {{8, 20, "1"}, {2, 70, "1"}, {1, 75, "2"}, {4, 90, "1"}};
    char whole[32], pieces[32], options[100], before[100];
    long steps;
    ck_assert_int_eq(job_run(1, "alone", "WEFT_REPRODUCIBLE=8", "--epochs 2 --every 1000"), 0);
    ends_at("alone", whole);
    for (int i = 0; i < 4; i++) {
        unlink(in("parts/final"));
        snprintf(options, sizeof options, "--epochs 2 --every 1000 --stop %d", part[i].stop);
        snprintf(before, sizeof before, "WEFT_REPRODUCIBLE=8 WEFT_THREADS=%s", part[i].threads);
        ck_assert_int_eq(job_run(part[i].ranks, "parts", before, options), 0);
    }
    ck_assert_int_eq(job_run(8, "parts", "WEFT_REPRODUCIBLE=8", "--epochs 2 --every 1000"), 0);
    ends_at("parts", pieces);
    ck_assert_str_eq(pieces, whole);
    free(csv_rows("parts", &steps));
    ck_assert_int_eq(steps, 126);
}
END_TEST

int main(void)
{
    if (!getenv("MPIRUN") || !*getenv("MPIRUN"))
        return 77;
    const TTest *const tests[] = {
        in_the_middle_of_an_epoch,  with_more_epochs, with_another_batch,
        on_another_number_of_ranks, on_other_data,    the_same_bits_on_other_ranks};
    return job_tests("resume", tests, (int)(sizeof tests / sizeof *tests));
}
