/* The words of mpirun and srun. */
#include "launch/command.h"

#include "core/alloc.h"
#include "core/env.h"
#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include("config.h")
#include "config.h" /* WEFT__MPIRUN_DEFAULT */
#endif
#endif

static bool runs(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode) && access(path, X_OK) == 0;
}

bool weft__find_program(const char *name, char path[PATH_MAX])
{
    const char *dir = getenv("PATH");
    if (strchr(name, '/'))
        return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX && runs(path);
    while (dir && *dir) {
        int n = (int)strcspn(dir, ":");
        if (n && snprintf(path, PATH_MAX, "%.*s/%s", n, dir, name) < PATH_MAX && runs(path))
            return true;
        dir += n + (dir[n] == ':');
    }
    return false;
}

static weft_status add_mpirun(weft__command *cmd)
{
    char path[PATH_MAX];
    const char *asked = weft__env_text("WEFT_MPIRUN");
    bool found = asked && weft__find_program(asked, path);
    if (asked && !found)
        return weft__fail(WEFT_ENOENT, "WEFT_MPIRUN is \"%s\", which is no program that can be run",
                          asked);
#ifdef WEFT__MPIRUN_DEFAULT
    found = found || weft__find_program(WEFT__MPIRUN_DEFAULT, path);
#endif
    if (!found && !weft__find_program("mpirun", path) && !weft__find_program("mpiexec", path))
        return weft__fail(
            WEFT_ENOENT,
            "several processes need mpirun, and there is none on PATH: install it "
            "(Debian: openmpi-bin; on a cluster: module load openmpi), set WEFT_MPIRUN, "
            "or start the program with srun");
    return weft__command_add(cmd, "%s", path);
}

static weft_status add_srun(weft__command *cmd)
{
    char path[PATH_MAX];
    return weft__find_program("srun", path)
               ? weft__command_add(cmd, "%s", path)
               : weft__fail(WEFT_ENOENT, "there is no srun on PATH; use mpirun instead");
}

/* All of a file of unknown size (those of /proc say 0), with a 0 after it. */
static weft_status slurp(const char *path, char **out, size_t *length)
{
    size_t have = 0;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    weft_status s = WEFT_OK;
    *length = 0;
    if (fd < 0)
        return weft__fail_errno(WEFT_EIO, "relaunch: %s", path);
    do {
        *length += (size_t)n;
        s = weft__grow(out, &have, *length + 4096, 1);
    } while (!s && (n = read(fd, *out + *length, have - *length - 1)) > 0);
    if (n < 0)
        s = weft__fail_errno(WEFT_EIO, "relaunch: %s", path);
    close(fd);
    return s;
}

static weft_status add_this_program(weft__command *cmd)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n < 0)
        return weft__fail_errno(WEFT_EIO, "relaunch: /proc/self/exe");
    path[n] = '\0';
    if (!runs(path))
        return weft__fail(WEFT_EIO, "relaunch: this program's file is gone: %s", path);
    return weft__command_add(cmd, "%s", path);
}

/* This program, and its arguments as it was started with them. */
static weft_status add_this_command(weft__command *cmd)
{
    char *text = NULL;
    size_t length = 0;
    WEFT_TRY(add_this_program(cmd));
    weft_status s = slurp("/proc/self/cmdline", &text, &length);
    for (size_t at = length ? strlen(text) + 1 : 0; at < length && !s; at += strlen(text + at) + 1)
        s = weft__command_add(cmd, "%s", text + at);
    weft__free(text);
    return s;
}

/* "a:2,b:2" of "a,b" and 2. */
static weft_status add_hosts(weft__command *cmd, const weft__job *job)
{
    char text[4096];
    size_t n = 0;
    for (const char *h = job->hosts; *h && n < sizeof text; h += strcspn(h, ","), h += *h == ',')
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s:%d", n ? "," : "",
                              (int)strcspn(h, ","), h, job->devices);
    if (n >= sizeof text)
        return weft__fail(WEFT_EARG, "the list of hosts is too long");
    WEFT_TRY(weft__command_add(cmd, "--host"));
    return weft__command_add(cmd, "%s", text);
}

/* Daemons on other nodes do not have this environment. */
static weft_status add_exports(weft__command *cmd, const weft__job *job)
{
    for (char *const *s = job->settings; s && *s; s++) {
        WEFT_TRY(weft__command_add(cmd, "-x"));
        WEFT_TRY(weft__command_add(cmd, "%.*s", (int)strcspn(*s, "="), *s));
    }
    if (cmd->threads[0]) {
        WEFT_TRY(weft__command_add(cmd, "-x"));
        WEFT_TRY(weft__command_add(cmd, "OMP_NUM_THREADS"));
    }
    return WEFT_OK;
}

static weft_status add_mpirun_words(weft__command *cmd, const weft__job *job)
{
    const int nodes = job->nodes > 0 ? job->nodes : 1;
    WEFT_TRY(add_mpirun(cmd));
    WEFT_TRY(weft__command_add(cmd, "-n"));
    WEFT_TRY(weft__command_add(cmd, "%d", job->devices * nodes));
    if (job->hosts)
        WEFT_TRY(add_hosts(cmd, job));
    if (job->hosts || nodes > 1)
        WEFT_TRY(add_exports(cmd, job));
    if (!job->bind && nodes == 1)
        return WEFT_OK;
    WEFT_TRY(weft__command_add(cmd, "--map-by"));
    if (!job->bind)
        return weft__command_add(cmd, "ppr:%d:node", job->devices);
    WEFT_TRY(weft__command_add(cmd, "ppr:%d:node:PE=%d", job->devices, job->threads));
    WEFT_TRY(weft__command_add(cmd, "--bind-to"));
    return weft__command_add(cmd, "core");
}

/* srun has to be told the CPUs a task: a job's --cpus-per-task is not its steps' any more. */
static weft_status add_srun_words(weft__command *cmd, const weft__job *job)
{
    WEFT_TRY(add_srun(cmd));
    if (!weft__env_text("SLURM_MPI_TYPE"))
        WEFT_TRY(weft__command_add(cmd, "--mpi=pmix"));
    WEFT_TRY(weft__command_add(cmd, "--kill-on-bad-exit=1"));
    if (job->nodes > 0)
        WEFT_TRY(weft__command_add(cmd, "--nodes=%d", job->nodes));
    if (job->devices > 0)
        WEFT_TRY(weft__command_add(cmd, "--ntasks-per-node=%d", job->devices));
    if (job->devices > 0 && job->nodes > 0)
        WEFT_TRY(weft__command_add(cmd, "--ntasks=%d", job->devices * job->nodes));
    if (job->threads > 0)
        WEFT_TRY(weft__command_add(cmd, "--cpus-per-task=%d", job->threads));
    if (job->hosts)
        WEFT_TRY(weft__command_add(cmd, "--nodelist=%s", job->hosts));
    return job->bind ? weft__command_add(cmd, "--cpu-bind=cores") : WEFT_OK;
}

weft_status weft__command_add(weft__command *cmd, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t n = (size_t)vsnprintf(NULL, 0, format, args) + 1;
    char *word = weft__new(n, 1);
    weft_status s =
        word ? weft__grow(&cmd->argv, &cmd->room, cmd->words + 2, sizeof word) : WEFT_ENOMEM;
    if (!s) {
        vsnprintf(word, n, format, again);
        cmd->argv[cmd->words++] = word;
        cmd->argv[cmd->words] = NULL;
    } else {
        weft__free(word);
    }
    va_end(again);
    va_end(args);
    return s;
}

weft_status weft__command_make(weft__command *cmd, const weft__job *job)
{
    WEFT_TRY(weft__command_environment(cmd, job));
    WEFT_TRY(job->srun ? add_srun_words(cmd, job) : add_mpirun_words(cmd, job));
    if (!job->program)
        return add_this_command(cmd);
    for (char *const *w = job->program; *w; w++)
        WEFT_TRY(weft__command_add(cmd, "%s", *w));
    return WEFT_OK;
}

void weft__command_free(weft__command *cmd)
{
    for (size_t i = 0; i < cmd->words; i++)
        weft__free(cmd->argv[i]);
    weft__free(cmd->argv);
    weft__free(cmd->envp);
    *cmd = (weft__command){0};
}
