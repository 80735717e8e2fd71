/* weft run: starts a program as ranks, with the options of weft_open in their environment, and
 * stands in for them: signals go to them, their status comes back, and none of them is left. */
#include "tool.h"

#include "core/alloc.h"
#include "core/env.h"
#include "core/error.h"
#include "device/device.h"
#include "environ/environ.h"
#include "fabric/options.h"
#include "launch/command.h"
#include "precision/precision.h"
#include "strategy/strategy.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

static const char usage[] =
    "usage: weft run [options] [--] PROGRAM [ARGUMENTS]\n"
    "\n"
    "Starts PROGRAM as ranks and returns its exit status.\n"
    "  --devices N         ranks a node, default 1; in a Slurm job, what the job says\n"
    "  --num-nodes N       nodes, of the list of hosts or of the Slurm job\n"
    "  --hosts A,B         the hosts to use\n"
    "  --threads N         a rank, default its share of the cores\n"
    "  --bind              each rank to cores of its own\n"
    "  --launcher L        auto (default: srun in a Slurm job, else mpirun), mpirun, srun\n"
    "  --grace S           seconds from SIGTERM or SIGINT to SIGKILL, default 30; 0: never\n"
    "  --dry-run           prints the command instead of running it\n"
    "  --accelerator, --strategy, --precision and all other options of weft_open are given to\n"
    "                      the program in its environment; --print-config makes it say them\n";

typedef struct plan {
    weft__settings s;
    weft__environ environ;
    weft__job job;
    const char *launcher, *grace;
    bool dry, help;
    char *setting[WEFT__OPTIONS + 1];
    int settings;
} plan;

/* Options of our own that take a value. */
static const char **own(plan *p, const char *word, size_t n)
{
    const struct {
        const char *name;
        const char **at;
    } option[] = {{"--hosts", &p->job.hosts}, {"--launcher", &p->launcher}, {"--grace", &p->grace}};
    for (int i = 0; i < 3; i++)
        if (strlen(option[i].name) == n && strncmp(word, option[i].name, n) == 0)
            return option[i].at;
    return NULL;
}

static bool own_flag(plan *p, const char *word)
{
    bool *flag = tool_is(word, "--bind")      ? &p->job.bind
                 : tool_is(word, "--dry-run") ? &p->dry
                 : tool_is(word, "--help")    ? &p->help
                                              : NULL;
    if (flag)
        *flag = true;
    return flag != NULL;
}

static weft_status no_option(const char *word)
{
    const char *name[WEFT__OPTIONS + 5] = {"hosts", "launcher", "grace", "bind", "dry_run"};
    char plain[40];
    int n = 5;
    for (int i = 0; weft__option_name(i); i++)
        name[n++] = weft__option_name(i);
    word += strspn(word, "-");
    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(word, "="), word);
    const char *near = weft__nearest(plain, name, n);
    return weft__fail(WEFT_EARG, "weft run has no option %.60s%s%s", word, near ? ", but --" : "",
                      near ? near : "");
}

/* One option; *words is how many words it took. */
static weft_status read_word(plan *p, char **argv, int n, int *words)
{
    const char *equals = strchr(argv[0], '=');
    size_t length = equals ? (size_t)(equals - argv[0]) : strlen(argv[0]);
    const char **at = own(p, argv[0], length);
    *words = 1;
    if (own_flag(p, argv[0]))
        return WEFT_OK;
    if (at && !equals && n < 2)
        return weft__fail(WEFT_EARG, "%s takes a value", argv[0]);
    if (at) {
        *at = equals ? equals + 1 : argv[1];
        *words = equals ? 1 : 2;
        return WEFT_OK;
    }
    WEFT_TRY(weft__settings_take(&p->s, argv, n, words));
    return *words ? WEFT_OK : no_option(argv[0]);
}

/* Ours are the words before "--" or before the first that is no option. */
static weft_status read_line(plan *p, int argc, char **argv)
{
    int k = 1, words;
    p->s.quiet = true; /* the ranks will say it */
    WEFT_TRY(weft__settings_read(&p->s, NULL, NULL, NULL, NULL));
    for (; k < argc && argv[k][0] == '-' && !tool_is(argv[k], "--"); k += words)
        WEFT_TRY(read_word(p, argv + k, argc - k, &words));
    k += k < argc && tool_is(argv[k], "--");
    p->job.program = argv + k;
    p->job.grace = 30;
    if (p->grace)
        WEFT_TRY(weft__parse_f64("--grace", p->grace, 0, 1e9, &p->job.grace));
    return k < argc || p->help ? WEFT_OK : weft__fail(WEFT_EARG, "weft run: which program?");
}

static weft_status choose_launcher(plan *p)
{
    static const char *const word[] = {"auto", "mpirun", "srun"};
    char path[PATH_MAX];
    int i = p->launcher ? weft__parse_choice("--launcher", p->launcher, word, 3) : 0;
    if (i < 0)
        return WEFT_EARG;
    if (p->environ.launcher != WEFT__LAUNCHER_NONE)
        return weft__fail(WEFT_ESTATE,
                          "weft run was itself started by %s as a rank; it starts the ranks, so "
                          "start it once",
                          weft__launcher_name(p->environ.launcher));
    bool slurm = weft__env_text("SLURM_JOB_ID") != NULL;
    p->job.srun = i == 2 || (i == 0 && slurm && weft__find_program("srun", path));
    return i != 2 || slurm ? WEFT_OK
                           : weft__fail(WEFT_ECONFIG, "--launcher srun works inside a Slurm job; "
                                                      "salloc or sbatch make one");
}

static weft_status count_nodes(plan *p)
{
    int hosts = 0;
    for (const char *h = p->job.hosts; h && *h; h += strcspn(h, ","), h += *h == ',') {
        if (*h == ',')
            return weft__fail(WEFT_EARG, "--hosts %.80s has an empty name", p->job.hosts);
        hosts++;
    }
    if (p->job.hosts && !hosts)
        return weft__fail(WEFT_EARG, "--hosts names none");
    p->job.nodes = p->s.o.num_nodes ? p->s.o.num_nodes : hosts;
    if (hosts && hosts != p->job.nodes)
        return weft__fail(WEFT_ECONFIG, "num_nodes=%d, but --hosts names %d", p->job.nodes, hosts);
    if (p->job.nodes > 1 && !hosts && !weft__env_text("SLURM_JOB_ID"))
        return weft__fail(WEFT_ECONFIG,
                          "num_nodes=%d needs --hosts with as many names, or a Slurm job",
                          p->job.nodes);
    return WEFT_OK;
}

/* In a job the nodes and tasks are the job's, where the user does not say otherwise. */
static weft_status count_ranks(plan *p)
{
    weft__job *j = &p->job;
    const weft_device_ops *device;
    int64_t n = 0;
    WEFT_TRY(weft__device_find(p->s.o.accelerator, &device));
    if (p->s.o.devices)
        WEFT_TRY(weft__devices_of_host(device->name, p->s.o.devices, &j->devices));
    WEFT_TRY(count_nodes(p));
    if (!j->srun)
        j->devices = j->devices ? j->devices : 1;
    else if (j->devices && !j->nodes && weft__env_int("SLURM_NNODES", 1, INT_MAX, &n) > 0)
        j->nodes = (int)n;
    return (int64_t)j->devices * j->nodes <= INT_MAX
               ? WEFT_OK
               : weft__fail(WEFT_EARG, "%d devices on %d nodes are too many", j->devices, j->nodes);
}

static weft_status count_threads(plan *p)
{
    weft__job *j = &p->job;
    int64_t n = 0;
    j->threads = p->s.o.threads;
    if (j->threads || (j->hosts && !j->bind))
        return WEFT_OK; /* other hosts may have other cores */
    if (!j->srun)
        j->threads = weft__environ_threads(&p->environ, j->devices, 0);
    else if (weft__env_int("SLURM_CPUS_PER_TASK", 1, INT_MAX, &n) > 0)
        j->threads = (int)n;
    return WEFT_OK;
}

/* What could only fail in every rank fails here. */
static weft_status check(const plan *p)
{
    const weft__job *j = &p->job;
    const weft_strategy_ops *strategy;
    char path[PATH_MAX];
    int ranks = (j->devices ? j->devices : 1) * (j->nodes ? j->nodes : 1);
    WEFT_TRY(weft__precision_check(p->s.o.precision));
    WEFT_TRY(weft__strategy_find(p->s.o.strategy, ranks, &strategy));
    if (j->hosts || j->srun || p->dry || weft__find_program(j->program[0], path))
        return WEFT_OK; /* elsewhere other programs may be found */
    return weft__fail(WEFT_ENOENT, "%.200s is no program that can be run%s", j->program[0],
                      strchr(j->program[0], '/') ? "" : " and that is on PATH");
}

static weft_status make_settings(plan *p)
{
    char text[WEFT__OPTION_TEXT];
    for (int i = 0; weft__settings_variable(&p->s, i, WEFT__FROM_COMMAND, text); i++)
        if (text[0] && !(p->setting[p->settings++] = weft__strdup(text)))
            return WEFT_ENOMEM;
    p->job.settings = p->setting;
    return WEFT_OK;
}

/* For a shell. */
static void print_word(const char *word, bool more)
{
    if (*word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "0123456789%+,-./:=@_")]) {
        fputs(word, stdout);
    } else {
        putchar('\'');
        for (; *word; word++)
            if (*word == '\'')
                fputs("'\\''", stdout);
            else
                putchar(*word);
        putchar('\'');
    }
    putchar(more ? ' ' : '\n');
}

static weft_status print_command(const plan *p)
{
    weft__command cmd = {0};
    weft_status s = weft__command_make(&cmd, &p->job);
    for (size_t i = 0; !s && i < cmd.settings; i++) {
        char name[256];
        size_t n = strcspn(cmd.envp[i], "=");
        snprintf(name, sizeof name, "%.*s", (int)n, cmd.envp[i]);
        const char *here = n < sizeof name ? getenv(name) : cmd.envp[i] + n + 1;
        if (!here || strcmp(here, cmd.envp[i] + n + 1) != 0)
            print_word(cmd.envp[i], true);
    }
    for (size_t i = 0; !s && i < cmd.words; i++)
        print_word(cmd.argv[i], i + 1 < cmd.words);
    weft__command_free(&cmd);
    return s;
}

static weft_status start(plan *p, int *status)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    WEFT_TRY(weft__launch(&p->job, status));
    int rest = tool_end_rest();
    if (rest)
        fprintf(stderr, "weft: %d process%s still ran after the program's end, and %s been ended\n",
                rest, rest > 1 ? "es" : "", rest > 1 ? "have" : "has");
    return WEFT_OK;
}

static weft_status go(plan *p, int argc, char **argv, int *status)
{
    WEFT_TRY(read_line(p, argc, argv));
    if (p->help)
        return fputs(usage, stdout) < 0 ? WEFT_EIO : WEFT_OK;
    WEFT_TRY(weft__environ_read(&p->environ));
    WEFT_TRY(choose_launcher(p));
    WEFT_TRY(count_ranks(p));
    WEFT_TRY(count_threads(p));
    WEFT_TRY(check(p));
    WEFT_TRY(make_settings(p));
    return p->dry ? print_command(p) : start(p, status);
}

int tool_run(int argc, char **argv)
{
    plan p = {0};
    int status = 0;
    weft_status s = go(&p, argc, argv, &status);
    if (s == WEFT_EARG)
        status = tool_misused("%s; weft run --help shows what there is", weft__why());
    else if (s < 0)
        status = tool_failed(s);
    for (int i = 0; i < p.settings; i++)
        weft__free(p.setting[i]);
    weft__settings_free(&p.s);
    return status;
}
