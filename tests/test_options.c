/* The options of weft_open: Fabric's truth tables, every way to give one, which way wins, what is taken
 * out of argv, what Lightning's launcher sets, and what print_config says. One process. */
#include <check.h>

#include "environ/environ.h"
#include "fabric/options.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

static char said[8000];

static void collect(void *user, weft_level level, const char *text)
{
    (void)user;
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%d %s\n", (int)level, text);
}

static void listen(void)
{
    said[0] = '\0';
    weft_log_level(WEFT_LOG_INFO);
    weft_log_to(collect, NULL);
}

/* Opens with one option as text. "" if that succeeds, else the message. */
static weft_status open_with(const char *option, char message[600])
{
    weft_fabric *f;
    listen();
    weft_status s = weft_open_text(&f, NULL, NULL, option);
    snprintf(message, 600, "%s", weft_message(f));
    int status = weft_close(&f);
    ck_assert_int_eq(status, s < 0 ? -s : 0);
    return s;
}

/* Fabric's words and what they are answered with here, alone on a CPU. */
static const struct {
    const char *option;
    weft_status status;
    const char *says; /* in the message; of what succeeds, in what is said */
} truth[] = {
    {"accelerator=auto", WEFT_OK, ""},
    {"accelerator=CPU", WEFT_OK, ""},
    {"accelerator=tpu", WEFT_ENOTSUP, "cpu or auto"},
    {"accelerator=mps", WEFT_ENOTSUP, "mps"},
    {"accelerator=tpu", WEFT_ENOTSUP, "tpu"},
    {"accelerator=coconut", WEFT_EARG, "there are: auto, cpu, mock, gpu, cuda, mps, tpu"},
    {"accelerator=", WEFT_EARG, "is not known"},
    {"accelerator=tpu devices=0,1", WEFT_ENOTSUP, "tpu"}, /* first things first */
    {"strategy=auto", WEFT_OK, ""},
    {"strategy=single", WEFT_OK, ""},
    {"strategy=single_device", WEFT_OK, ", single,"},
    {"strategy=ddp devices=1", WEFT_OK, ", ddp,"},
    {"strategy=DdP", WEFT_OK, ", ddp,"},
    {"strategy=ddp_find_unused_parameters_true", WEFT_OK, ", ddp,"},
    {"strategy=ddp_spawn", WEFT_OK, "strategy ddp_spawn is ddp here"},
    {"strategy=ddp_fork", WEFT_OK, "strategy ddp_fork is ddp here"},
    {"strategy=ddp_notebook", WEFT_OK, "strategy ddp_notebook is ddp here"},
    {"strategy=dp", WEFT_OK, "2 strategy dp is ddp here"},
    {"strategy=fsdp", WEFT_ENOTSUP, "strategy fsdp is not in this version"},
    {"strategy=fsdp_cpu_offload", WEFT_ENOTSUP, "fsdp_cpu_offload"},
    {"strategy=zero1", WEFT_OK, ", zero1,"},
    {"strategy=zero2", WEFT_OK, ", zero2,"},
    {"strategy=deepspeed", WEFT_OK, ", zero2,"},
    {"strategy=deepspeed_stage_1", WEFT_OK, ", zero1,"},
    {"strategy=deepspeed_stage_1_offload", WEFT_ENOTSUP, "deepspeed_stage_1_offload"},
    {"strategy=deepspeed_stage_2", WEFT_OK, ", zero2,"},
    {"strategy=deepspeed_stage_2_offload", WEFT_ENOTSUP, "deepspeed_stage_2_offload"},
    {"strategy=deepspeed_stage_3", WEFT_ENOTSUP, "deepspeed_stage_3"},
    {"strategy=deepspeed_stage_3_offload", WEFT_ENOTSUP, "deepspeed_stage_3_offload"},
    {"strategy=deepspeed_stage_3_offload_nvme", WEFT_ENOTSUP, "deepspeed_stage_3_offload_nvme"},
    {"strategy=xla", WEFT_ENOTSUP, "xla is not in this version (it needs accelerator tpu)"},
    {"strategy=xla_fsdp", WEFT_ENOTSUP, "tpu"},
    {"strategy=single_xla", WEFT_ENOTSUP, "tpu"},
    {"strategy=single_tpu", WEFT_ENOTSUP, "tpu"},
    {"strategy=ninja", WEFT_EARG, "there are: auto, single"},
    {"strategy=single devices=2", WEFT_ECONFIG, "single with 2 ranks"},
    {"strategy=fsdp devices=2", WEFT_ENOTSUP, "fsdp"}, /* nothing is started to fail */
    {"precision=nope devices=2", WEFT_EARG, "32-true"},
    {"accelerator=tpu devices=2", WEFT_ENOTSUP, "tpu"},
    {"devices=auto", WEFT_OK, ""},
    {"devices=AUTO", WEFT_OK, ""},
    {"devices=1", WEFT_OK, ""},
    {"devices=0", WEFT_EARG, "\"0\"; with accelerator cpu it takes auto or a whole number"},
    {"devices=-1", WEFT_EARG, "\"-1\", all devices there are; with accelerator cpu"},
    {"devices=-2", WEFT_EARG, "\"-2\"; with accelerator cpu"},
    {"devices=0.1", WEFT_EARG, "whole number"},
    {"devices=False", WEFT_EARG, "whole number"},
    {"devices=None", WEFT_EARG, "whole number"},
    {"devices=0,1", WEFT_EARG, "a list of ids; with accelerator cpu"},
    {"devices=[0,1]", WEFT_EARG, "a list of ids; with accelerator cpu"},
    {"devices=2,", WEFT_EARG, "a list of ids; with accelerator cpu"},
    {"devices=[]", WEFT_EARG, "whole number"},
    {"devices=99999999999999999999", WEFT_EARG, "from 1 to 65535"},
    {"num_nodes=1", WEFT_OK, ""},
    {"num-nodes=1", WEFT_OK, ""},
    {"num_nodes=0", WEFT_EARG, "num_nodes is \"0\"; it takes a whole number from 1"},
    {"num_nodes=-1", WEFT_EARG, "whole number"},
    {"num_nodes=1.5", WEFT_EARG, "whole number"},
    {"num_nodes=x", WEFT_EARG, "whole number"},
    {"num_nodes=2", WEFT_ECONFIG, "num_nodes=2 was asked for, but 1 nodes run"},
    {"precision=32", WEFT_OK, ", 32-true,"},
    {"precision=32-true", WEFT_OK, ", 32-true,"},
    {"precision=64", WEFT_OK, ", 64-true,"},
    {"precision=64-TRUE", WEFT_OK, ", 64-true,"},
    {"precision=16", WEFT_OK, ", 16-mixed,"},
    {"precision=16-mixed", WEFT_OK, ", 16-mixed,"},
    {"precision=bf16", WEFT_OK, ", bf16-mixed,"},
    {"precision=BF16-mixed", WEFT_OK, ", bf16-mixed,"},
    {"precision=16-true", WEFT_OK, ", 16-true,"},
    {"precision=bf16-true", WEFT_OK, ", bf16-true,"},
    {"precision=bf16-tru", WEFT_EARG, "did you mean \"bf16-true\""},
    {"precision=transformer-engine", WEFT_ENOTSUP, "transformer-engine"},
    {"precision=transformer-engine-float16", WEFT_ENOTSUP, "transformer-engine-float16"},
    {"precision=transformer-engine accelerator=mock", WEFT_OK, ", transformer-engine,"},
    {"precision=64-mixed", WEFT_EARG, "there are: 32-true"},
    {"precision=8", WEFT_EARG, "there are: 32-true"},
    {"precision=None", WEFT_EARG, "there are: 32-true"},
    {"nonfinite=skip", WEFT_OK, ""},
    {"nonfinite=maybe", WEFT_EARG, "error, skip, ignore"},
    {"seed=18446744073709551615", WEFT_EARG, "seed"},
    {"seed=9223372036854775807", WEFT_OK, ""},
    {"seed=0x10", WEFT_EARG, "seed"},
    {"threads=1", WEFT_OK, ""},
    {"timeout=nan", WEFT_EARG, "timeout"},
    {"timeout=inf", WEFT_EARG, "timeout"},
    {"timeout=0.5", WEFT_OK, ""},
    {"keep=off", WEFT_OK, ""},
    {"keep=-1", WEFT_EARG, "keep"},
    {"log_every=off", WEFT_EARG, "log_every"},
    {"heartbeat=Off", WEFT_OK, ""},
    {"heartbeat=2.5", WEFT_OK, ""},
    {"overlap_comm=on", WEFT_OK, ""},
    {"overlap-comm=off", WEFT_OK, ""},
    {"overlap_comm=of", WEFT_EARG, "did you mean"},
    {"share_devices=true", WEFT_OK, ""},
    {"matmul_precision=highest", WEFT_OK, ""},
    {"matmul-precision=medium", WEFT_OK, ""}, /* the cpu computes in f32 all the same */
    {"graph=on", WEFT_OK, ""},                /* the cpu has none, and computes all the same */
    {"graph=onn", WEFT_EARG, "did you mean \"on\""},
    {"matmul_precision=hihg", WEFT_EARG, "did you mean \"high\""},
    {"share-devices=maybe", WEFT_EARG, "share"},
    {"accelerator=mock devices=1, share_devices=1", WEFT_OK, ""},
    {"accelerator=mock devices=9", WEFT_EARG, "this node has 8 mock devices"},
    {"accelerator=mock devices=1,9", WEFT_EARG, "no mock device 9"},
    {"heartbeat=0.5", WEFT_EARG, "heartbeat"},
    {"heartbeat=-1", WEFT_EARG, "heartbeat"},
    {"heartbeat=nan", WEFT_EARG, "heartbeat"},
    {"process_group_backend=auto", WEFT_OK, ""},
    {"process-group-backend=MPI", WEFT_OK, ""},
    {"process_group_backend=shm", WEFT_OK, ""}, /* one rank needs none */
    {"process_group_backend=nccl", WEFT_ENOTSUP, "process_group_backend nccl"},
    {"process_group_backend=gloo", WEFT_ENOTSUP, "there are auto, mpi and shm"},
    {"process_group_backend=smh", WEFT_EARG, "did you mean \"shm\"?"},
    {"print_config", WEFT_CONFIG_PRINTED, "0 strategy=single (default)"},
    {"print-config=yes", WEFT_CONFIG_PRINTED, "0 print_config=true (text)"},
    {"print_config=off", WEFT_OK, ""},
    {"print_config=perhaps", WEFT_EARG, "print_config"},
    {"strategy", WEFT_EARG, "name=value"},
    {"=", WEFT_EARG, "option"},
    {"seed=1 seed=2 seed=x seed=3", WEFT_EARG, "seed is \"x\""}, /* each must be good */
    {"strategy=nope strategy=ddp", WEFT_OK, ", ddp,"},           /* the last counts */
    {" \t ", WEFT_OK, ""},
};

START_TEST(words)
{
    char message[600];
    weft_status s = open_with(truth[_i].option, message);
    ck_assert_msg(s == truth[_i].status, "%s: %s, %s", truth[_i].option, weft_status_name(s),
                  message);
    ck_assert_msg(strstr(s < 0 ? message : said, truth[_i].says), "%s: \"%s\" is not in: %s",
                  truth[_i].option, truth[_i].says, s < 0 ? message : said);
}
END_TEST

enum { AUTO = WEFT__DEVICES_AUTO, ALL, COUNT, IDS, BAD };
static const struct {
    const char *text;
    int kind, n, id[3];
} grammar[] = {
    {"auto", AUTO, 0, {0}},   {"3", COUNT, 3, {0}},
    {"+3", COUNT, 3, {0}},    {"-1", ALL, 0, {0}},
    {"2,", IDS, 1, {2}},      {"0,1", IDS, 2, {0, 1}},
    {"1, 3", IDS, 2, {1, 3}}, {"[0,1]", IDS, 2, {0, 1}},
    {"[7]", IDS, 1, {7}},     {"[2, 0, 1]", IDS, 3, {2, 0, 1}},
    {"1,,2", IDS, 2, {1, 2}}, {"0,", IDS, 1, {0}},
    {"0", BAD, 0, {0}},       {"", BAD, 0, {0}},
    {"-2", BAD, 0, {0}},      {"0.1", BAD, 0, {0}},
    {"False", BAD, 0, {0}},   {"[]", BAD, 0, {0}},
    {",", BAD, 0, {0}},       {"[-1]", BAD, 0, {0}},
    {"-1,", BAD, 0, {0}},     {"[0,0]", BAD, 0, {0}},
    {"0,1,0", BAD, 0, {0}},   {"['0']", BAD, 0, {0}},
    {"[0", BAD, 0, {0}},      {"0]", BAD, 0, {0}},
    {"0;1", BAD, 0, {0}},     {"[True]", BAD, 0, {0}},
    {"0 1", BAD, 0, {0}},     {"1, ,2", BAD, 0, {0}},
    {"99999", BAD, 0, {0}},   {"123456789012345678901,", BAD, 0, {0}},
};

START_TEST(devices)
{
    weft__devices d;
    weft_status s = weft__devices_read(&d, grammar[_i].text);
    ck_assert_msg(s == (grammar[_i].kind == BAD ? WEFT_EARG : WEFT_OK), "%s", grammar[_i].text);
    if (s)
        return;
    ck_assert_int_eq((int)d.kind, grammar[_i].kind);
    ck_assert_int_eq(d.n, grammar[_i].n);
    for (int i = 0; grammar[_i].kind == IDS && i < d.n; i++)
        ck_assert_int_eq(d.id[i], grammar[_i].id[i]);
}
END_TEST

/* More ids than there is room for are refused, not written. */
START_TEST(many_devices)
{
    char text[400] = "";
    weft__devices d;
    for (int i = 0; i <= WEFT__DEVICE_IDS; i++)
        snprintf(text + strlen(text), 16, "%d,", i);
    ck_assert_int_eq(weft__devices_read(&d, text), WEFT_EARG);
    *strrchr(text, '6') = '\0'; /* without the last, 64 */
    ck_assert_int_eq(weft__devices_read(&d, text), WEFT_OK);
    ck_assert_int_eq(d.n, WEFT__DEVICE_IDS);
}
END_TEST

/* The options that fabric.h names. */
static int members(char name[WEFT__OPTIONS][32])
{
    char path[PATH_MAX], line[300];
    int n = -1;
    snprintf(path, sizeof path, "%s/../include/weft/fabric.h", getenv("srcdir"));
    FILE *in = fopen(path, "r");
    ck_assert_ptr_nonnull(in);
    while (fgets(line, sizeof line, in) && !strstr(line, "WEFT_PTR(weft_open_options)")) {
        char *end = strstr(line, " WEFT_INIT;"), *start = end;
        if (strstr(line, "typedef struct weft_open_options"))
            n = 0;
        if (n < 0 || !end)
            continue;
        *end = '\0';
        while (start > line && start[-1] != ' ' && start[-1] != '*')
            start--;
        snprintf(name[n++], 32, "%.31s", start);
    }
    fclose(in);
    return n;
}

static void option_by(int way, const char *name, const char *value, weft__settings *s, char **argv,
                      int *argc)
{
    static char text[100], word[2][100];
    weft_status rc;
    memset(s, 0, sizeof *s);
    snprintf(text, sizeof text, "%s=%s", name, value);
    snprintf(word[0], sizeof word[0], way == 2 ? "--%s" : "--%s=%s", name, value);
    for (char *p = word[0]; way == 3 && *p != '='; p++)
        *p = *p == '_' ? '-' : *p;
    snprintf(word[1], sizeof word[1], "%s", value);
    argv[0] = "program", argv[1] = "before", argv[2] = word[0];
    *argc = 3;
    if (way == 2 && !weft__option_is_flag(weft__option_find(name, strlen(name))))
        argv[(*argc)++] = word[1];
    argv[(*argc)++] = "after";
    argv[*argc] = NULL;
    if (way == 1) {
        char variable[WEFT__VARIABLE];
        weft__option_variable(weft__option_find(name, strlen(name)), "WEFT", variable);
        setenv(variable, value, 1);
        rc = weft__settings_read(s, NULL, NULL, NULL, NULL);
        unsetenv(variable);
    } else {
        rc = way == 0 ? weft__settings_read(s, NULL, text, NULL, NULL)
                      : weft__settings_read(s, NULL, NULL, argc, &argv);
    }
    ck_assert_msg(!rc, "%s %d", name, way);
}

/* Every member but the tables that only code can give, by text, variable and both forms of the command
 * line, is the same option, and none leaves a trace in another. */
START_TEST(every_option_by_every_way)
{
    char name[WEFT__OPTIONS][32];
    int n = members(name);
    ck_assert_int_gt(n, 10);
    for (int m = 0; m < n; m++) {
        int i = weft__option_find(name[m], strlen(name[m])), argc;
        if (strncmp(name[m], "strategy_", 9) == 0)
            continue;
        ck_assert_msg(i >= 0, "weft_open_options.%s is not in the table of options", name[m]);
        const bool share = strcmp(name[m], "backoff_factor") == 0;
        const char *value = weft__option_is_flag(i) ? "true" : share ? "0.5" : "7";
        for (int way = 0; way < 4; way++) {
            weft__settings s;
            char got[WEFT__OPTION_TEXT], *argv[8];
            option_by(way, name[m], value, &s, argv, &argc);
            weft__option_text(&s, i, got);
            ck_assert_msg(strcmp(got, value) == 0, "%s %d: %s", name[m], way, got);
            for (int k = 0; weft__option_name(k); k++)
                ck_assert_int_eq(s.from[k] != WEFT__FROM_DEFAULT, k == i);
            if (way >= 2)
                ck_assert(argc == 3 && !strcmp(argv[1], "before") && !strcmp(argv[2], "after") &&
                          !argv[3]);
            weft__settings_free(&s);
        }
    }
    ck_assert_ptr_null(weft__option_name(n)); /* and the table has no other */
}
END_TEST

/* Reads words, separated by blanks, with the environment as it is; what is left into words. */
static weft_status read_words(weft__settings *s, const weft_open_options *code, char *words)
{
    static char copy[300];
    char *argv[40] = {"program"}, **v = argv, *rest = NULL;
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok_r(copy, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
        argv[argc++] = w;
    argv[argc] = NULL;
    memset(s, 0, sizeof *s);
    weft_status rc = weft__settings_read(s, code, NULL, &argc, &v);
    words[0] = '\0';
    for (int i = 1; i < argc; i++)
        sprintf(words + strlen(words), "%s%s", i > 1 ? " " : "", argv[i]);
    ck_assert_ptr_null(argv[argc]);
    return rc;
}

static const struct {
    const char *words, *left; /* NULL: refused, and nothing is taken out */
    int seed;
} line[] = {
    {"", "", 0},
    {"--seed 3", "", 3},
    {"--seed=3 --seed 4", "", 4}, /* the last counts */
    {"in --seed 3 out", "in out", 3},
    {"in -- --seed 3", "in -- --seed 3", 0},
    {"--seed 3 -- --seed 4", "-- --seed 4", 3},
    {"--seed", NULL, 0},
    {"x --seed", NULL, 0},
    {"--seed --threads 2", NULL, 0},
    {"--seed --", NULL, 0},
    {"--seed=", NULL, 0},
    {"--seed -3", NULL, 0},
    {"--keep 1 --seed -3", NULL, 0},
    {"--strategy ddp --seed=3 x", "x", 3},
    {"-seed 3", "-seed 3", 0},
    {"seed=3", "seed=3", 0},
    {"--seeds 3", "--seeds 3", 0}, /* the program's, with a warning */
    {"--SEED 3", "--SEED 3", 0},
    {"--see=3", "--see=3", 0}, /* no abbreviations */
    {"--", "--", 0},
    {"---seed 3", "---seed 3", 0},
    {"--=3", "--=3", 0},
    {"--print-config --seed 3", "", 3},
    {"--print-config 3", "3", 0},
    {"--print_config=no x", "x", 0},
    {"--num-nodes 1 --num_nodes=1 --log-every=2 a", "a", 0},
    {"--num--nodes 1", "--num--nodes 1", 0},
};

START_TEST(command_lines)
{
    weft__settings s;
    char words[300];
    listen();
    snprintf(words, sizeof words, "%s", line[_i].words);
    weft_status rc = read_words(&s, NULL, words);
    ck_assert_msg(rc == (line[_i].left ? WEFT_OK : WEFT_EARG), "%s", line[_i].words);
    ck_assert_str_eq(words, line[_i].left ? line[_i].left : line[_i].words);
    if (!rc)
        ck_assert_uint_eq(s.o.seed, (unsigned)line[_i].seed);
    weft__settings_free(&s);
}
END_TEST

START_TEST(near_words_are_named_once)
{
    weft__settings s;
    char words[300] = "--seeds 3 --num-node 2 --output x --threads=1";
    listen();
    ck_assert(!read_words(&s, NULL, words));
    ck_assert_ptr_nonnull(strstr(said, "--seeds is left to the program; did you mean --seed?"));
    ck_assert_ptr_nonnull(strstr(said, "--num-node is left"));
    ck_assert_ptr_null(strstr(said, "output"));
    ck_assert_ptr_null(strstr(said, "threads"));
    char *first = strstr(said, "--seeds");
    ck_assert_ptr_null(strstr(first + 1, "--seeds"));
}
END_TEST

static void source_is(const weft__settings *s, const char *name, weft__source from,
                      const char *value)
{
    char text[WEFT__OPTION_TEXT];
    int i = weft__option_find(name, strlen(name));
    weft__option_text(s, i, text);
    ck_assert_str_eq(text, value);
    ck_assert_int_eq((int)s->from[i], (int)from);
}

/* Code, then LT_*, then WEFT_*, then the command line. */
START_TEST(precedence)
{
    weft__settings s;
    char none[300] = "", words[300] = "--keep 9 --strategy=auto";
    const weft_open_options code = {.keep = 5, .threads = 2, .strategy = "ddp", .precision = "32"};
    listen();
    ck_assert(!read_words(&s, &code, none));
    source_is(&s, "keep", WEFT__FROM_CODE, "5");
    source_is(&s, "seed", WEFT__FROM_DEFAULT, "0");
    weft_log_level(WEFT_LOG_DEBUG);
    setenv("WEFT_KEEP", "6", 1);
    setenv("WEFT_SEED", "1", 1);
    setenv("WEFT_LOG_EVERY", "", 1); /* empty is not set */
    setenv("LT_CLI_USED", "1", 1);
    setenv("LT_PRECISION", "64", 1);
    setenv("LT_DEVICES", "1", 1);
    setenv("WEFT_DEVICES", "auto", 1);
    ck_assert(!read_words(&s, &code, words));
    ck_assert(s.lightning);
    source_is(&s, "keep", WEFT__FROM_COMMAND, "9");
    ck_assert_ptr_nonnull(strstr(said, "WEFT_KEEP takes the place of what keep was before"));
    ck_assert_ptr_nonnull(strstr(said, "--keep takes the place"));
    source_is(&s, "strategy", WEFT__FROM_COMMAND, "auto");
    source_is(&s, "seed", WEFT__FROM_VARIABLE, "1");
    source_is(&s, "threads", WEFT__FROM_CODE, "2");
    source_is(&s, "log_every", WEFT__FROM_DEFAULT, "0");
    source_is(&s, "precision", WEFT__FROM_LIGHTNING, "64"); /* "32" is the default, said aloud */
    source_is(&s, "devices", WEFT__FROM_VARIABLE, "auto");
    static const char *const name[] = {"WEFT_KEEP",   "WEFT_SEED",    "WEFT_LOG_EVERY",
                                       "LT_CLI_USED", "LT_PRECISION", "LT_DEVICES",
                                       "WEFT_DEVICES"};
    for (int i = 0; i < 7; i++)
        unsetenv(name[i]);
}
END_TEST

/* LT_ variable and its value; the program's option; whether that is refused. */
static const struct {
    const char *variable, *value;
    weft_open_options code;
    bool refused;
} launched[] = {
    {"LT_STRATEGY", "ddp", {.strategy = NULL}, false},
    {"LT_STRATEGY", "ddp", {.strategy = "auto"}, false},
    {"LT_STRATEGY", "ddp", {.strategy = "DDP"}, false},
    {"LT_STRATEGY", "ddp", {.strategy = "single"}, true},
    {"LT_ACCELERATOR", "cpu", {.accelerator = "cpu"}, false},
    {"LT_ACCELERATOR", "cpu", {.accelerator = "cuda"}, true},
    {"LT_DEVICES", "1", {.devices = "1"}, false},
    {"LT_DEVICES", "1", {.devices = "2"}, true},
    {"LT_NUM_NODES", "1", {.num_nodes = 1}, false},
    {"LT_NUM_NODES", "1", {.num_nodes = 2}, true},
    {"LT_NUM_NODES", "one", {.num_nodes = 0}, true},
    {"LT_PRECISION", "64", {.precision = "64-true"}, false},
    {"LT_PRECISION", "32-true", {.precision = "32"}, false},
    {"LT_PRECISION", "32-true", {.precision = "64"}, true},
};

START_TEST(lightning)
{
    char none[300] = "";
    weft__settings s;
    listen();
    setenv(launched[_i].variable, launched[_i].value, 1);
    setenv("LT_CLI_USED", "1", 1);
    ck_assert_int_eq(read_words(&s, &launched[_i].code, none),
                     launched[_i].refused ? WEFT_EARG : WEFT_OK);
    ck_assert_str_eq(said, "");
    setenv("LT_CLI_USED", "0", 1); /* left over from something else: named, not read */
    ck_assert_int_eq(read_words(&s, &launched[_i].code, none), WEFT_OK);
    ck_assert_ptr_nonnull(strstr(said, launched[_i].variable));
    unsetenv("LT_CLI_USED");
    unsetenv(launched[_i].variable);
}
END_TEST

/* Processes that Lightning's launcher started do not start others. */
START_TEST(lightning_does_not_relaunch)
{
    char message[600];
    setenv("LT_CLI_USED", "1", 1);
    setenv("LT_DEVICES", "2", 1);
    ck_assert_int_eq(open_with("", message), WEFT_ECONFIG);
    ck_assert_ptr_nonnull(strstr(message, "devices=2 was asked for, but 1 ranks run"));
    setenv("LT_CLI_USED", "often", 1);
    ck_assert_int_eq(open_with("", message), WEFT_EARG);
    unsetenv("LT_CLI_USED");
    unsetenv("LT_DEVICES");
}
END_TEST

START_TEST(print_config)
{
    weft_fabric *f;
    char *argv[] = {"program", "--threads", "1", "--print-config", "-v", NULL}, **v = argv;
    int argc = 5;
    listen();
    weft_log_level(WEFT_LOG_SILENT); /* what was asked for is said all the same */
    setenv("WEFT_PRECISION", "64", 1);
    ck_assert_int_eq(weft_open(&f, &argc, &v, WEFT_OPEN(.keep = WEFT_OFF, .seed = 5)),
                     WEFT_CONFIG_PRINTED);
    unsetenv("WEFT_PRECISION");
    ck_assert_int_eq(argc, 2);
    static const char *const row[] = {"accelerator=cpu (default)",
                                      "strategy=single (default)",
                                      "devices=1 (default)",
                                      "num_nodes=1 (default)",
                                      "precision=64-true (WEFT_PRECISION)",
                                      "nonfinite=error (default)",
                                      "seed=5 (code)",
                                      "threads=1 (command line)",
                                      "timeout=1800 (default)",
                                      "bucket_mb=25 (default)",
                                      "keep=off (code)",
                                      "print_config=true (command line)",
                                      "heartbeat=10 (default)",
                                      "process_group_backend=auto (default)",
                                      "share_devices=false (default)",
                                      "matmul_precision=highest (default)",
                                      "graph=auto (default)"};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        ck_assert_msg(strstr(said, row[i]), "%s is not in:\n%s", row[i], said);
    int lines = 0, options = 0;
    for (char *p = said; *p; p++)
        lines += *p == '\n';
    while (weft__option_name(options))
        options++;
    ck_assert_int_eq(lines, options);
    ck_assert_int_eq(weft_error(f), 0);
    ck_assert_int_eq(weft_step_end(f), WEFT_ESTATE); /* it is not open */
    ck_assert_int_eq(weft_close(&f), -WEFT_ESTATE);  /* who goes on all the same is told */
    ck_assert_int_eq(weft_open_text(&f, NULL, NULL, "print_config"), WEFT_CONFIG_PRINTED);
    ck_assert_int_eq(weft_close(&f), 0);
}
END_TEST

START_TEST(code_out_of_range)
{
    static const struct {
        weft_open_options code;
        const char *says;
    } bad[] = {{{.threads = -1}, ".threads is -1"},
               {{.threads = 5000}, ".threads is 5000"},
               {{.num_nodes = -2}, ".num_nodes is -2"},
               {{.keep = -3}, "or WEFT_OFF"},
               {{.timeout = -1}, ".timeout is -1"},
               {{.timeout = 1e300}, ".timeout"},
               {{.timeout = (double)NAN}, ".timeout is"},
               {{.bucket_mb = 1 << 30}, ".bucket_mb"},
               {{.log_every = WEFT_OFF}, ".log_every is -1"},
               {{.heartbeat = 0.5}, ".heartbeat is 0.5"},
               {{.heartbeat = -2}, "or WEFT_OFF"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        weft_fabric *f;
        listen();
        ck_assert_int_eq(weft_open(&f, NULL, NULL, &bad[i].code), WEFT_EARG);
        ck_assert_msg(strstr(weft_message(f), bad[i].says), "%s", weft_message(f));
        ck_assert_int_eq(weft_close(&f), 1);
    }
}
END_TEST

static uint64_t random_state = 1;

static unsigned draw(unsigned n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % n;
}

/* Pieces of good words in bad places. */
static void random_word(char word[64])
{
    static const char *const piece[] = {"--",        "-",
                                        "seed",      "num_nodes",
                                        "num-nodes", "=",
                                        "keep",      "print-config",
                                        "strategy",  "devices",
                                        "[0,1]",     "2,",
                                        ",",         "off",
                                        "auto",      "1",
                                        "-1",        "9999999999999999999",
                                        "1e9",       "ddp",
                                        "32-true",   "",
                                        "%s",        "\xff\x01",
                                        "timeout",   "nan"};
    word[0] = '\0';
    for (unsigned n = draw(5); n-- > 0 && strlen(word) < 40;)
        strcat(word, piece[draw(sizeof piece / sizeof *piece)]);
}

START_TEST(random_words)
{
    int good = 0;
    weft_log_level(WEFT_LOG_SILENT);
    for (int round = 0; round < 20000; round++) {
        char word[8][64], text[600] = "", *argv[9], **v = argv;
        int argc = 1 + (int)draw(8), before = argc;
        weft__settings s = {0}, t = {0};
        weft__devices d;
        for (int i = 0; i < argc; i++) {
            random_word(word[i]);
            argv[i] = word[i];
            snprintf(text + strlen(text), 70, "%s ", word[i]);
            (void)!weft__devices_read(&d, word[i]);
            ck_assert(d.n >= 0 && (d.kind != WEFT__DEVICES_IDS || d.n <= WEFT__DEVICE_IDS));
        }
        argv[argc] = NULL;
        good += !weft__settings_read(&s, NULL, NULL, &argc, &v);
        ck_assert(argc >= 1 && argc <= before && !argv[argc] && argv[0] == word[0]);
        for (int i = 0; i < argc; i++)
            ck_assert_ptr_nonnull(argv[i]);
        good += !weft__settings_read(&t, NULL, text, NULL, NULL);
        weft__settings_free(&s);
        weft__settings_free(&t);
    }
    ck_assert_int_gt(good, 1000); /* else they were too wild to test much */
}
END_TEST

#define ROWS(table) ((int)(sizeof table / sizeof table[0]))

static Suite *suite(void)
{
    Suite *s = suite_create("options");
    TCase *t = tcase_create("options");
    tcase_set_timeout(t, 100);
    tcase_add_loop_test(t, words, 0, ROWS(truth));
    tcase_add_loop_test(t, devices, 0, ROWS(grammar));
    tcase_add_test(t, many_devices);
    tcase_add_test(t, every_option_by_every_way);
    tcase_add_loop_test(t, command_lines, 0, ROWS(line));
    tcase_add_test(t, near_words_are_named_once);
    tcase_add_test(t, precedence);
    tcase_add_loop_test(t, lightning, 0, ROWS(launched));
    tcase_add_test(t, lightning_does_not_relaunch);
    tcase_add_test(t, print_config);
    tcase_add_test(t, code_out_of_range);
    tcase_add_test(t, random_words);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
