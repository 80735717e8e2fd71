/* Loggers: what the csv and jsonl files hold after growth, resumes, faults and kills; what the console says
 * on a terminal and elsewhere; a logger of the user's own. */
#include "core/alloc.h"
#include "core/log.h"
#include "logger/logger.h"

#include <check.h>
#include <fcntl.h>
#include <float.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct weft_fabric fabric;
static char dir[64], path[128];
static int messages;

static void count_message(void *user, weft_level level, const char *text)
{
    (void)user;
    (void)level;
    (void)text;
    messages++;
}

static void setup(void)
{
    memset(&fabric, 0, sizeof fabric);
    strcpy(fabric.host, "here");
    strcpy(dir, "/tmp/weft-logger-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a/b/log.csv", dir);
    messages = 0;
    weft_log_to(count_message, NULL);
}

/* Loggers that write a file of rows: what both must stand. */
static const struct file_kind {
    weft_logger *(*make)(weft_fabric *f, const char *path);
    const char *head, *row; /* of step 1 with loss 1, acc 2 */
} file_kind[] = {
    {weft_logger_csv, "step,epoch,wall_s,loss,acc\n", "1,0,0.5,1,2\n"},
    {weft_logger_jsonl, "", "{\"step\":1,\"epoch\":0,\"wall_s\":0.5,\"loss\":1,\"acc\":2}\n"}};
#define KINDS 2

static void close_all(void)
{
    while (fabric.objects) {
        weft__logger_finish((weft_logger *)fabric.objects);
        weft__object_free(fabric.objects);
    }
}

static void teardown(void)
{
    char command[128];
    close_all();
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
    weft_log_to(NULL, NULL);
}

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

static const char *content(const char *file)
{
    static char text[1 << 20];
    FILE *in = fopen(file, "r");
    ck_assert_msg(in != NULL, "%s is not there", file);
    text[fread(text, 1, sizeof text - 1, in)] = '\0';
    fclose(in);
    return text;
}

static void put_content(const char *file, const char *text)
{
    FILE *out = fopen(file, "w");
    ck_assert_ptr_nonnull(out);
    fputs(text, out);
    fclose(out);
}

static bool there(const char *file)
{
    return access(file, F_OK) == 0;
}

/* One row at step, epoch step / 10, wall_s step / 2, with up to two values. */
static weft_status row(weft_logger *l, int64_t step, int n, const char *a, double x, const char *b,
                       double y)
{
    const char *name[] = {a, b};
    const double value[] = {x, y};
    const weft_record r = {.step = step,
                           .epoch = step / 10,
                           .wall_s = (double)step / 2,
                           .n = n,
                           .name = name,
                           .value = value};
    return weft__logger_record(l, &r);
}

#define ROW0(l, s) ck_assert_int_eq(row(l, s, 0, NULL, 0, NULL, 0), WEFT_OK)
#define ROW1(l, s, a, x) ck_assert_int_eq(row(l, s, 1, a, x, NULL, 0), WEFT_OK)
#define ROW2(l, s, a, x, b, y) ck_assert_int_eq(row(l, s, 2, a, x, b, y), WEFT_OK)

START_TEST(csv_rows_and_growing_columns)
{
    weft_logger *l = weft_logger_csv(&fabric, path);
    ck_assert_ptr_nonnull(l);
    ck_assert(!there(path)); /* nothing before the first record */
    ROW1(l, 1, "loss", 0.5);
    ck_assert_str_eq(content(path), "step,epoch,wall_s,loss\n1,0,0.5,0.5\n");
    ROW2(l, 12, "acc", 0.25, "loss", 1.0 / 3);
    ROW0(l, 13);
    ROW1(l, 14, "acc", NAN);
    ROW2(l, 15, "loss", -NAN, "acc", INFINITY);
    ROW1(l, 16, "loss", -1.5e-300);
    ck_assert_str_eq(content(path), "step,epoch,wall_s,loss,acc\n"
                                    "1,0,0.5,0.5,\n"
                                    "12,1,6,0.333333333,0.25\n"
                                    "13,1,6.5,,\n"
                                    "14,1,7,,nan\n"
                                    "15,1,7.5,nan,inf\n"
                                    "16,1,8,-1.5e-300,\n");
    char aside[160];
    snprintf(aside, sizeof aside, "%s.tmp", path);
    ck_assert(!there(aside));
}
END_TEST

START_TEST(csv_quotes_and_cleans_names)
{
    weft_logger *l = weft_logger_csv(&fabric, path);
    const char *header = "step,epoch,wall_s,\"a,b\",\"say \"\"x\"\"\",'=1+1,'-x,'@y,'+z,p?q?,\n";
    ROW2(l, 1, "a,b", 1, "say \"x\"", 2);
    ROW2(l, 2, "=1+1", 3, "-x", 4);
    ROW2(l, 3, "@y", 5, "+z", 6);
    ROW2(l, 4, "p\nq\x7f", 7, "", 8);
    ck_assert(strncmp(content(path), header, strlen(header)) == 0);
    /* a resume finds the same columns again */
    weft_logger *m = weft_logger_csv(&fabric, path);
    ck_assert_int_eq(weft__logger_resume(m, 4), WEFT_OK);
    ROW2(m, 5, "a,b", 1, "say \"x\"", 2);
    ROW2(m, 6, "=1+1", 3, "p\nq\x7f", 7);
    ck_assert(strncmp(content(path), header, strlen(header)) == 0);
    ck_assert_ptr_nonnull(strstr(content(path), "\n6,0,3,,,3,,,,7,\n"));
}
END_TEST

START_TEST(csv_many_columns_and_long_names)
{
    char name[64][16], longer[400];
    const char *names[64];
    double value[64];
    weft_logger *l = weft_logger_csv(&fabric, path);
    for (int i = 0; i < 64; i++) {
        snprintf(name[i], sizeof name[i], "n%d", i);
        names[i] = name[i];
        value[i] = -1.23456789e-300;
    }
    const weft_record r = {.step = INT64_MIN,
                           .epoch = INT64_MIN,
                           .wall_s = -1.23456789e-300,
                           .n = 64,
                           .name = names,
                           .value = value};
    ck_assert_int_eq(weft__logger_record(l, &r), WEFT_OK);
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    ROW1(l, 1, longer, 1);
    ROW1(l, 2, longer, 2);
    ck_assert_ptr_nonnull(strstr(content(path), "n63,xxx"));
    ck_assert_ptr_null(strchr(strstr(content(path), "n63,") + 4, 'n'));
}
END_TEST

START_TEST(csv_writes_a_point_in_any_locale)
{
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8"))
        return; /* the machine has no such locale */
    weft_logger *l = weft_logger_csv(&fabric, path);
    ROW1(l, 1, "loss", 0.5);
    setlocale(LC_NUMERIC, "C");
    ck_assert_str_eq(content(path), "step,epoch,wall_s,loss\n1,0,0.5,0.5\n");
}
END_TEST

START_TEST(csv_resume_cuts_and_appends)
{
    weft_logger *l = weft_logger_csv(&fabric, path);
    for (int i = 1; i <= 5; i++)
        ROW1(l, i, "loss", i);
    close_all();
    l = weft_logger_csv(&fabric, path);
    ck_assert_int_eq(weft__logger_resume(l, 3), WEFT_OK);
    ck_assert_ptr_nonnull(strstr(content(path), "\n5,")); /* untouched before the first record */
    ROW2(l, 4, "loss", 40, "new", 7);
    ck_assert_str_eq(content(path), "step,epoch,wall_s,loss,new\n"
                                    "1,0,0.5,1,\n2,0,1,2,\n3,0,1.5,3,\n4,0,2,40,7\n");
    ROW1(l, 5, "loss", 50);
    /* a second resume within the same run */
    ck_assert_int_eq(weft__logger_resume(l, 1), WEFT_OK);
    ROW1(l, 2, "new", 9);
    ck_assert_str_eq(content(path), "step,epoch,wall_s,loss,new\n1,0,0.5,1,\n2,0,1,,9\n");
}
END_TEST

START_TEST(csv_resume_repairs_a_torn_line)
{
    weft_logger *l = weft_logger_csv(&fabric, path);
    ROW1(l, 1, "loss", 1);
    close_all();
    FILE *out = fopen(path, "a");
    fputs("garbage\n2,0,1,2\n3,0,1.", out);
    fclose(out);
    l = weft_logger_csv(&fabric, path);
    ck_assert_int_eq(weft__logger_resume(l, 100), WEFT_OK);
    ROW1(l, 3, "loss", 3);
    ck_assert_str_eq(content(path), "step,epoch,wall_s,loss\n1,0,0.5,1\n2,0,1,2\n3,0,1.5,3\n");
}
END_TEST

START_TEST(csv_resume_without_a_file_starts_one)
{
    weft_logger *l = weft_logger_csv(&fabric, path);
    ck_assert_int_eq(weft__logger_resume(l, 7), WEFT_OK);
    ROW1(l, 8, "loss", 1);
    ck_assert_str_eq(content(path), "step,epoch,wall_s,loss\n8,0,4,1\n");
}
END_TEST

START_TEST(csv_fresh_start_moves_the_old_one)
{
    char old[160];
    for (int run = 1; run <= 3; run++) {
        weft_logger *l = weft_logger_csv(&fabric, path);
        ROW1(l, run, "loss", run);
        close_all();
    }
    snprintf(old, sizeof old, "%s.1", path);
    ck_assert_str_eq(content(old), "step,epoch,wall_s,loss\n1,0,0.5,1\n");
    snprintf(old, sizeof old, "%s.2", path);
    ck_assert_str_eq(content(old), "step,epoch,wall_s,loss\n2,0,1,2\n");
    ck_assert_str_eq(content(path), "step,epoch,wall_s,loss\n3,0,1.5,3\n");
    ck_assert_int_eq(messages, 2);
}
END_TEST

START_TEST(csv_never_writes_into_a_foreign_file)
{
    char file[128], old[160];
    snprintf(file, sizeof file, "%s/thesis.txt", dir);
    snprintf(old, sizeof old, "%s.1", file);
    put_content(file, "three years of work\n");
    weft_logger *l = weft_logger_csv(&fabric, file);
    ck_assert_int_eq(weft__logger_resume(l, 7), WEFT_OK);
    ROW1(l, 8, "loss", 1);
    ck_assert_str_eq(content(old), "three years of work\n");
    ck_assert_str_eq(content(file), "step,epoch,wall_s,loss\n8,0,4,1\n");
}
END_TEST

/* The step of a row of either kind. */
static long long step_of(const char *line)
{
    return atoll(*line == '{' ? line + strlen("{\"step\":") : line);
}

START_TEST(rows_survive_a_kill)
{
    const struct file_kind *kind = &file_kind[_i];
    char line[256];
    int64_t want = 1, last = 0;
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        weft_logger *l = kind->make(&fabric, path);
        for (int64_t i = 1;; i++) {
            snprintf(line, sizeof line, "v%d",
                     (int)(i / 1000 % 50)); /* the file is rewritten too */
            row(l, i, 2, "loss", (double)i, line, 1);
        }
    }
    struct stat st = {0};
    for (int i = 0; i < 1000 && (stat(path, &st) || st.st_size < 20000); i++)
        pause_ms(10);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    ck_assert(WIFSIGNALED(status));
    FILE *in = fopen(path, "r");
    if (*kind->head)
        ck_assert_ptr_nonnull(fgets(line, sizeof line, in));
    while (fscanf(in, "%255[^\n]%1[\n]", line, (char[2]){0}) == 2)
        ck_assert_int_eq(last = step_of(line), want++); /* every row, and whole */
    fclose(in);
    ck_assert_int_gt(last, 10);
    weft_logger *l = kind->make(&fabric, path);
    ck_assert_int_eq(weft__logger_resume(l, last), WEFT_OK);
    ROW1(l, last + 1, "loss", 1);
    in = fopen(path, "r");
    if (*kind->head)
        ck_assert_ptr_nonnull(fgets(line, sizeof line, in));
    for (want = 1; fgets(line, sizeof line, in); want++)
        ck_assert_int_eq(step_of(line), want);
    fclose(in);
    ck_assert_int_eq(want, last + 2);
}
END_TEST

START_TEST(what_cannot_be_a_file_is_refused)
{
    char bad[160];
    put_content((snprintf(bad, sizeof bad, "%s/file", dir), bad), "x");
    snprintf(bad, sizeof bad, "%s/file/log.csv", dir); /* below a file: refused to root, too */
    weft_logger *l = file_kind[_i].make(&fabric, bad),
                *device = file_kind[_i].make(&fabric, "/dev/null"),
                *folder = file_kind[_i].make(&fabric, dir);
    for (int i = 1; i < 4; i++) {
        ck_assert_int_eq(row(l, i, 1, "loss", 1, NULL, 0), WEFT_EIO);
        ck_assert_ptr_nonnull(strstr(weft__why(), dir));
        ck_assert_int_eq(row(device, i, 1, "loss", 1, NULL, 0), WEFT_EARG);
        ck_assert_int_eq(row(folder, i, 1, "loss", 1, NULL, 0), WEFT_EARG);
    }
    snprintf(bad, sizeof bad, "%s/file", dir);
    unlink(bad);
    ROW1(l, 5, "loss", 1); /* as soon as it can, it goes on */
    ck_assert_int_eq(weft_error(&fabric), WEFT_OK);
}
END_TEST

START_TEST(an_unwritable_directory_is_named)
{
    char locked[128], file[160];
    snprintf(locked, sizeof locked, "%s/locked", dir);
    snprintf(file, sizeof file, "%s/sub/log.csv", locked);
    ck_assert_int_eq(mkdir(locked, 0500), 0);
    weft_logger *l = file_kind[_i].make(&fabric, file);
    int refused = 0;
    uid_t me = geteuid();
    if (me == 0) /* nothing is unwritable to root */
        ck_assert_int_eq(seteuid(65534), 0);
    for (int i = 1; i < 4; i++)
        refused += row(l, i, 1, "loss", 1, NULL, 0) == WEFT_EIO;
    ck_assert_int_eq(seteuid(me), 0);
    ck_assert_int_eq(refused, 3);
    ck_assert_ptr_nonnull(strstr(weft__why(), "Permission denied"));
}
END_TEST

START_TEST(the_steady_state_allocates_nothing)
{
    weft_logger *l = file_kind[_i].make(&fabric, path);
    ROW2(l, 1, "loss", 1, "acc", 2);
    weft__fail_alloc(1);
    for (int i = 2; i < 100; i++)
        ROW2(l, i, "loss", 1, "acc", 2);
    ck_assert_int_eq(weft__fail_alloc(0), 1);
}
END_TEST

START_TEST(every_failed_allocation_is_survived)
{
    for (long k = 1; k < 12; k++) {
        char file[160];
        snprintf(file, sizeof file, "%s/%ld.csv", dir, k);
        weft__fail_alloc(k);
        weft_logger *l = file_kind[_i].make(&fabric, file);
        if (l && row(l, 1, 2, "loss", 1, "acc", 2)) {
            ck_assert_str_eq(weft_status_name(row(l, 1, 2, "loss", 1, "acc", 2)), "WEFT_OK");
            ck_assert_msg(strncmp(content(file), file_kind[_i].head, strlen(file_kind[_i].head)) ==
                              0,
                          "%s", content(file));
            ck_assert_str_eq(content(file) + strlen(file_kind[_i].head), file_kind[_i].row);
        }
        weft__fail_alloc(0);
    }
}
END_TEST

/* A full disk: the part of a row that got in is cut off again. */
START_TEST(a_full_disk_leaves_whole_rows)
{
    int status;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        weft_logger *l = file_kind[_i].make(&fabric, path);
        int bad = row(l, 1, 1, "loss", 1, NULL, 0);
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){200, 200});
        int refused = 0;
        for (int i = 2; i < 40; i++)
            refused += row(l, i, 1, "loss", i, NULL, 0) == WEFT_EIO;
        _exit(bad || !refused || refused > 38);
    }
    waitpid(child, &status, 0);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    const char *text = content(path);
    ck_assert_int_gt(strlen(text), 100);
    ck_assert_int_le(strlen(text), 200);
    ck_assert_int_eq(text[strlen(text) - 1], '\n');
}
END_TEST

/* --- jsonl --- */

/* Line number `line` of the file, from 0, as strict JSON. */
static json_t *parsed(int line)
{
    const char *text = content(path);
    for (; line > 0; line--) {
        ck_assert_ptr_nonnull(strchr(text, '\n'));
        text = strchr(text, '\n') + 1;
    }
    ck_assert_ptr_nonnull(strchr(text, '\n'));
    json_t *o = json_loadb(text, (size_t)(strchr(text, '\n') - text), JSON_REJECT_DUPLICATES, NULL);
    ck_assert_msg(o != NULL, "%s", text);
    return o;
}

START_TEST(jsonl_rows)
{
    weft_logger *l = weft_logger_jsonl(&fabric, path);
    ck_assert_ptr_nonnull(l);
    ck_assert(!there(path));
    ROW1(l, 1, "loss", 0.5);
    ROW2(l, 12, "acc", 0.1, "loss", 1.0 / 3);
    ROW0(l, 13);
    ROW2(l, 14, "acc", NAN, "loss", INFINITY);
    ROW2(l, 15, "loss", -INFINITY, "acc", -0.0);
    ck_assert_str_eq(
        content(path),
        "{\"step\":1,\"epoch\":0,\"wall_s\":0.5,\"loss\":0.5}\n"
        "{\"step\":12,\"epoch\":1,\"wall_s\":6,\"acc\":0.1,\"loss\":0.3333333333333333}\n"
        "{\"step\":13,\"epoch\":1,\"wall_s\":6.5}\n"
        "{\"step\":14,\"epoch\":1,\"wall_s\":7,\"acc\":\"NaN\",\"loss\":\"Infinity\"}\n"
        "{\"step\":15,\"epoch\":1,\"wall_s\":7.5,\"loss\":\"-Infinity\",\"acc\":-0}\n");
}
END_TEST

START_TEST(jsonl_numbers_read_back_as_the_same)
{
    static const double special[] = {DBL_MIN, DBL_MAX,  -DBL_MAX,          5e-324, 0.1,   1e22,
                                     1e23,    123456.7, 1.0 + DBL_EPSILON, 0,      2.5e-7};
    const int n = (int)(sizeof special / sizeof special[0]);
    setlocale(LC_NUMERIC, "de_DE.UTF-8"); /* where the machine has it */
    weft_logger *l = weft_logger_jsonl(&fabric, path);
    unsigned long long bits = 88172645463325252ull;
    double value[300];
    for (int i = 0; i < 300; i++) {
        do {
            bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
            memcpy(&value[i], &bits, sizeof bits);
        } while (!isfinite(value[i]));
        value[i] = i < n ? special[i] : value[i];
        ROW1(l, i, "v", value[i]);
    }
    setlocale(LC_NUMERIC, "C");
    const char *text = content(path);
    for (int i = 0; i < 300; i++, text = strchr(text, '\n') + 1) {
        json_t *o = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL);
        double back = json_number_value(json_object_get(o, "v"));
        if (memcmp(&back, &value[i], sizeof back))
            ck_abort_msg("%a is %a: %.60s", value[i], back, text);
        json_decref(o);
    }
}
END_TEST

START_TEST(jsonl_names_are_whatever_they_are)
{
    static const char *const name[] = {"say \"x\"\\", "line\nbreak\x01", "na\xc3\xafve", "bad\xff",
                                       "step",        "step_",           "epoch",        "",
                                       "bad?"};
    static const char *const key[] = {"say \"x\"\\", "line\nbreak\x01", "na\xc3\xafve", "bad?",
                                      "step_",       "step__",          "epoch_",       "",
                                      "bad?_"};
    const double value[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    weft_logger *l = weft_logger_jsonl(&fabric, path);
    const weft_record r = {.step = 7, .n = 9, .name = name, .value = value};
    ck_assert_int_eq(weft__logger_record(l, &r), WEFT_OK);
    ck_assert_int_eq(weft__logger_record(l, &r), WEFT_OK);
    json_t *o = parsed(1);
    ck_assert_uint_eq(json_object_size(o), 3 + 9);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "step")), 7);
    for (int i = 0; i < 9; i++)
        ck_assert_msg(json_number_value(json_object_get(o, key[i])) == value[i], "%s", key[i]);
    json_decref(o);
    char *longer = calloc(5000, 1);
    memset(longer, 'x', 4999);
    ROW1(l, 8, longer, 4);
    o = parsed(2);
    ck_assert_double_eq(json_number_value(json_object_get(o, longer)), 4);
    json_decref(o);
    free(longer);
}
END_TEST

START_TEST(jsonl_resume_cuts_and_appends)
{
    weft_logger *l = weft_logger_jsonl(&fabric, path);
    for (int i = 1; i <= 3; i++)
        ROW1(l, i, "loss", i);
    close_all();
    FILE *out = fopen(path, "a"); /* another program's row, nonsense, and what a kill left */
    fputs("{ \"wall_s\": 1, \"step\": 2, \"note\": [1] }\nnonsense\n{\"step\":\"2\"}\n{\"step\":1,",
          out);
    fclose(out);
    l = weft_logger_jsonl(&fabric, path);
    ck_assert_int_eq(weft__logger_resume(l, 2), WEFT_OK);
    ck_assert_ptr_nonnull(
        strstr(content(path), "nonsense")); /* untouched before the first record */
    ROW2(l, 3, "loss", 30, "new", 7);
    ck_assert_str_eq(content(path),
                     "{\"step\":1,\"epoch\":0,\"wall_s\":0.5,\"loss\":1}\n"
                     "{\"step\":2,\"epoch\":0,\"wall_s\":1,\"loss\":2}\n"
                     "{ \"wall_s\": 1, \"step\": 2, \"note\": [1] }\n"
                     "{\"step\":3,\"epoch\":0,\"wall_s\":1.5,\"loss\":30,\"new\":7}\n");
    ck_assert_int_eq(weft__logger_resume(l, 1), WEFT_OK); /* and again within the run */
    ROW1(l, 2, "loss", 20);
    ck_assert_str_eq(content(path), "{\"step\":1,\"epoch\":0,\"wall_s\":0.5,\"loss\":1}\n"
                                    "{\"step\":2,\"epoch\":0,\"wall_s\":1,\"loss\":20}\n");
}
END_TEST

START_TEST(jsonl_moves_aside_what_does_not_go_on)
{
    char old[160];
    weft_logger *l = weft_logger_jsonl(&fabric, path);
    ROW1(l, 1, "loss", 1);
    close_all();
    l = weft_logger_jsonl(&fabric, path); /* a new run */
    ROW1(l, 1, "loss", 2);
    snprintf(old, sizeof old, "%s.1", path);
    ck_assert_str_eq(content(old), "{\"step\":1,\"epoch\":0,\"wall_s\":0.5,\"loss\":1}\n");
    close_all();
    put_content(path, "{\"years of\":\"work\"}\n");
    l = weft_logger_jsonl(&fabric, path);
    ck_assert_int_eq(weft__logger_resume(l, 7), WEFT_OK);
    ROW1(l, 8, "loss", 1);
    snprintf(old, sizeof old, "%s.2", path);
    ck_assert_str_eq(content(old), "{\"years of\":\"work\"}\n");
    ck_assert_str_eq(content(path), "{\"step\":8,\"epoch\":0,\"wall_s\":4,\"loss\":1}\n");
}
END_TEST

/* stderr goes to a pipe or a terminal while it is caught. */
static int kept, reader;

static void caught(int write_end, int read_end)
{
    fflush(stderr);
    kept = dup(STDERR_FILENO);
    dup2(write_end, STDERR_FILENO);
    close(write_end);
    fcntl(read_end, F_SETFL, O_NONBLOCK);
    reader = read_end;
}

/* What came so far; back to normal. */
static const char *release(void)
{
    static char text[1 << 16];
    size_t n = 0;
    ssize_t got;
    while (n < sizeof text - 1 && (got = read(reader, text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(reader);
    return text;
}

static void catch_pipe(void)
{
    int fd[2];
    ck_assert_int_eq(pipe(fd), 0);
    caught(fd[1], fd[0]);
}

static void catch_terminal(int width)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)width};
    ck_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    ck_assert_int_ge(slave, 0);
    ck_assert_int_eq(ioctl(slave, TIOCSWINSZ, &size), 0);
    caught(slave, master);
}

static void step(weft_logger *l, int64_t done)
{
    const weft_record r = {.step = done,
                           .epoch = done / 10,
                           .batches = done,
                           .batches_total = 30,
                           .epochs = 3,
                           .global_batch = 100};
    ck_assert_int_eq(weft__logger_progress(l, &r), WEFT_OK);
}

static void values(weft_logger *l, int64_t done, double loss, double acc)
{
    const char *name[] = {"acc", "loss"};
    const double value[] = {acc, loss};
    const weft_record r = {.step = done,
                           .epoch = done / 10,
                           .n = 2,
                           .name = name,
                           .value = value,
                           .batches = done,
                           .batches_total = 30,
                           .epochs = 3,
                           .global_batch = 100};
    ck_assert_int_eq(weft__logger_record(l, &r), WEFT_OK);
}

static int count(const char *text, char c)
{
    int n = 0;
    for (; *text; text++)
        n += *text == c;
    return n;
}

START_TEST(console_lines_in_a_pipe)
{
    setenv("WEFT_PROGRESS_SECONDS", "1", 1);
    weft_logger *l = weft_logger_console(&fabric);
    catch_pipe();
    double begin = weft__now();
    step(l, 1);
    values(l, 2, 0.75, 0.5); /* the first record: a line */
    for (int i = 3; i <= 13; i++) {
        pause_ms(100);
        step(l, i); /* one line after a second */
    }
    values(l, 13, 0.3121, 0.5);
    weft__logger_finish(l);
    const char *text = release();
    unsetenv("WEFT_PROGRESS_SECONDS");
    ck_assert_int_ge(count(text, '\n'), 3);
    ck_assert_int_le(count(text, '\n'), 2 + (int)(weft__now() - begin));
    ck_assert_int_eq(count(text, '\r'), 0);
    ck_assert_msg(strncmp(text, "epoch 1/3 6%  step 2  loss 0.75  acc 0.5", 40) == 0, "%s", text);
    ck_assert_msg(strstr(text, "samples/s  left 0:0") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "epoch 2/3 43%  step 13  loss 0.3121  acc 0.5") != NULL, "%s", text);
    ck_assert_msg(strstr(text, "  took 0:0") != NULL, "%s", text);
}
END_TEST

START_TEST(console_without_a_loader_counts_steps)
{
    setenv("WEFT_PROGRESS_SECONDS", "0", 1);
    weft_logger *l = weft_logger_console(&fabric);
    catch_pipe();
    for (int i = 7; i < 9; i++) {
        const weft_record r = {.step = i};
        ck_assert_int_eq(weft__logger_progress(l, &r), WEFT_OK);
        pause_ms(300);
    }
    const char *text = release();
    unsetenv("WEFT_PROGRESS_SECONDS");
    ck_assert_msg(strncmp(text, "step 7\nstep 8  ", 15) == 0, "%s", text);
    ck_assert_msg(strstr(text, " steps/s\n") != NULL, "%s", text);
}
END_TEST

START_TEST(console_bar_on_a_terminal)
{
    weft_logger *l = weft_logger_console(&fabric);
    catch_terminal(100);
    double begin = weft__now();
    values(l, 1, 0.75, 0.5);
    for (int i = 2; i <= 30; i++) {
        pause_ms(20);
        step(l, i);
    }
    weft__logger_finish(l);
    const char *text = release();
    int drawn = 0;
    for (const char *p = text; (p = strstr(p, "\repoch")); p++)
        drawn++;
    double most = (weft__now() - begin) * 10 + 2; /* ten a second, the first and the last */
    ck_assert_msg(drawn >= 3 && drawn <= most, "%d times: %s", drawn, text);
    ck_assert_msg(strstr(text, "\repoch 1/3 [>         ] 3%  loss 0.75  acc 0.5\r") == text, "%s",
                  text);
    ck_assert_ptr_nonnull(strstr(text, "\repoch 3/3 [==========] 100%  loss 0.75  acc 0.5  "));
    ck_assert_int_eq(count(text, '\n'), 1);
    ck_assert_int_eq(text[strlen(text) - 1], '\n');
}
END_TEST

START_TEST(console_fits_a_narrow_terminal)
{
    weft_logger *l = weft_logger_console(&fabric);
    catch_terminal(40);
    for (int i = 1; i <= 30; i++) {
        values(l, i, i, 1e9 * i);
        pause_ms(25);
    }
    weft__logger_finish(l);
    int width = 0;
    for (const char *p = release(); *p; p++) {
        width = *p == '\r' || *p == '\n' ? 0 : width + 1;
        ck_assert_int_lt(width, 40);
    }
}
END_TEST

START_TEST(console_says_a_bad_setting_once_and_goes_on)
{
    setenv("WEFT_PROGRESS_SECONDS", "often", 1);
    ck_assert_ptr_nonnull(weft_logger_console(&fabric));
    unsetenv("WEFT_PROGRESS_SECONDS");
    ck_assert_int_eq(messages, 1);
    ck_assert_ptr_nonnull(strstr(weft_message(&fabric), "WEFT_PROGRESS_SECONDS"));
}
END_TEST

struct mine {
    char before[3];
    double *sum;
    int *destroyed;
};

static weft_status my_record(void *self, const weft_record *r)
{
    struct mine *m = self;
    if (r->step < 0)
        return WEFT_EUSER;
    for (int64_t i = 0; i < r->n; i++)
        *m->sum += r->value[i];
    return WEFT_OK;
}

static void my_destroy(void *self)
{
    ++*((struct mine *)self)->destroyed;
}

START_TEST(a_logger_of_the_users_own)
{
    static const weft_logger_ops ops = {
        .size = sizeof ops, .name = "mine", .record = my_record, .destroy = my_destroy};
    double sum = 0;
    int destroyed = 0;
    struct mine m = {.sum = &sum, .destroyed = &destroyed};
    weft_visitor v = {.mode = WEFT_VISIT_SAVE};
    weft_logger *l = weft_logger_new(&fabric, &ops, &m, sizeof m);
    ck_assert_ptr_nonnull(l);
    ck_assert_ptr_eq(weft__object_first(&fabric, WEFT__LOGGER), &l->object);
    memset(&m, 0, sizeof m); /* it was copied */
    ROW2(l, 1, "a", 1, "b", 2);
    ck_assert_double_eq(sum, 3);
    ck_assert_int_eq(weft__logger_progress(l, &(weft_record){.step = 1}), WEFT_OK);
    ck_assert_int_eq(weft__logger_resume(l, 1), WEFT_OK);
    ck_assert_int_eq(weft__logger_state(l, &v), WEFT_OK);
    ck_assert_int_eq(row(l, -1, 0, NULL, 0, NULL, 0), WEFT_EUSER);
    ck_assert_str_eq(weft__why(), "logger \"mine\": a user's callback failed");
    close_all();
    ck_assert_int_eq(destroyed, 1);
}
END_TEST

START_TEST(an_incomplete_table_is_refused)
{
    static const weft_logger_ops no_record = {.size = sizeof no_record, .name = "x"},
                                 no_name = {.size = sizeof no_name, .record = my_record},
                                 no_size = {.name = "x", .record = my_record},
                                 good = {.size = sizeof good, .name = "x", .record = my_record};
    ck_assert_ptr_null(weft_logger_new(&fabric, NULL, NULL, 0));
    ck_assert_ptr_null(weft_logger_new(&fabric, &no_record, NULL, 0));
    ck_assert_ptr_nonnull(strstr(weft_message(&fabric), "lacks record"));
    ck_assert_ptr_null(weft_logger_new(&fabric, &no_name, NULL, 0));
    ck_assert_ptr_null(weft_logger_new(&fabric, &no_size, NULL, 0));
    ck_assert_ptr_null(weft_logger_new(&fabric, &good, NULL, 8));
    ck_assert_ptr_null(weft_logger_new(NULL, &good, NULL, 0));
    ck_assert_ptr_null(weft_logger_csv(&fabric, NULL));
    ck_assert_ptr_null(weft_logger_csv(&fabric, ""));
    ck_assert_ptr_null(weft_logger_csv(NULL, path));
    ck_assert_ptr_null(weft_logger_jsonl(&fabric, ""));
    ck_assert_ptr_nonnull(strstr(weft_message(&fabric), "weft_logger_jsonl: it needs the path"));
    ck_assert_ptr_null(weft_logger_jsonl(NULL, path));
    ck_assert_ptr_null(weft_logger_console(NULL));
    ck_assert_ptr_null(weft_logger_null(NULL));
    ck_assert_ptr_null(fabric.objects);
    ck_assert_int_eq(messages, 8);
    ck_assert_int_eq(weft_error(&fabric), WEFT_OK); /* it never sticks */
}
END_TEST

START_TEST(null_takes_everything)
{
    weft_logger *l = weft_logger_null(&fabric);
    ROW2(l, 1, "a", 1, "b", 2);
    ck_assert_int_eq(weft__logger_progress(l, &(weft_record){.step = 1}), WEFT_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("logger");
    TCase *t = tcase_create("logger");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 30);
    suite_add_tcase(s, t);
    tcase_add_test(t, csv_rows_and_growing_columns);
    tcase_add_test(t, csv_quotes_and_cleans_names);
    tcase_add_test(t, csv_many_columns_and_long_names);
    tcase_add_test(t, csv_writes_a_point_in_any_locale);
    tcase_add_test(t, csv_resume_cuts_and_appends);
    tcase_add_test(t, csv_resume_repairs_a_torn_line);
    tcase_add_test(t, csv_resume_without_a_file_starts_one);
    tcase_add_test(t, csv_fresh_start_moves_the_old_one);
    tcase_add_test(t, csv_never_writes_into_a_foreign_file);
    tcase_add_loop_test(t, rows_survive_a_kill, 0, KINDS);
    tcase_add_loop_test(t, what_cannot_be_a_file_is_refused, 0, KINDS);
    tcase_add_loop_test(t, an_unwritable_directory_is_named, 0, KINDS);
    tcase_add_loop_test(t, the_steady_state_allocates_nothing, 0, KINDS);
    tcase_add_loop_test(t, every_failed_allocation_is_survived, 0, KINDS);
    tcase_add_loop_test(t, a_full_disk_leaves_whole_rows, 0, KINDS);
    tcase_add_test(t, jsonl_rows);
    tcase_add_test(t, jsonl_numbers_read_back_as_the_same);
    tcase_add_test(t, jsonl_names_are_whatever_they_are);
    tcase_add_test(t, jsonl_resume_cuts_and_appends);
    tcase_add_test(t, jsonl_moves_aside_what_does_not_go_on);
    tcase_add_test(t, console_lines_in_a_pipe);
    tcase_add_test(t, console_without_a_loader_counts_steps);
    tcase_add_test(t, console_bar_on_a_terminal);
    tcase_add_test(t, console_fits_a_narrow_terminal);
    tcase_add_test(t, console_says_a_bad_setting_once_and_goes_on);
    tcase_add_test(t, a_logger_of_the_users_own);
    tcase_add_test(t, an_incomplete_table_is_refused);
    tcase_add_test(t, null_takes_everything);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
