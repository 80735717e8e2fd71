/* The command that starts ranks. */
#ifndef LAUNCH_COMMAND_H
#define LAUNCH_COMMAND_H
#include "launch/launch.h"

#include <limits.h>
#include <stddef.h>

typedef struct weft__command {
    char **argv; /* mpirun or srun, their words, the program's; NULL at the end; all ours */
    size_t words, room;
    char **envp; /* this environment and the settings that the ranks need; borrowed */
    size_t settings, envp_room;
    char threads[32]; /* "OMP_NUM_THREADS=4" */
} weft__command;

/* WEFT_ENOENT if there is no mpirun (or srun), WEFT_EIO, WEFT_ENOMEM. Free it in any case. */
weft_status weft__command_make(weft__command *cmd, const weft__job *job);
void weft__command_free(weft__command *cmd);
/* Adds a word made as printf does. */
weft_status weft__command_add(weft__command *cmd, const char *format, ...) WEFT_PRINTF(2, 3);
/* The environment of the ranks. */
weft_status weft__command_environment(weft__command *cmd, const weft__job *job);
/* name's place on PATH (as it is, if it has a slash) into path; false if there is none. */
bool weft__find_program(const char *name, char path[PATH_MAX]);
#endif
