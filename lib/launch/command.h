/* The command that a relaunch runs. */
#ifndef LAUNCH_COMMAND_H
#define LAUNCH_COMMAND_H
#include <weft/status.h>

typedef struct weft__command {
    char *path;      /* of mpirun */
    char *program;   /* ours */
    char **argv;     /* mpirun -n N program arguments, NULL at the end */
    char **envp;     /* this environment and the settings that the children need */
    size_t settings; /* entries of envp */
    char *text;      /* our own command line, which argv points into */
    char number[16], threads[32];
} weft__command;

/* WEFT_ENOENT if there is no mpirun, WEFT_EIO, WEFT_ENOMEM. Free it in any case. */
weft_status weft__command_make(weft__command *cmd, int n, int threads);
void weft__command_free(weft__command *cmd);
#endif
