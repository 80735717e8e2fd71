/* Starting a program as ranks under mpirun or srun, and standing in for them until they end.
 *
 * Nothing is allocated between fork and exec, so that a program with threads may do this too. The
 * parent waits with sigtimedwait and not with handlers: no globals, and the program's own handlers
 * stay as they are. */
#include "launch/launch.h"

#include "launch/command.h"

#include "core/context.h"
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
#define UNKNOWN 255

/* Never returns. mpirun ends its ranks on TERM and tidies up after them, which it cannot on KILL. */
static void become(const weft__command *cmd, const sigset_t *mask, pid_t parent, int report)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == parent) { /* else it died before the line above */
        sigprocmask(SIG_SETMASK, mask, NULL);
        execve(cmd->argv[0], cmd->argv, cmd->envp);
    }
    int e = errno;
    while (write(report, &e, sizeof e) < 0 && errno == EINTR)
        ;
    _exit(127);
}

/* Forks; *pid is running the launcher when this returns WEFT_OK. The pipe closes on a successful exec. */
static weft_status start(const weft__command *cmd, const sigset_t *mask, pid_t *pid)
{
    int fd[2], e = 0;
    ssize_t n;
    pid_t parent = getpid();
    if (pipe2(fd, O_CLOEXEC))
        return weft__fail_errno(WEFT_EIO, "launch: pipe");
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
    return weft__fail_errno(WEFT_EIO, "launch: %s cannot be started", cmd->argv[0]);
}

static bool ends(int sig)
{
    return sig == SIGTERM || sig == SIGINT;
}

/* What arrives is passed on, except what the terminal sent, which the launcher got too. The timeout
 * is for a SIGCHLD that another thread took, and for the end of the grace. */
static int wait_for(pid_t pid, const sigset_t *set, double grace)
{
    const struct timespec limit = {0, 100000000};
    siginfo_t info;
    double asked = 0;
    int status = 0;
    for (;;) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid)
            return status;
        if (ended < 0 && errno != EINTR)
            return UNKNOWN << 8; /* somebody else has reaped it */
        int sig = sigtimedwait(set, &info, &limit);
        if (sig > 0 && sig != SIGCHLD && info.si_code <= 0)
            kill(pid, sig);
        if (ends(sig) && asked == 0)
            asked = weft__now();
        if (asked > 0 && grace > 0 && weft__now() - asked > grace)
            kill(pid, SIGKILL);
    }
}

static weft_status run(const weft__command *cmd, double grace, int *out)
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
    if (!s) {
        int status = wait_for(pid, &set, grace);
        *out = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    sigaction(SIGCHLD, &before, NULL);
    return s;
}

weft_status weft__launch(const weft__job *job, int *status)
{
    weft__command cmd = {0};
    weft_status s = weft__command_make(&cmd, job);
    if (!s) {
        weft__say(WEFT_LOG_DEBUG, "starting ranks with %s", cmd.argv[0]);
        s = run(&cmd, job->grace, status);
    }
    weft__command_free(&cmd);
    return s;
}

/* mpirun passes on the first failing rank's status, or 128 + the signal that ended it. */
weft_status weft__relaunch(int n, int threads, int *exit_status)
{
    const weft__job job = {.devices = n, .threads = threads};
    int status;
    if (n < 1)
        return weft__fail(WEFT_EARG, "relaunch as %d ranks", n);
    if (getenv("WEFT_RELAUNCHED"))
        return weft__fail(WEFT_ESTATE, "this process was started by a relaunch already; "
                                       "it would start itself for ever");
    WEFT_TRY(weft__launch(&job, &status));
    *exit_status = status < HIGHEST ? status : HIGHEST;
    return WEFT_RELAUNCHED;
}
