/* Starting the program again as N ranks under mpirun, and standing in for them until they end.
 *
 * Nothing is allocated between fork and exec, so that a program with threads may do this too. The
 * parent waits with sigtimedwait and not with handlers: no globals, and the program's own handlers
 * stay as they are. */
#include "launch/launch.h"

#include "launch/command.h"

#include "core/error.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HIGHEST 125 /* 126 and up mean other things to shells */

/* Never returns. mpirun ends its ranks on TERM and tidies up after them, which it cannot on KILL. */
static void become(const weft__command *cmd, const sigset_t *mask, pid_t parent, int report)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent) { /* else it died before the line above */
        sigprocmask(SIG_SETMASK, mask, NULL);
        execve(cmd->path, cmd->argv, cmd->envp);
    }
    int e = errno;
    while (write(report, &e, sizeof e) < 0 && errno == EINTR)
        ;
    _exit(127);
}

/* Forks; *pid is running mpirun when this returns WEFT_OK. The pipe closes on a successful exec. */
static weft_status start(const weft__command *cmd, const sigset_t *mask, pid_t *pid)
{
    int fd[2], e = 0;
    ssize_t n;
    pid_t parent = getpid();
    if (pipe2(fd, O_CLOEXEC))
        return weft__fail_errno(WEFT_EIO, "relaunch: pipe");
    *pid = fork();
    if (*pid == 0)
        become(cmd, mask, parent, fd[1]);
    if (*pid < 0)
        e = errno;
    close(fd[1]);
    while (*pid > 0 && (n = read(fd[0], &e, sizeof e)) < 0 && errno == EINTR)
        ;
    close(fd[0]);
    if (!e)
        return WEFT_OK;
    if (*pid > 0)
        waitpid(*pid, NULL, 0);
    errno = e;
    return weft__fail_errno(WEFT_EIO, "relaunch: %s cannot be started", cmd->path);
}

/* What arrives is passed on, except what the terminal sent, which mpirun got too. The timeout is for
 * a SIGCHLD that another thread took. */
static int wait_for(pid_t pid, const sigset_t *set)
{
    const struct timespec limit = {0, 100000000};
    siginfo_t info;
    int status = 0;
    for (;;) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid)
            return status;
        if (ended < 0 && errno != EINTR)
            return HIGHEST << 8; /* somebody else has reaped it: how it ended is not known */
        int sig = sigtimedwait(set, &info, &limit);
        if (sig > 0 && sig != SIGCHLD && info.si_code <= 0)
            kill(pid, sig);
    }
}

/* mpirun passes on the first failing rank's status, or 128 + the signal that ended it. */
static int status_of(int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : HIGHEST;
    return code < HIGHEST ? code : HIGHEST;
}

static weft_status run(const weft__command *cmd, int *exit_status)
{
    struct sigaction child = {.sa_handler = SIG_DFL}, before;
    sigset_t set, mask;
    pid_t pid = -1;
    weft_status s;
    sigemptyset(&set);
    for (const int *sig = (const int[]){SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD, 0}; *sig; sig++)
        sigaddset(&set, *sig);
    sigaction(SIGCHLD, &child, &before); /* ignored, it would take the exit status with it */
    pthread_sigmask(SIG_BLOCK, &set, &mask);
    s = start(cmd, &mask, &pid);
    if (!s)
        *exit_status = status_of(wait_for(pid, &set));
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    sigaction(SIGCHLD, &before, NULL);
    return s ? s : WEFT_RELAUNCHED;
}

weft_status weft__relaunch(int n, int threads, int *exit_status)
{
    weft__command cmd = {0};
    weft_status s;
    if (n < 1)
        return weft__fail(WEFT_EARG, "relaunch as %d ranks", n);
    if (getenv("WEFT_RELAUNCHED"))
        return weft__fail(WEFT_ESTATE, "this process was started by a relaunch already; "
                                       "it would start itself for ever");
    s = weft__command_make(&cmd, n, threads);
    if (!s) {
        weft__say(WEFT_LOG_DEBUG, "starting %d ranks with %s", n, cmd.path);
        s = run(&cmd, exit_status);
    }
    weft__command_free(&cmd);
    return s;
}
