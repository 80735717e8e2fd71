/* Ending what ranks left behind. Orphans of this process's children become its own children
 * (PR_SET_CHILD_SUBREAPER), so that none can hide. */
#include "tool.h"

#include "core/context.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE 0.5 /* seconds for ending by itself, and again between TERM and KILL */

/* The parent of a process, by /proc; 0 if there is no such process. */
static pid_t parent_of(pid_t pid)
{
    char path[64];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *in = fopen(path, "r");
    if (!in)
        return 0;
    /* "pid (name) state parent": the name may hold anything but is at most 64 bytes */
    if (fscanf(in, "%*d (%*64[^)]) %*c %d", &parent) != 1)
        parent = 0;
    fclose(in);
    return parent;
}

static int signal_children(int sig)
{
    int n = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));) {
        pid_t pid = (pid_t)atoi(e->d_name);
        if (pid > 0 && parent_of(pid) == getpid())
            n += kill(pid, sig) == 0;
    }
    if (d)
        closedir(d);
    return n;
}

int tool_end_rest(void)
{
    const double start = weft__now();
    bool asked = false;
    int met = 0;
    for (;;) {
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid < 0 && errno == ECHILD)
            return met;
        double waited = weft__now() - start;
        if (waited > PATIENCE && (!asked || waited > 2 * PATIENCE)) {
            int n = signal_children(asked ? SIGKILL : SIGTERM);
            met = n > met ? n : met;
            asked = true;
        }
        usleep(10000);
    }
}
