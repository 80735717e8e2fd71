/* mpirun's path, arguments and environment. */
#include "launch/command.h"

#include "core/alloc.h"
#include "core/env.h"
#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

extern char **environ;

static bool runs(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode) && access(path, X_OK) == 0;
}

/* name's place on PATH (as it is, if it has a slash) into path; false if there is none. */
static bool find(const char *name, char path[PATH_MAX])
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

static weft_status find_mpirun(char **out)
{
    char path[PATH_MAX];
    const char *asked = weft__env_text("WEFT_MPIRUN");
    bool found = asked && find(asked, path);
    if (asked && !found)
        return weft__fail(WEFT_ENOENT, "WEFT_MPIRUN is \"%s\", which is no program that can be run",
                          asked);
#ifdef WEFT__MPIRUN_DEFAULT
    found = found || find(WEFT__MPIRUN_DEFAULT, path);
#endif
    if (!found && !find("mpirun", path) && !find("mpiexec", path))
        return weft__fail(
            WEFT_ENOENT,
            "several processes need mpirun, and there is none on PATH: install it "
            "(Debian: openmpi-bin; on a cluster: module load openmpi), set WEFT_MPIRUN, "
            "or start the program with srun");
    *out = weft__strdup(path);
    return *out ? WEFT_OK : WEFT_ENOMEM;
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

static weft_status this_program(char **out)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n < 0)
        return weft__fail_errno(WEFT_EIO, "relaunch: /proc/self/exe");
    path[n] = '\0';
    if (!runs(path))
        return weft__fail(WEFT_EIO, "relaunch: this program's file is gone: %s", path);
    *out = weft__strdup(path);
    return *out ? WEFT_OK : WEFT_ENOMEM;
}

/* mpirun -n N program, then the arguments after the program's own name. */
static weft_status make_argv(weft__command *cmd, int n)
{
    size_t length, words = 0, i = 0;
    WEFT_TRY(find_mpirun(&cmd->path));
    WEFT_TRY(this_program(&cmd->program));
    WEFT_TRY(slurp("/proc/self/cmdline", &cmd->text, &length));
    for (size_t at = 0; at < length; at += strlen(cmd->text + at) + 1)
        words++;
    cmd->argv = weft__new(words + 5, sizeof *cmd->argv);
    if (!cmd->argv)
        return WEFT_ENOMEM;
    snprintf(cmd->number, sizeof cmd->number, "%d", n);
    cmd->argv[i++] = cmd->path;
    cmd->argv[i++] = "-n";
    cmd->argv[i++] = cmd->number;
    cmd->argv[i++] = cmd->program;
    for (size_t at = strlen(cmd->text) + 1; at < length; at += strlen(cmd->text + at) + 1)
        cmd->argv[i++] = cmd->text + at;
    return WEFT_OK;
}

/* Adds NAME=value, unless the user has set NAME. envp has room. */
static void add(weft__command *cmd, const char *name, char *setting)
{
    if (!getenv(name))
        cmd->envp[cmd->settings++] = setting;
}
#define ADD(cmd, name, value) add(cmd, name, name "=" value)

static weft_status make_envp(weft__command *cmd, int threads)
{
    char path[PATH_MAX];
    size_t n = 0;
    while (environ[n])
        n++;
    cmd->envp = weft__new(n + 8, sizeof *cmd->envp);
    if (!cmd->envp)
        return WEFT_ENOMEM;
    memcpy(cmd->envp, environ, n * sizeof *environ);
    cmd->settings = n;
    ADD(cmd, "WEFT_RELAUNCHED", "1");
    if (geteuid() == 0) {
        ADD(cmd, "OMPI_ALLOW_RUN_AS_ROOT", "1");
        ADD(cmd, "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    }
    /* More ranks than slots are what the user asked for. Unbound, because Open MPI binds each job's
     * first rank to core 0, where two jobs of one machine would meet. */
    ADD(cmd, "OMPI_MCA_rmaps_base_oversubscribe", "1");
    ADD(cmd, "OMPI_MCA_hwloc_base_binding_policy", "none");
    /* Without a remote shell even a local mpirun gives up, unless told that there are no hosts. */
    if (!find("ssh", path) && !find("rsh", path) && !weft__env_text("SLURM_JOB_ID"))
        ADD(cmd, "OMPI_MCA_plm", "isolated");
    snprintf(cmd->threads, sizeof cmd->threads, "OMP_NUM_THREADS=%d", threads);
    if (threads > 0)
        add(cmd, "OMP_NUM_THREADS", cmd->threads);
    return WEFT_OK;
}

weft_status weft__command_make(weft__command *cmd, int n, int threads)
{
    WEFT_TRY(make_argv(cmd, n));
    return make_envp(cmd, threads);
}

void weft__command_free(weft__command *cmd)
{
    weft__free(cmd->path);
    weft__free(cmd->program);
    weft__free(cmd->argv);
    weft__free(cmd->envp);
    weft__free(cmd->text);
    *cmd = (weft__command){0};
}
