/* Opening in one process, without a launcher: words that are refused and what is said of them, exit
 * statuses, silence on stdout, and a program that starts itself again. Called with arguments this
 * program is the one that does: see child. */
#include <check.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft/mpi.h>
#include <weft/sys/logger.h>
#include <weft.h>

static char warnings[4000];

static void collect(void *user, weft_level level, const char *text)
{
    (void)user, (void)level;
    size_t n = strlen(warnings);
    snprintf(warnings + n, sizeof warnings - n, "%s\n", text);
}

static void listen(void)
{
    warnings[0] = '\0';
    weft_log_level(WEFT_LOG_INFO);
    weft_log_to(collect, NULL);
}

/* Opens with one option as text; it must be refused with this code, all of these words (separated by
 * '|') in the message and in the one report of weft_close, whose status is the code's. */
static void refused(const char *option, weft_status code, const char *words)
{
    weft_fabric *f;
    char copy[300], *rest = NULL;
    listen();
    weft_status s = weft_open_text(&f, NULL, NULL, option);
    if (s != code)
        fprintf(stderr, "# %s: %s, %s\n", option, weft_status_name(s), weft_message(f));
    ck_assert_int_eq(s, code);
    ck_assert_int_eq(weft_error(f), code);
    snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok_r(copy, "|", &rest); w; w = strtok_r(NULL, "|", &rest))
        ck_assert_msg(strstr(weft_message(f), w), "%s: \"%s\" is not in: %s", option, w,
                      weft_message(f));
    ck_assert_int_eq(weft_close(&f), -code);
    ck_assert_ptr_null(f);
    ck_assert_ptr_nonnull(strstr(warnings, weft_status_name(code)));
    ck_assert_ptr_eq(strchr(warnings, '\n'), warnings + strlen(warnings) - 1); /* one line */
}

START_TEST(unknown_words)
{
    refused("strategy=dpp", WEFT_EARG, "strategy|dpp|did you mean \"d|single");
    refused("strategy=sinlge", WEFT_EARG, "did you mean \"single\"");
    refused("strategy=dppp", WEFT_EARG, "did you mean");
    refused("strategy=ddp_find_unused_parameters", WEFT_EARG, "ddp_find_unused_parameters_true");
    refused("precision=64-ture", WEFT_EARG, "did you mean \"64-true\"");
    refused("precision=float", WEFT_EARG, "32-true");
    refused("accelerator=cpuu", WEFT_EARG, "did you mean \"cpu\"");
    refused("nonfinite=skp", WEFT_EARG, "did you mean \"skip\"|ignore");
    refused("stratgy=ddp", WEFT_EARG, "did you mean \"strategy\"");
    refused("num-node=2", WEFT_EARG, "did you mean \"num_nodes\"");
    refused("strategy", WEFT_EARG, "name=value");
    refused("zzzzzzzzzzzz=1", WEFT_EARG, "there are: accelerator");
}
END_TEST

/* Words of Fabric's that this version does not have: never called unknown. */
START_TEST(known_words)
{
    static const char *const word[] = {"accelerator=mps",
                                       "accelerator=tpu",
                                       "strategy=fsdp",
                                       "strategy=deepspeed_stage_3",
                                       "strategy=FSDP",
                                       "precision=transformer-engine",
                                       "precision=transformer-engine-float16",
                                       "strategy=xla"};
    for (int i = 0; i < 8; i++) {
        refused(word[i], WEFT_ENOTSUP, "");
        ck_assert_msg(!strstr(warnings, "not known"), "%s: %s", word[i], warnings);
    }
    refused("strategy=fsdp", WEFT_ENOTSUP,
            "fsdp|auto, single, ddp, zero1|zero2 (deepspeed_stage_2)");
    refused("accelerator=tpu", WEFT_ENOTSUP, "tpu|cpu");
    refused("precision=transformer-engine", WEFT_ENOTSUP, "8 bits|device cpu|bf16-mixed");
    refused("accelerator=mps", WEFT_ENOTSUP, "mps|cpu");
}
END_TEST

START_TEST(numbers)
{
    static const char *const bad[] = {"devices=0",   "devices=-1", "devices=x",     "devices=2x",
                                      "devices=1.5", "devices=",   "devices=70000", "threads=0",
                                      "seed=-1",     "timeout=0",  "keep=0",        "log_every=x"};
    for (int i = 0; i < 12; i++)
        refused(bad[i], WEFT_EARG, strlen(bad[i]) == 8 ? "whole number" : "it takes");
    refused("devices=x", WEFT_EARG, "\"x\"");
    refused("heartbeat=0.5", WEFT_EARG, "heartbeat|from 1 to");
    refused("heartbeat=-0.5", WEFT_EARG, "heartbeat|from 1 to");
    refused("heartbeat=-1", WEFT_EARG, "heartbeat|from 1 to");
    refused("heartbeat=nan", WEFT_EARG, "heartbeat");
    refused("num_nodes=2", WEFT_ECONFIG, "num_nodes=2|leave num_nodes out");
    refused("num_nodes=2 devices=2", WEFT_ECONFIG, "srun");
}
END_TEST

START_TEST(accepted)
{
    static const char *const good[] = {
        "strategy=DDP",    "strategy=Single",
        "strategy=AUTO",   "precision=32-TRUE",
        "accelerator=CPU", "nonfinite=Skip",
        "devices=auto",    "devices=1",
        "num_nodes=1",     "num-nodes=1 log-every=3",
        "precision=32",    "precision=64",
        "heartbeat=off",   "strategy=ddp_find_unused_parameters_true"};
    for (int i = 0; i < 14; i++) {
        weft_fabric *f;
        listen();
        weft_status s = weft_open_text(&f, NULL, NULL, good[i]);
        ck_assert_msg(s == WEFT_OK, "%s: %s", good[i], weft_message(f));
        ck_assert_int_eq(weft_world_size(f), 1);
        ck_assert_int_ge(weft_threads(f), 1);
        ck_assert_str_eq(weft_message(f), "");
        ck_assert_int_eq(weft_close(&f), 0);
    }
}
END_TEST

START_TEST(out_of_range_in_code)
{
    const weft_open_options bad[] = {{.threads = -1},  {.num_nodes = -2}, {.log_every = WEFT_OFF},
                                     {.timeout = -1},  {.bucket_mb = -1}, {.keep = -3},
                                     {.heartbeat = -2}};
    for (int i = 0; i < 7; i++) {
        weft_fabric *f;
        listen();
        ck_assert_int_eq(weft_open(&f, NULL, NULL, &bad[i]), WEFT_EARG);
        ck_assert_int_eq(weft_close(&f), 1);
    }
}
END_TEST

/* Variables that look like ours and are not are named; good ones, and empty ones, are not. */
START_TEST(misspelt_variables)
{
    weft_fabric *f;
    listen();
    setenv("WEFT_STRATGY", "ddp", 1);
    setenv("WEFT_SEED", "", 1);
    setenv("WEFT_KEEP", "2", 1);
    ck_assert_int_eq(weft_open(&f, NULL, NULL, NULL), 0);
    unsetenv("WEFT_STRATGY");
    unsetenv("WEFT_SEED");
    unsetenv("WEFT_KEEP");
    ck_assert_ptr_nonnull(
        strstr(warnings, "WEFT_STRATGY is not known; did you mean WEFT_STRATEGY?"));
    ck_assert_ptr_null(strstr(warnings, "WEFT_KEEP"));
    ck_assert_ptr_null(strstr(warnings, "WEFT_SEED"));
    ck_assert_int_eq(weft_close(&f), 0);
    setenv("WEFT_THREADS", "x", 1);
    refused("", WEFT_EARG, "WEFT_THREADS is \"x\"");
    unsetenv("WEFT_THREADS");
}
END_TEST

/* Every kind of error becomes a status between 1 and 125, and is reported once. */
START_TEST(statuses)
{
#define CODE(name, value, text) name,
    static const weft_status code[] = {WEFT_STATUS_LIST(CODE)};
#undef CODE
    for (size_t i = 0; i < sizeof code / sizeof *code; i++) {
        weft_fabric *f;
        listen();
        ck_assert_int_eq(weft_open(&f, NULL, NULL, NULL), 0);
        warnings[0] = '\0';
        weft_fail(f, code[i], "reason %d", (int)i);
        int status = weft_close(&f); /* what is no error is still a failure: the user said so */
        ck_assert_int_eq(status, code[i] < 0 ? -code[i] : -WEFT_EUSER);
        ck_assert_int_ge(status, 1);
        ck_assert_int_le(status, 125);
        ck_assert_ptr_nonnull(strstr(warnings, "reason "));
        ck_assert_ptr_eq(strstr(strstr(warnings, "reason ") + 1, "reason "), NULL);
    }
}
END_TEST

/* Errors that stick in each kind of call reach weft_close. */
START_TEST(errors_reach_the_end)
{
    for (int i = 0; i < 6; i++) {
        weft_fabric *f;
        listen();
        ck_assert_int_eq(weft_open(&f, NULL, NULL, NULL), 0);
        weft_module *m = weft_nn_linear(f, 3, 2);
        weft_tensor *x = weft_full(f, 1, 2, (const int64_t[]){4, i == 0 ? 5 : 3}, WEFT_DEFAULT);
        if (i == 0)
            ck_assert_ptr_null(weft_forward(m, x));
        else if (i == 1)
            ck_assert_ptr_null(weft_loader_hdf5(f, "no/such/file.h5", NULL));
        else if (i == 2)
            ck_assert_int_lt(weft_setup(f, NULL, NULL), 0);
        else if (i == 3)
            ck_assert_int_lt(weft_backward(f, NULL), 0);
        else if (i == 4)
            ck_assert_int_lt(weft_load(f, "/proc/no/such"), 0);
        else
            ck_assert_ptr_null(weft_cast(x, (weft_dtype)99));
        weft_status s = weft_error(f);
        ck_assert_msg(s < 0, "case %d", i);
        ck_assert_int_eq(weft_close(&f), -s);
    }
}
END_TEST

/* Runs this program with `arguments`; its stdout into out. @return its exit status. */
static int run(const char *environment, const char *arguments, char *out, size_t size)
{
    char command[4500], path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    ck_assert_int_gt(n, 0);
    path[n] = '\0';
    snprintf(command, sizeof command, "%s timeout 60 '%s' %s", environment, path, arguments);
    FILE *p = popen(command, "r");
    ck_assert_ptr_nonnull(p);
    out[fread(out, 1, size - 1, p)] = '\0';
    int status = pclose(p);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool has_mpirun(void)
{
    return getenv("MPIRUN") && *getenv("MPIRUN");
}

/* Each child names its rank in a file: stdout has to stay empty. */
START_TEST(relaunch)
{
    char out[1000], file[64], text[100] = "";
    struct stat there;
    if (!has_mpirun())
        return;
    for (int status = 0; status < 20; status += 13) {
        char words[120];
        snprintf(words, sizeof words, "ranks %d --devices 2 %d extra", (int)getpid(), status);
        ck_assert_int_eq(run("", words, out, sizeof out), status);
        ck_assert_str_eq(out, "");
        for (int rank = 0; rank < 3; rank++) {
            snprintf(file, sizeof file, "/tmp/weft-open-%d.%d", (int)getpid(), rank);
            ck_assert_int_eq(stat(file, &there) == 0, rank < 2);
            FILE *f = rank < 2 ? fopen(file, "r") : NULL;
            if (f) {
                ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
                ck_assert_str_eq(text, "2 ranks, 5 words");
                fclose(f);
                unlink(file);
            }
        }
    }
    ck_assert_int_eq(run("WEFT_DEVICES=2", "fails 0", out, sizeof out), -WEFT_EUSER);
    ck_assert_str_eq(out, "");
}
END_TEST

/* Nothing of the program runs after the options were printed: neither alone nor on ranks. */
START_TEST(print_config_ends_the_program)
{
    char out[4000], words[100], file[64];
    struct stat there;
    snprintf(file, sizeof file, "/tmp/weft-open-%d.0", (int)getpid());
    for (int devices = 1; devices <= 1 + has_mpirun(); devices++) {
        snprintf(words, sizeof words, "ranks %d --print-config --devices %d 9 2>&1", (int)getpid(),
                 devices);
        ck_assert_int_eq(run("WEFT_LOG_LEVEL=silent", words, out, sizeof out), 0);
        snprintf(words, sizeof words, "weft: devices=%d (command line)\n", devices);
        char *first = strstr(out, words);
        ck_assert_msg(first && !strstr(first + 1, words), "%s", out);
        ck_assert_int_ne(stat(file, &there), 0);
    }
}
END_TEST

START_TEST(relaunch_fails)
{
    char out[1000];
    ck_assert_int_eq(run("WEFT_MPIRUN=/no/mpirun", "ranks 0 --devices=2 0", out, sizeof out),
                     -WEFT_ENOENT);
    ck_assert_int_eq(run("WEFT_RELAUNCHED=1", "ranks 0 --devices=2 0", out, sizeof out),
                     -WEFT_ECONFIG);
    ck_assert_str_eq(out, "");
}
END_TEST

/* srun started four, MPI finds one: refused with the cure, before anything is overwritten. */
START_TEST(singleton_under_srun)
{
    char out[3000];
    int status = run("SLURM_JOB_ID=7 SLURM_STEP_ID=0 SLURM_NTASKS=4 SLURM_STEP_NUM_TASKS=4 "
                     "SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0",
                     "ranks 0 0 2>&1", out, sizeof out);
    ck_assert_msg(status == -WEFT_ECONFIG, "status %d: %s", status, out);
    ck_assert_msg(strstr(out, "srun started 4 tasks") && strstr(out, "srun --mpi=pmix"), "%s", out);
    status = run("SLURM_JOB_ID=7 SLURM_NTASKS=4 SLURM_PROCID=0", "ranks 0 0 2>&1", out, sizeof out);
    ck_assert_int_eq(status, 0); /* legal: a tool beside the job's steps */
    ck_assert_ptr_nonnull(strstr(out, "running alone in a Slurm job of 4 tasks"));
    unlink("/tmp/weft-open-0.0");
}
END_TEST

/* torchrun started four, of which MPI knows nothing. */
START_TEST(singleton_under_torchrun)
{
    char out[3000];
    int status = run("TORCHELASTIC_RUN_ID=x RANK=0 WORLD_SIZE=4 LOCAL_WORLD_SIZE=4",
                     "ranks 0 --devices=4 0 2>&1", out, sizeof out);
    ck_assert_msg(status == -WEFT_ECONFIG, "status %d: %s", status, out);
    ck_assert_msg(strstr(out, "weft run --devices 4"), "%s", out);
    status = run("TORCHELASTIC_RUN_ID=x RANK=0 WORLD_SIZE=1", "ranks 0 0 2>&1", out, sizeof out);
    ck_assert_int_eq(status, 0);
    unlink("/tmp/weft-open-0.0");
}
END_TEST

START_TEST(stdout_stays_empty)
{
    char out[100];
    ck_assert_int_eq(run("WEFT_LOG_LEVEL=debug", "trains", out, sizeof out), 0);
    ck_assert_str_eq(out, "");
    ck_assert_int_eq(run("", "fails 0", out, sizeof out), -WEFT_EUSER);
    ck_assert_str_eq(out, "");
    ck_assert_int_eq(run("WEFT_STRATGY=x", "ranks 0 0 --seed=x", out, sizeof out), -WEFT_EARG);
    ck_assert_str_eq(out, "");
}
END_TEST

static int trains(weft_fabric *f)
{
    static const float x[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    static const uint8_t y[4] = {0, 1, 1, 0};
    const int64_t three = 3;
    weft_module *m =
        weft_nn_sequential(f, weft_nn_linear(f, 3, 4), weft_nn_relu(f), weft_nn_linear(f, 4, 2));
    weft_optimizer *o = weft_adam(m, NULL);
    weft_loader *l = weft_loader_arrays(f, 4, x, 1, &three, WEFT_F32, y, WEFT_U8,
                                        WEFT_LOADER(.global_batch = 3, .epochs = 5));
    weft_logger_console(f);
    weft_setup(f, m, o);
    weft_setup_loader(f, l);
    for (weft_batch b; weft_next(l, &b);) {
        weft_tensor *loss = weft_cross_entropy(weft_forward(m, b.x), b.y);
        weft_zero_grad(o);
        weft_backward(f, loss);
        weft_step(o);
        weft_log(f, "loss", loss);
    }
    return weft_step_count(f) == 10;
}

/* "ranks ID ... STATUS": writes /tmp/weft-open-ID.RANK and ends with STATUS on the last rank.
 * "fails", "trains": does. */
static int child(int argc, char **argv)
{
    weft_fabric *f;
    weft_status s = weft_open(&f, &argc, &argv, NULL);
    if (s)
        return weft_close(&f);
    if (!strcmp(argv[1], "fails"))
        weft_fail(f, WEFT_EUSER, "on purpose");
    if (!strcmp(argv[1], "trains") && !trains(f))
        weft_fail(f, WEFT_EUSER, "it did not train");
    int status = !strcmp(argv[1], "ranks") ? atoi(argv[3]) : 0;
    if (!strcmp(argv[1], "ranks")) {
        char file[64];
        snprintf(file, sizeof file, "/tmp/weft-open-%s.%d", argv[2], weft_global_rank(f));
        FILE *p = fopen(file, "w");
        if (p) {
            fprintf(p, "%d ranks, %d words", weft_world_size(f), argc);
            fclose(p);
        }
    }
    status = weft_is_global_zero(f) && weft_world_size(f) > 1 ? 0 : status;
    int closed = weft_close(&f);
    return closed ? closed : status;
}

/* Each of these would reach for a part that is not there. */
START_TEST(nothing_comes_from_a_fabric_that_did_not_open)
{
    const int64_t shape[] = {2, 2};
    float x[4] = {0};
    double d = 1;
    weft_fabric *f;
    weft_batch b;
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.strategy = "nope")), WEFT_EARG);
    weft_module *m = weft_nn_linear(f, 2, 2);
    weft_optimizer *o = weft_adam(m, NULL);
    weft_loader *l = weft_loader_arrays(f, 2, x, 1, shape, WEFT_F32, NULL, WEFT_F32, NULL);
    weft_tensor *t = weft_tensor_of(f, x, 2, shape, WEFT_F32);
    ck_assert(!m && !o && !l && !t && !weft_full(f, 1, 2, shape, WEFT_F32));
    ck_assert(!weft_wrap(f, x, 2, shape, WEFT_F32) && !weft_logger_csv(f, "never.csv"));
    ck_assert(weft_setup(f, m, o) < 0 && weft_setup_loader(f, l) < 0);
    ck_assert(weft_resume(f, "never") < 0 && weft_load(f, "never") < 0);
    ck_assert(!weft_next(l, &b) && weft_backward(f, t) < 0 && weft_step(o) < 0);
    ck_assert(weft_log(f, "a", t) < 0 && weft_log_value(f, "a", 1) < 0 && weft_log_timing(f) < 0);
    ck_assert(weft_save(f, "never") < 0 && weft_step_end(f) < 0 && !weft_every(f, 1));
    ck_assert(weft_sum_over_ranks(f, &d, 1) < 0 && weft_barrier(f) < 0 && weft_clear(f) < 0);
    ck_assert(weft_track_f64(f, "d", &d, 1) < 0 && weft_set_schedule(o, NULL) < 0);
    ck_assert(weft_traffic_count(f).collectives == 0 && weft_timing_take(f).steps == 0);
    weft_eval_begin(f);
    weft_eval_end(f);
    weft_batch_of(f, t, t, 0, 0);
    ck_assert(weft_logger_count(f) == 0 && weft_strategy_name(f) && weft_kernel_set(f));
    ck_assert_int_eq(weft_error(f), WEFT_EARG);
    ck_assert_int_eq(weft_close(&f), 1);
}
END_TEST

START_TEST(nothing_comes_from_a_fabric_without_a_device)
{
    const float x = 0;
    weft_fabric *f;
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.accelerator = "tpu")), WEFT_ENOTSUP);
    ck_assert_ptr_null(weft_tensor_of(f, &x, 0, NULL, WEFT_F32));
    ck_assert_int_eq(weft_close(&f), -WEFT_ENOTSUP);
}
END_TEST

START_TEST(a_communicator_needs_mpi)
{
    weft_fabric *f;
    ck_assert_int_eq(weft_open_mpi(&f, MPI_COMM_WORLD, NULL), WEFT_ESTATE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "MPI_Init"));
    ck_assert_int_eq(weft_close(&f), -WEFT_ESTATE);
}
END_TEST

static int ends;

static weft_status record(void *self, const weft_record *r)
{
    (void)self, (void)r;
    return ends ? WEFT_ESTATE : WEFT_OK;
}

static void finish(void *self)
{
    (void)self;
    ends++;
}

START_TEST(loggers_are_told_of_the_end)
{
    static const weft_logger_ops ops = {
        .size = sizeof ops, .name = "mine", .record = record, .finish = finish};
    weft_fabric *f;
    ck_assert_int_eq(weft_open(&f, NULL, NULL, NULL), 0);
    weft_logger_new(f, &ops, NULL, 0);
    weft_log_value(f, "last", 1);
    ck_assert_int_eq(weft_close(&f), 0);
    ck_assert_int_eq(ends, 1);
}
END_TEST

/* Whichever was set up first, the edge is the training loader's. */
START_TEST(an_evaluation_loader_is_no_edge)
{
    weft_fabric *f;
    weft_batch b;
    ck_assert_int_eq(weft_open(&f, NULL, NULL, NULL), 0);
    weft_loader *test = weft_loader_arrays(f, 2, "ab", 0, NULL, WEFT_U8, NULL, WEFT_U8,
                                           WEFT_LOADER(.evaluation = true));
    weft_loader *train = weft_loader_arrays(f, 2, "ab", 0, NULL, WEFT_U8, NULL, WEFT_U8, NULL);
    ck_assert(!weft_setup_loader(f, test) && !weft_setup_loader(f, train));
    weft_tensor *t = weft_full(f, 1, 0, NULL, WEFT_F32);
    ck_assert(weft_next(test, &b) && weft_is_valid(t));
    ck_assert(weft_next(train, &b) && !weft_is_valid(t));
    ck_assert_int_eq(weft_close(&f), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("open");
    TCase *t = tcase_create("alone");
    tcase_set_timeout(t, 100);
    tcase_add_test(t, unknown_words);
    tcase_add_test(t, nothing_comes_from_a_fabric_that_did_not_open);
    tcase_add_test(t, nothing_comes_from_a_fabric_without_a_device);
    tcase_add_test(t, a_communicator_needs_mpi);
    tcase_add_test(t, loggers_are_told_of_the_end);
    tcase_add_test(t, an_evaluation_loader_is_no_edge);
    tcase_add_test(t, known_words);
    tcase_add_test(t, numbers);
    tcase_add_test(t, accepted);
    tcase_add_test(t, out_of_range_in_code);
    tcase_add_test(t, misspelt_variables);
    tcase_add_test(t, statuses);
    tcase_add_test(t, errors_reach_the_end);
    tcase_add_test(t, relaunch);
    tcase_add_test(t, print_config_ends_the_program);
    tcase_add_test(t, relaunch_fails);
    tcase_add_test(t, singleton_under_srun);
    tcase_add_test(t, singleton_under_torchrun);
    tcase_add_test(t, stdout_stays_empty);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return child(argc, argv);
    SRunner *r = srunner_create(suite());
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
